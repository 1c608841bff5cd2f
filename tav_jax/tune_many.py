r"""Tunes on many videos, a few at a time in one program, and renders edits.

  python -m tav_jax.tune_many --config=configs/storybook.py \
      --videos=videos.csv --together=8 --workdir=runs/many

Every video has a directory of its own in the workdir, as of tav_jax.tune. The
same command goes on where it was; a video that fails does not stop the others.
See tav_jax/runs/manifest.py for the list of videos.
"""

import pathlib

from absl import flags
from ml_collections import ConfigDict

from tav_jax import cli
from tav_jax.data import names
from tav_jax.runs import manifest, many

_VIDEOS = flags.DEFINE_string(
    "videos", "", "List of videos, .csv, .tsv, .txt or .jsonl.")
_TOGETHER = flags.DEFINE_integer(
    "together", 1, "How many videos of equal shape to tune in one program.")
_SHARD = flags.DEFINE_string(
    "shard", "0/1", "Part i of n of the list, as i/n, of this process.")


def main(config: ConfigDict, workdir: pathlib.Path) -> None:
  """Tunes the shard's videos."""
  path = names.at_home(_VIDEOS.value)
  jobs = manifest.read(path, config, workdir)
  many.run(many.shard(jobs, _SHARD.value), _TOGETHER.value)


if __name__ == "__main__":
  cli.run(main, multi_host=True)
