r"""SinFusion (arXiv 2211.11743): three small networks of one video, no text.

  python -m tav_jax.pretrain --config=configs/sinfusion.py \
      --workdir=runs/sinfusion
  python -m tav_jax.sample --workdir=runs/sinfusion

renders new clips of the same scene, what comes after the last frame and before
the first, the same at other speeds, and the video with more frames. Another
video: `--config.data.source=FILE --config.data.frames=72`.

This is a size for one core, at 32x32 pixels; docs/lineage.md has what it
reached. The paper's, at 144x256 for 5.5, 2.5 and 1.5 hours on a V100:

  --config.data.height=144 --config.data.width=256
  --config.predictor.run.steps=200000
  --config.predictor.loss.gaps_from="(0, 75000, 150000)"
  --config.projector.run.steps=100000 --config.interpolator.run.steps=50000

and for each of the three NETWORKs

  --config.NETWORK.model.width=64 --config.NETWORK.model.blocks=16
  --config.NETWORK.optimizer.learning_rate=2e-4
"""

from ml_collections import ConfigDict

from configs import pretrain_storybook


def get_config() -> ConfigDict:
  config = ConfigDict()
  config.seed = 0
  config.stages = ("projector", "predictor", "interpolator")

  config.data = ConfigDict()
  config.data.source = "tav_jax/storybook/videos/man-skiing.mp4"
  config.data.start = 0
  config.data.stride = 1
  config.data.frames = 16
  config.data.width = 32
  config.data.height = 32
  config.data.fit = "stretch"
  config.data.fps = 0.0
  config.data.held_out = 3  # Of the frames, the last.
  config.data.crop = 0.95

  config.projector = stage(steps=4000, prediction="sample")
  config.predictor = stage(steps=8000, prediction="epsilon")
  config.predictor.loss = ConfigDict()
  config.predictor.loss.gaps_from = (0, 1500, 3000)
  config.interpolator = stage(steps=4000, prediction="sample")

  config.sampling = ConfigDict()
  config.sampling.new = 2
  config.sampling.length = 16
  config.sampling.gaps = (1, -1, 2, 3)
  config.sampling.doublings = 2
  config.sampling.correction = 3
  config.sampling.seed = 0
  return config.lock()


def stage(steps: int, prediction: str) -> ConfigDict:
  """The sections of a network."""
  config = pretrain_storybook.stage(
      steps=steps, batch_size=1, learning_rate=1e-3, average=0.999)
  config.optimizer.b2 = 0.999
  config.optimizer.weight_decay = 0.0
  config.model = ConfigDict()
  config.model.width = 24
  config.model.blocks = 6
  config.schedule = ConfigDict()
  config.schedule.prediction = prediction
  config.schedule.beta_schedule = "squaredcos_cap_v2"
  config.schedule.num_train_steps = 50
  config.schedule.steps_offset = 0
  config.schedule.clip_sample = True
  config.schedule.alpha_to_one = True
  return config
