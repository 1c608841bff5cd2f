r"""DDPM (arXiv 2006.11239) on small drawings: pixels, no text, no autoencoder.

  python -m tav_jax.pretrain --config=configs/pretrain_ddpm.py \
      --workdir=runs/ddpm

The paper's schedule, loss and sampler on a network for CPUs. To be told by a
caption what to draw, it needs a text encoder first:

  python -m tav_jax.pretrain --config=configs/pretrain_ddpm.py \
      --workdir=runs/ddpm-text --config.diffusion.model.captioned=True \
      --config.stages="('tokenizer', 'clip', 'diffusion')"
"""

from configs import pretrain_storybook


def get_config():
  config = pretrain_storybook.get_config()
  config.stages = ("diffusion",)
  config.data.size = 32

  config.diffusion.optimizer.learning_rate = 3e-4
  model = config.diffusion.model
  model.latent = False
  with model.unlocked():
    model.captioned = False
  model.channels = (32, 64, 96)
  model.attention = (False, True, True)
  model.min_snr = float("inf")  # L_simple.

  schedule = config.diffusion.schedule
  schedule.prediction = "epsilon"
  schedule.beta_schedule = "linear"
  schedule.beta_start = 1e-4
  schedule.beta_end = 0.02
  with schedule.unlocked():
    schedule.clip_sample = True
    schedule.alpha_to_one = True
    schedule.steps_offset = 0

  config.diffusion.sampling.steps = 250
  return config
