r"""Tunes a text-to-image model on one captioned video and renders edits of it.

  python -m tav_jax.tune --config=configs/storybook.py --workdir=runs/storybook

The same command resumes an interrupted run, to bit-identical parameters.
"""

from tav_jax import cli
from tav_jax.runs import tuning

if __name__ == "__main__":
  cli.run(tuning.run, multi_host=True)
