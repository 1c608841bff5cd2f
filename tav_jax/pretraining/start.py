"""What stages start from: parameters of a model that was trained before.

A stage draws its initial parameters, then takes over what the earlier model has
of them. A network may have grown: what the earlier one lacks stays as drawn.
"""

import logging
import pathlib

from flax import traverse_util
import jax.numpy as jnp

from tav_jax.errors import InputError
from tav_jax.pretrained import files, names
from tav_jax.types import Params

log = logging.getLogger(__name__)


def locate(checkpoint: str) -> pathlib.Path | None:
  """Directory of the model to start from; None for "", which is from nothing.
  """
  return files.locate(checkpoint) if checkpoint else None


def merge(initial: Params, earlier: Params, part: str) -> Params:
  """The initial parameters with those of an earlier model in their place.

  Args:
    initial: Of the network to train.
    earlier: Of the earlier network; each must be in `initial`, too.
    part: What the network is, for the error.

  Raises:
    InputError: If the earlier network has a parameter that the new one lacks,
      or has in another shape.
  """
  new, old = names.flatten(initial), names.flatten(earlier)
  for path, value in old.items():
    wanted = new[path].shape if path in new else None
    if wanted != value.shape:
      raise InputError(
          f"start: its {part} has {path} of shape {value.shape}, "
          f"here it is {wanted or 'missing'}; give the {part} the sizes that "
          "the model to start from has, or start from nothing (start='')")
  log.info(
      "%s: %d of %d arrays are those of the model to start from", part,
      len(old), len(new))
  return traverse_util.unflatten_dict(
      new | {path: jnp.asarray(x, jnp.float32) for path, x in old.items()},
      sep="/")
