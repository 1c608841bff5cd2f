r"""Make-A-Video (arXiv 2209.14792): an image model learns motion without texts.

  python -m tav_jax.pretrain --config=configs/pretrain_make_a_video.py \
      --workdir=runs/make-a-video

Layers over time are put into the embedded image model (pseudo-3-D convolutions
and temporal attention, Sec. 3.2.1 and 3.2.2), which then is what it was. They
alone train, on clips whose captions it never sees, at several frame rates that
it is told (Sec. 3.2.3). Texts are understood by what the image model knows.
Latents of 16x16; on two cores some 3 clips a second.
"""

import copy

from ml_collections import ConfigDict

from configs import pretrain_storybook, pretrain_vdm


def get_config():
  config = pretrain_storybook.get_config()
  config.start = "storybook"
  config.stages = ("diffusion", "interpolation")
  config.data.size = 64
  config.data.count = 3000
  with config.data.unlocked():
    config.data.frames = 24  # Of two seconds.
  config.data.free = False  # As the image model's world.

  diffusion = config.diffusion
  diffusion.optimizer.batch_size = 4
  diffusion.optimizer.learning_rate = 3e-4
  with diffusion.unlocked():
    diffusion.clips = ConfigDict()
    diffusion.clips.frames = 8
    diffusion.clips.strides = (1, 2, 3)
    diffusion.clips.images = 0

  model = diffusion.model
  model.attention = (False, True, True)
  model.no_caption = 1.0
  with model.unlocked():
    model.temporal = "relative"
    model.convolution = "pseudo_3d"
    model.frame_rate = True
    model.trainable = (r"unet/.*_temp", "unet/frame_rate_embedding")

  with config.unlocked():
    # Sec. 3.3: the network goes on with more input, frames and a mask of them.
    config.interpolation = copy.deepcopy(diffusion)
    config.sampling = pretrain_vdm.rendering()
  with config.sampling.unlocked():
    config.sampling.every = 1  # Frames that are made of each; see docs.
  with config.interpolation.model.unlocked():
    config.interpolation.model.after = "diffusion"
  config.interpolation.model.trainable += ("unet/conv_in",)
  config.interpolation.clips.strides = (1,)
  return config.lock()
