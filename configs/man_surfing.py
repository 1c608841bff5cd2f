r"""A man surfing, 24 frames in a row.

The authors' settings (Tune-A-Video, ICCV 2023) and their four edits; they
report about ten minutes of tuning and one of sampling on one A100. Their video
is `data/man-surfing.mp4` of github.com/showlab/Tune-A-Video.

  python -m tav_jax.tune --config=configs/man_surfing.py \
      --workdir=runs/man_surfing
"""

from configs import default


def get_config():
  config = default.get_config()
  config.video.path = "data/man-surfing.mp4"
  config.video.caption = "a man is surfing"
  config.video.stride = 1
  config.sampling.prompts = (
      "a panda is surfing",
      "a boy, wearing a birthday hat, is surfing",
      "a raccoon is surfing, cartoon style",
      "Iron Man is surfing in the desert",
  )
  return config
