r"""A small latent text-to-image model of the drawn world, 96x96 pixels.

  python -m tav_jax.pretrain --config=configs/pretrain_storybook.py \
      --workdir=runs/pretrain --config.start=storybook

Goes on from the embedded model; leave `start` out to train from nothing. Runs
offline, on two cores in many hours; stop it at any time and run it again. More
steps make a better model: `--config.diffusion.run.steps=100000`.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
  config = ConfigDict()
  config.seed = 0
  config.start = ""  # Or a checkpoint that was trained before, to go on from.
  config.stages = ("tokenizer", "autoencoder", "judge", "clip", "diffusion")

  config.data = ConfigDict()
  config.data.source = "storybook"
  config.data.directory = ""
  config.data.count = 60_000
  config.data.size = 96
  config.data.seed = 0
  config.data.free = True

  config.tokenizer = ConfigDict()
  config.tokenizer.vocab_size = 1000
  config.tokenizer.positions = 24
  config.tokenizer.captions = 20_000

  config.autoencoder = stage(
      steps=12_000, batch_size=8, learning_rate=1e-3, average=0.999)
  config.autoencoder.model = ConfigDict()
  config.autoencoder.model.channels = (16, 32, 64)
  config.autoencoder.model.latent_channels = 8
  config.autoencoder.model.layers = 1
  config.autoencoder.model.groups = 16
  config.autoencoder.loss = ConfigDict()
  config.autoencoder.loss.kl_weight = 1e-4

  config.judge = stage(
      steps=2000, batch_size=64, learning_rate=2e-3, average=0.99)
  config.judge.run.look_every = 250
  config.judge.model = ConfigDict()
  config.judge.model.channels = (32, 64, 128, 128)
  config.judge.model.strips = 3

  config.clip = stage(
      steps=500, batch_size=128, learning_rate=1e-3, average=0.99)
  config.clip.run.look_every = 250
  config.clip.model = ConfigDict()
  config.clip.model.width = 128
  config.clip.model.layers = 3
  config.clip.model.heads = 4
  config.clip.model.image_size = 64
  config.clip.model.patch_size = 8
  config.clip.model.embed_width = 128

  config.diffusion = stage(
      steps=20_000, batch_size=32, learning_rate=6e-4, average=0.9995)
  config.diffusion.model = ConfigDict()
  config.diffusion.model.latent = True
  config.diffusion.model.channels = (48, 96, 160)
  config.diffusion.model.layers = 1
  config.diffusion.model.attention = (True, True, True)
  config.diffusion.model.head_width = 32
  config.diffusion.model.groups = 16
  config.diffusion.model.min_snr = 5.0
  config.diffusion.model.no_caption = 0.1
  config.diffusion.schedule = ConfigDict()
  config.diffusion.schedule.prediction = "v_prediction"
  config.diffusion.schedule.beta_schedule = "scaled_linear"
  config.diffusion.schedule.beta_start = 0.00085
  config.diffusion.schedule.beta_end = 0.012
  config.diffusion.sampling = ConfigDict()
  config.diffusion.sampling.guidance = 3.0
  config.diffusion.sampling.steps = 30
  return config.lock()


def stage(steps, batch_size, learning_rate, average) -> ConfigDict:
  """The sections that every stage has."""
  config = ConfigDict()
  config.optimizer = ConfigDict()
  config.optimizer.batch_size = batch_size
  config.optimizer.learning_rate = learning_rate
  config.optimizer.warmup_steps = 200
  config.optimizer.b1 = 0.9
  config.optimizer.b2 = 0.99
  config.optimizer.eps = 1e-8
  config.optimizer.weight_decay = 0.01
  config.optimizer.clip_norm = 1.0
  config.optimizer.average = average
  config.run = ConfigDict()
  config.run.steps = steps
  config.run.steps_per_dispatch = 10
  config.run.checkpoint_every = 500
  config.run.look_every = 1000
  return config
