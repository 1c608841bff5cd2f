"""Parts of a model that no stage trains, taken from another checkpoint."""

import pathlib
import shutil

from ml_collections import ConfigDict

from tav_jax.data import atomic
from tav_jax.pretraining import start


def source(config: ConfigDict) -> pathlib.Path | None:
  """The checkpoint that parts come from: `parts`, or else `start`."""
  return start.locate(config.get("parts", "") or config.start)


def take(config: ConfigDict, model: pathlib.Path, name: str) -> pathlib.Path:
  """The directory of a part in `model`, copied there if it can be.

  Args:
    config: A config with `start` and perhaps `parts`.
    model: The directory of the model that is trained.
    name: The part, such as "vae".
  """
  place, there = model / name, source(config)
  if there and not place.exists() and (there / name).is_dir():
    with atomic.replacing(place) as partial:
      shutil.copytree(there / name, partial)
  return place
