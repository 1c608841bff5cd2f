r"""A rabbit eating a watermelon, every second of 48 frames.

The authors' settings (Tune-A-Video, ICCV 2023) and their four edits; they
report about ten minutes of tuning and one of sampling on one A100. Their video
is `data/rabbit-watermelon.mp4` of github.com/showlab/Tune-A-Video.

  python -m tav_jax.tune --config=configs/rabbit_watermelon.py \
      --workdir=runs/rabbit_watermelon
"""

from configs import default


def get_config():
  config = default.get_config()
  config.video.path = "data/rabbit-watermelon.mp4"
  config.video.caption = "a rabbit is eating a watermelon"
  config.video.stride = 2
  config.sampling.prompts = (
      "a tiger is eating a watermelon",
      "a rabbit is eating an orange",
      "a rabbit is eating a pizza",
      "a puppy is eating an orange",
  )
  return config
