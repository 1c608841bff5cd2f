r"""A car taking a turn, every second of 48 frames.

The authors' settings (Tune-A-Video, ICCV 2023) and their four edits; they
report about ten minutes of tuning and one of sampling on one A100. Their video
is `data/car-turn.mp4` of github.com/showlab/Tune-A-Video.

  python -m tav_jax.tune --config=configs/car_turn.py \
      --workdir=runs/car_turn
"""

from configs import default


def get_config():
  config = default.get_config()
  config.video.path = "data/car-turn.mp4"
  config.video.caption = "a jeep car is moving on the road"
  config.video.stride = 2
  config.sampling.prompts = (
      "a jeep car is moving on the beach",
      "a jeep car is moving on the snow",
      "a jeep car is moving on the road, cartoon style",
      "a sports car is moving on the road",
  )
  return config
