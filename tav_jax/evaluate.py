r"""Runs the evaluation that a config's `task` names.

  python -m tav_jax.evaluate --config=configs/evaluate.py \
      --workdir=runs/scores --config.systems="('runs/demo',)"
"""

import pathlib

from ml_collections import ConfigDict

from tav_jax import cli
from tav_jax.errors import InputError
from tav_jax.evaluation import (
  judging,
  lineage,
  loveu,
  scoring,
  storybook_edit,
  study,
)
from tav_jax.runs import settings
from tav_jax.runs import workdir as workdirs

_TASKS = {
    "judge": judging, "lineage": lineage, "loveu": loveu, "scores": scoring,
    "storybook_edit": storybook_edit, "study": study}


def check(config: ConfigDict) -> None:
  """Raises an InputError for an unknown task, or a value out of range."""
  name = config.get("task", "")
  if name not in _TASKS:
    raise InputError(f"task={name!r}: expected {', '.join(_TASKS)}")
  settings.check_ranges(config, _TASKS[name].RANGES)


def main(config: ConfigDict, workdir: pathlib.Path) -> None:
  """Writes tables and pictures to `workdir`."""
  check(config)
  workdirs.check(workdir, config.to_dict())
  if config.get("shard", "0/1") != "0/1":
    _run(config, workdir)  # Beside others; each locks the runs of its own.
    return
  with workdirs.locked(workdir):
    _run(config, workdir)


def _run(config: ConfigDict, workdir: pathlib.Path) -> None:
  _TASKS[config.task].run(config, workdir)
  workdirs.write_config(workdir, config.to_dict())


if __name__ == "__main__":
  cli.run(main)
