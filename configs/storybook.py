r"""The embedded model on its embedded video: offline, on a laptop.

  python -m tav_jax.tune --config=configs/storybook.py --workdir=runs/storybook

It took about a minute on two cores without an accelerator.
"""

from configs import default


def get_config():
  config = default.get_config()
  config.model.checkpoint = "storybook"
  config.model.remat = False
  config.model.attention_block = 128

  config.video.path = "tav_jax/storybook/videos/man-skiing.mp4"
  config.video.caption = "a man is skiing on the snow"
  config.video.frames = 8
  config.video.width = 64
  config.video.height = 64

  config.optimizer.steps = 120
  config.optimizer.learning_rate = 3e-4

  config.sampling.prompts = (
      "a panda is skiing on the snow",
      "a man is skiing on the moon",
      "a man wearing a red hat is skiing on the snow",
      "a man is skiing on the snow, sketch style",
  )
  config.sampling.guidance = 2.0
  config.sampling.batch_size = 4
  config.sampling.steps = 30

  config.run.sample_every = 120
  return config
