r"""Video Diffusion Models (arXiv 2204.03458) on small drawn clips, from text.

  python -m tav_jax.pretrain --config=configs/pretrain_vdm.py --workdir=runs/vdm

A factorised network in pixels, from nothing: temporal attention with relative
positions after each spatial one. It learns from clips of 8 frames at 32x32 and
from 4 independent pictures beside each (Sec. 3.1; without these,
`--config.diffusion.clips.images=0`). The text encoder is the embedded model's,
and does not train. On two cores some 2 clips a second.
"""

from ml_collections import ConfigDict

from configs import pretrain_ddpm


def get_config():
  config = pretrain_ddpm.get_config()
  with config.unlocked():
    config.parts = "storybook"  # Text encoder, tokenizer and judge.

  with config.data.unlocked():
    config.data.frames = 24  # Of two seconds.
  config.data.count = 4000

  diffusion = config.diffusion
  diffusion.optimizer.batch_size = 8
  with diffusion.unlocked():
    diffusion.clips = ConfigDict()
    diffusion.clips.frames = 8
    diffusion.clips.strides = (3,)
    diffusion.clips.images = 4

  model = diffusion.model
  model.channels = (32, 64, 96)
  model.attention = (False, True, True)
  with model.unlocked():
    model.captioned = True
    model.temporal = "relative"
    model.trainable = ("unet",)

  schedule = diffusion.schedule
  schedule.beta_schedule = "squaredcos_cap_v2"

  diffusion.sampling.steps = 100

  with diffusion.sampling.unlocked():
    diffusion.sampling.gamma = 0.3
    diffusion.sampling.overlap = 4
    diffusion.sampling.weight = 9.0  # w_r, of Kinetics; 0 is replacement.
  with config.unlocked():
    config.sampling = rendering()
  return config.lock()


def rendering():
  """What tav_jax.sample renders from the workdir."""
  sampling = ConfigDict()
  sampling.prompts = (
      "a panda is skiing on the snow", "a red robot is dancing in the city",
      "a rabbit wearing a blue hat is running on the grass",
      "a penguin is surfing on the beach")
  sampling.seed = 0
  sampling.length = 0  # Frames; 0 is as many as the model makes at once.
  sampling.begin = ""  # A video that the clips go on from.
  sampling.fps = 0.0  # Of the training clips; drawn ones have their own.
  return sampling
