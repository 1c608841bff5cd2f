r"""Scores of existing videos, of one system or several: the paper's, and others
that need no true edit (docs/measuring.md).

  python -m tav_jax.evaluate --config=configs/evaluate.py \
      --workdir=runs/scores --config.systems="('runs/demo', 'theirs')"

A system is a workdir of tav_jax.tune, or any folder of videos (or of folders of
frames) with a `metadata.jsonl` that gives their prompts, and perhaps their
sources with captions, for scores that look at them. The paper's CLIP is
--config.clip=openai/clip-vit-large-patch14.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
  config = ConfigDict()
  config.task = "scores"
  config.systems = ()
  config.clip = "storybook"
  config.pick_score = ""
  config.fps = 8.0
  return config.lock()
