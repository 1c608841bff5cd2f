r"""Imagen Video (arXiv 2210.02303): from text to clip by a cascade.

  python -m tav_jax.pretrain --config=configs/pretrain_imagen_video.py \
      --workdir=runs/imagen-video

A base model makes 8 frames of 16x16 pixels at 4 frames a second, temporal
super-resolution 16 frames at 8 a second, spatial super-resolution 32x32 pixels.
All predict v and are given the text; the first attends over time, the others
convolve over time (Sec. 2.3). The base and the last also learn from pictures
(Sec. 2.6). The text encoder is the embedded model's, and frozen. Stages run
alone with `--config.stages="('spatial_super_resolution',)"`. At last the base
is distilled, into one network with the guidance in it and then into ever fewer
steps (Sec. 2.8).
"""

import copy

from configs import pretrain_storybook, pretrain_vdm


def get_config():
  config = pretrain_vdm.get_config()
  config.stages = (
      "diffusion", "temporal_super_resolution", "spatial_super_resolution",
      "distillation")
  config.data.frames = 32  # Of two seconds.

  base = config.diffusion
  base.schedule.prediction = "v_prediction"
  with base.schedule.unlocked():
    base.schedule.spacing = "trailing"
  base.model.min_snr = 5.0
  base.optimizer.batch_size = 16
  with base.unlocked():
    base.clips.size = 16
  base.clips.strides = (4,)
  base.model.channels = (48, 96)
  base.model.attention = (True, True)

  with config.unlocked():
    config.temporal_super_resolution = temporal = copy.deepcopy(base)
    config.spatial_super_resolution = spatial = copy.deepcopy(base)
  for stage in temporal, spatial:
    with stage.model.unlocked():
      stage.model.convolution = "pseudo_3d"
      stage.model.temporal = "none"
    with stage.clips.unlocked():
      stage.clips.factor = 2
      stage.clips.noise = 0.3  # Of all timesteps, at most.
    with stage.sampling.unlocked():
      del stage.sampling.overlap, stage.sampling.weight
      stage.sampling.noise = 0.1  # Of the stage before; lower keeps more of it.
    stage.clips.strides = (2,)
    stage.sampling.guidance = 1.0
    stage.sampling.steps = 50
  temporal.clips.frames = 16
  temporal.clips.images = 0
  temporal.model.channels = (32, 64)
  temporal.model.attention = (False, False)
  temporal.optimizer.batch_size = 8
  spatial.clips.frames = 4
  spatial.clips.images = 4
  spatial.clips.size = 32
  spatial.model.channels = (32, 48)
  spatial.model.attention = (False, False)

  with base.sampling.unlocked():  # Sec. 2.7: high, then in turn low and high.
    base.sampling.low_guidance = 1.0
    base.sampling.constant = 10
    base.sampling.percentile = 99.5
  base.sampling.guidance = 4.0
  with config.unlocked():
    config.distillation = pretrain_storybook.stage(
        steps=1000, batch_size=16, learning_rate=1e-4, average=0.99)
    config.distillation.first = 32  # Steps of the first student.
    config.distillation.last = 8
  with config.sampling.unlocked():
    config.sampling.distilled = False  # Whether the last student makes clips.
  return config.lock()
