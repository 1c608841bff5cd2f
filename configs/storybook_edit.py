r"""StorybookEdit: every variant on drawn videos whose true edits are known.

  python -m tav_jax.evaluate --config=configs/storybook_edit.py \
      --workdir=runs/storybook_edit

Tunes, samples and scores; the same command goes on where it was interrupted.
With --config.free=True, looks and cameras are random: that takes a model and a
judge of the drawn world's second edition, and is what its scores of agreement
are for. docs/storybook_edit.md defines the scores.
"""

from ml_collections import ConfigDict

from configs import storybook, variants


def get_config() -> ConfigDict:
  config = ConfigDict()
  config.task = "storybook_edit"
  config.seed = 0
  config.videos = 16
  config.free = False
  config.clip = "storybook"
  config.judge = ""
  config.only = tuple(variants.VARIANTS)
  config.variants = ConfigDict(variants.VARIANTS)
  config.run = storybook.get_config()
  config.run.sampling.batch_size = 5  # As many as there are kinds of edits.
  return config.lock()
