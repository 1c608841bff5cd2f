"""What stages start from: parameters of a model that was trained before.

A stage draws its initial parameters, then takes over what the earlier model has
of them. A network may have grown: what the earlier one lacks stays as drawn.
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
  """Directory of the model to start from; None for "", which is from nothing.
  """
  return files.locate(checkpoint) if checkpoint else None


def merge(
    initial: Params, earlier: Params, part: str,
    halves: Callable[[str], bool] = lambda path: False,
) -> Params:
  """The initial parameters with those of an earlier model in their place.

  An array that has grown keeps the earlier one in its first places along every
  axis: of a convolution with more channels, those that were there.

  Args:
    initial: Of the network to train.
    earlier: Of the earlier network; each must be in `initial`, too.
    part: What the network is, for the error.
    halves: Whether the channels of the array at a path are two halves that grow
      separately, as means and variances do.

  Raises:
    InputError: If the earlier network has a parameter that the new one lacks,
      or has smaller.
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
