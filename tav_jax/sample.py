r"""Renders from a workdir that was tuned, or trained, without training again.

  python -m tav_jax.sample --workdir=runs/storybook \
      --config.sampling.prompts="('a robot is skiing on the moon',)"

The config is the workdir's own; flags change its `sampling` section, and how
the model computes. Each round of samples is a new directory in the workdir's
`samples`, with the same files whatever the model.
"""

from collections.abc import Callable
import pathlib

import jax
from ml_collections import ConfigDict

from tav_jax import cli
from tav_jax.errors import InputError
from tav_jax.pretraining import one_video, render
from tav_jax.pretraining.one_video import render as of_one_video
from tav_jax.runs import edits


def main(config: ConfigDict, workdir: pathlib.Path) -> None:
  """Samples into a new directory under `workdir`/samples."""
  chosen = renderer(config)
  if chosen is not edits.render and jax.process_count() > 1:
    raise InputError(
        "--multi_host: this workdir's model renders in one process; expected "
        "it of edits; leave it out")
  chosen(config, workdir)


def renderer(
    config: ConfigDict,
) -> Callable[[ConfigDict, pathlib.Path], None]:
  """What renders from the workdir of this config, which tells its kind.

  Raises:
    InputError: If nothing does.
  """
  if "stages" not in config:
    return edits.render
  if one_video.trains(config):
    return of_one_video.render
  if render.renders(config):
    return render.render
  raise InputError(
      f"--workdir: it has a model of pictures, of stages={config.stages!r}; "
      "expected one of videos: a run of tav_jax.tune, or of tav_jax.pretrain "
      "with configs/sinfusion.py or configs/pretrain_vdm.py")


if __name__ == "__main__":
  cli.run(main, config_from_workdir=True, multi_host=True)
