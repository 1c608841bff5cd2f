"""A checkpoint's U-Net, inflated for video."""

from collections.abc import Mapping
import dataclasses
import os
import pathlib

import numpy as np

from tav_jax.models.unet import UNetConfig
from tav_jax.pretrained import names, shapes, weights
from tav_jax.types import FlatParams, Params


def load_unet(
    directory: str | os.PathLike,
    temporal: str | os.PathLike | None = None,
    variant: Mapping[str, str] | None = None,
) -> tuple[UNetConfig, Params]:
  """Loads a U-Net, inflated unless told otherwise.

  Args:
    directory: `unet/` of a checkpoint, or the checkpoint: an image model's, or
      a tuned video model's in the authors' layout.
    temporal: Where the temporal layers come from: a safetensors file with their
      weights under torch names; or "none", for the image model without such
      layers (`UNetConfig.temporal`). By default they are read from `directory`
      if it has them; if not, they start so that the network equals the image
      model.
    variant: Values of the fields `models.unet.VARIANTS`, for a network that is
      inflated in another way than Tune-A-Video's.

  Returns:
    The U-Net's config and its parameters, float32 arrays of the host.

  Raises:
    InputError: If a file cannot be read, or weights and config do not match.
  """
  directory = pathlib.Path(directory)
  if (directory / "unet").is_dir():
    directory = directory / "unet"
  config, params = read_unet(directory, temporal, variant)
  return config, names.nest(
      params, lambda _, x: x.astype(np.float32, copy=False))


def read_unet(
    directory: pathlib.Path, temporal: str | os.PathLike | None = None,
    variant: Mapping[str, str] | None = None,
) -> tuple[UNetConfig, FlatParams]:
  """Like `load_unet` of `unet/`: flat parameters, of the types in the file."""
  config = shapes.unet_config(directory, variant)
  loaded = weights.read_weights(directory)
  if temporal == "none":
    config = dataclasses.replace(config, temporal="none")
  elif temporal is not None:
    loaded |= names.flat_from_torch(
        weights.read_safetensors([pathlib.Path(temporal)]))
  expected = names.flatten(shapes.of_unet(config))
  new = [] if any(map(_is_temporal, loaded)) else [
      path for path in expected if _is_temporal(path)]
  # Before anything is made of the sizes in a config.
  names.check({path: x for path, x in expected.items() if path not in new},
              loaded, str(directory))
  weights.check_numbers(loaded, str(directory))
  return config, loaded | _initial_temporal({x: expected[x] for x in new})


def _is_temporal(path: str) -> bool:
  return "_temp/" in path


def _initial_temporal(expected: FlatParams) -> FlatParams:
  """New temporal layers, which change nothing until they are tuned.

  Norms start as identities, convolutions as identities over frames; attention
  starts as torch's default, but with output projections of zero.
  """
  random = np.random.default_rng(0)
  initial = {}
  for path, leaf in expected.items():
    if "/to_out_0/" in path or path.endswith("bias"):
      initial[path] = np.zeros(leaf.shape, np.float32)
    elif "attn_temp/" not in path and path.endswith("/kernel"):
      initial[path] = np.zeros(leaf.shape, np.float32)
      initial[path][1] = np.eye(leaf.shape[1])
    elif path.endswith("/scale"):
      initial[path] = np.ones(leaf.shape, np.float32)
    else:
      bound = leaf.shape[0] ** -0.5
      initial[path] = random.uniform(
          -bound, bound, leaf.shape).astype(np.float32)
  return initial
