r"""A man skiing, every second of 48 frames.

The authors' settings (Tune-A-Video, ICCV 2023) and their four edits; they
report about ten minutes of tuning and one of sampling on one A100. Their video
is `data/man-skiing.mp4` of github.com/showlab/Tune-A-Video.

  python -m tav_jax.tune --config=configs/man_skiing.py \
      --workdir=runs/man_skiing
"""

from configs import default


def get_config():
  config = default.get_config()
  config.video.path = "data/man-skiing.mp4"
  config.video.caption = "a man is skiing"
  config.video.stride = 2
  config.sampling.prompts = (
      "mickey mouse is skiing on the snow",
      "spider man is skiing on the beach, cartoon style",
      "wonder woman, wearing a cowboy hat, is skiing",
      "a man, wearing pink clothes, is skiing at sunset",
  )
  return config
