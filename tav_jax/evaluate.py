r"""Measures: what a config's `task` says.

  python -m tav_jax.evaluate --config=configs/evaluate.py \
      --workdir=runs/scores --config.systems="('runs/demo',)"
"""

import pathlib

from ml_collections import ConfigDict

from tav_jax import cli
from tav_jax.evaluation import judging, loveu, scoring, storybook_edit, study
from tav_jax.runs import settings
from tav_jax.runs import workdir as workdirs

_TASKS = {
    "judge": judging.run, "loveu": loveu.run, "scores": scoring.run,
    "storybook_edit": storybook_edit.run, "study": study.run}


def main(config: ConfigDict, workdir: pathlib.Path) -> None:
  """Writes tables and pictures to `workdir`."""
  settings.check_evaluation(config)
  workdirs.check(workdir, config)
  _TASKS[config.task](config, workdir)
  workdirs.write_config(workdir, config)


if __name__ == "__main__":
  cli.run(main)
