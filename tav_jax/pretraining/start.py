"""Starts stages from the parameters of a model that was trained before.

A stage draws its initial parameters, then replaces those that the earlier model
has. A network may have grown: what the earlier one lacks stays as it was drawn.
"""

from collections.abc import Callable
import logging
import pathlib

from flax import traverse_util
import numpy as np

from tav_jax.errors import InputError
from tav_jax.pretrained import files, names
from tav_jax.types import Params

log = logging.getLogger(__name__)


def locate(checkpoint: str) -> pathlib.Path | None:
  """Directory of the model to start from; None for "", to start from nothing.
  """
  return files.locate(checkpoint) if checkpoint else None


def merge(
    initial: Params, earlier: Params, part: str,
    halves: Callable[[str], bool] = lambda path: False,
) -> Params:
  """Initial parameters, of which an earlier model's replace those it has.

  In an array that has grown, the earlier array fills the first places along
  every axis, such as the channels that a convolution had before.

  Args:
    initial: Parameters of the network to train.
    earlier: Parameters of the earlier network; their paths are in `initial`.
    part: Name of the network, for the error message.
    halves: Whether the channels of the array at a path are two halves that grow
      separately, as means and log variances do.

  Raises:
    InputError: If the new network lacks a parameter of the earlier one, or has
      a smaller one.
  """
  new, old = names.flatten(initial), names.flatten(earlier)
  merged = {
      path: _grown(new.get(path), np.asarray(value, np.float32), halves(path),
                   f"{part} {path}")
      for path, value in old.items()}
  log.info(
      "%s: %d of %d arrays are those of the model to start from", part,
      len(old), len(new))
  return traverse_util.unflatten_dict(new | merged, sep="/")


def _grown(new, old: np.ndarray, halves: bool, name: str) -> np.ndarray:
  shape = None if new is None else new.shape
  if shape is None or len(shape) != old.ndim or any(
      n < m for n, m in zip(shape, old.shape, strict=True)):
    raise InputError(
        f"start: its {name} is of shape {old.shape}, here it is "
        f"{shape or 'missing'}; expected sizes no smaller than those of the "
        "model to start from, or start=''")
  grown = np.array(new)
  places = [
      [*range(m // 2), *range(n // 2, n // 2 + m // 2)]
      if halves and n != m else list(range(m))
      for n, m in zip(shape, old.shape, strict=True)]
  grown[np.ix_(*places)] = old
  return grown
