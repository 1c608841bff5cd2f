r"""StorybookEdit: every variant on drawn videos whose true edits are known.

  python -m tav_jax.evaluate --config=configs/storybook_edit.py \
      --workdir=runs/storybook_edit

Tunes, samples and scores; the same command goes on where it was interrupted.
"""

from ml_collections import ConfigDict

from configs import storybook, variants


def get_config() -> ConfigDict:
  config = ConfigDict()
  config.task = "storybook_edit"
  config.seed = 0
  config.videos = 8
  config.clip = "storybook"
  config.only = tuple(variants.VARIANTS)
  config.variants = ConfigDict(variants.VARIANTS)
  config.run = storybook.get_config()
  config.run.sampling.batch_size = 5  # As many as there are kinds of edits.
  return config.lock()
