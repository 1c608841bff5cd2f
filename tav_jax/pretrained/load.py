"""From a diffusers directory to networks with their parameters."""

from collections.abc import Mapping
import dataclasses
import os
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import transformers

from tav_jax.errors import InputError
from tav_jax.models.clip import CLIPTextModel
from tav_jax.models.unet import UNetConfig
from tav_jax.pretrained import files, names, shapes
from tav_jax.pretrained.parts import TextEncoder, VAE
from tav_jax.sampling.schedule import Schedule
from tav_jax.types import FlatParams, Params


@dataclasses.dataclass(frozen=True)
class Pretrained:
  """A latent text-to-image model, inflated for video.

  Attributes:
    unet_config: Config of the inflated U-Net.
    unet_params: The U-Net's parameters, arrays of the host.
    vae: The autoencoder.
    text_encoder: The text encoder.
    tokenizer: transformers' tokenizer.
    schedule: Noise schedule and kind of prediction.
  """

  unet_config: UNetConfig
  unet_params: Params
  vae: VAE
  text_encoder: TextEncoder
  tokenizer: Any
  schedule: Schedule


def load_pretrained(
    path_or_hub_id: str | os.PathLike,
    *,
    revision: str | None = None,
    dtype: Any = None,
    variant: Mapping[str, str] | None = None,
) -> Pretrained:
  """Loads a Stable Diffusion 1.x or 2.x checkpoint, or one of its family.

  Args:
    path_or_hub_id: A diffusers directory, a hub id, or "storybook", the model
      that comes with the package.
    revision: Branch, tag or commit on the hub (`flax` has Flax weights).
    dtype: Type of parameters and arithmetic; float32 by default.
    variant: How the U-Net is inflated; see `load_unet`.

  Returns:
    Networks and parameters. New temporal layers start as the identity.

  Raises:
    InputError: If the checkpoint cannot be found, read or understood.
  """
  dtype = jnp.dtype(dtype or jnp.float32)
  root = files.locate(os.fspath(path_or_hub_id), revision)
  for part in (*files.PARTS, "tokenizer", "scheduler"):
    if not (root / part).is_dir():
      raise InputError(
          f"checkpoint {root}: {part}/ is missing; expected a diffusers "
          "directory with unet/, vae/, text_encoder/, tokenizer/, scheduler/")
  unet_config, unet_params = _load_unet(root / "unet", None, variant, dtype)
  compute = dataclasses.replace(unet_config.compute, dtype=dtype)
  pretrained = Pretrained(
      unet_config=dataclasses.replace(unet_config, compute=compute),
      unet_params=unet_params,
      vae=load_vae(root / "vae", dtype),
      text_encoder=_load_text_encoder(root / "text_encoder", dtype),
      tokenizer=load_tokenizer(root / "tokenizer"),
      schedule=shapes.load_schedule(root / "scheduler"),
  )
  _check_widths(pretrained, root)
  return pretrained


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
  return _load_unet(directory, temporal, variant, jnp.float32)


def _load_unet(
    directory: pathlib.Path, temporal: str | os.PathLike | None,
    variant: Mapping[str, str] | None, dtype: Any,
) -> tuple[UNetConfig, Params]:
  config = shapes.unet_config(directory, variant)
  loaded = files.read_weights(directory)
  if temporal == "none":
    config = dataclasses.replace(config, temporal="none")
  elif temporal is not None:
    loaded |= names.flat_from_torch(
        files.read_safetensors([pathlib.Path(temporal)]))
  expected = shapes.of_unet(config)
  if not any(_is_temporal(path) for path in loaded):
    loaded |= _initial_temporal(names.flatten(expected))
  return config, take(loaded, expected, dtype, str(directory))


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
    if not _is_temporal(path):
      continue
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


def load_vae(directory: pathlib.Path, dtype=jnp.float32) -> VAE:
  """Loads `vae/` of a checkpoint; raises as `load_unet`."""
  config = shapes.vae_config(directory)
  params = take(
      files.read_weights(directory), shapes.of_vae(config), dtype,
      str(directory))
  return VAE(dataclasses.replace(config, dtype=dtype), params)


def _load_text_encoder(directory: pathlib.Path, dtype) -> TextEncoder:
  config = shapes.text_config(directory)
  tokens = jax.ShapeDtypeStruct((1, config.positions), jnp.int32)
  params = take(
      files.read_weights(directory), shapes.of(CLIPTextModel(config), tokens),
      dtype, str(directory))
  return TextEncoder(dataclasses.replace(config, dtype=dtype), params)


def load_tokenizer(directory: pathlib.Path):
  """The CLIP tokenizer in a directory.

  Raises:
    InputError: If there is none.
  """
  try:
    return transformers.CLIPTokenizer.from_pretrained(directory)
  except (OSError, TypeError, ValueError) as error:
    raise InputError(
        f"{directory}: not a CLIP tokenizer; expected vocab.json and "
        "merges.txt there") from error


def take(
    loaded: FlatParams, expected: Params, dtype: Any, source: str
) -> Params:
  """Nested parameters of one type from flat ones, which are emptied.

  Arrays are converted one by one, so that there are never two copies of more
  than one.

  Args:
    loaded: The parameters that were read; empty afterwards.
    expected: The network's parameters without values, nested.
    dtype: Type of the result.
    source: Where they were read from, for the error message.

  Raises:
    InputError: If paths or shapes are not those expected.
  """
  names.check(names.flatten(expected), loaded, source)
  return names.unflatten({
      path: loaded.pop(path).astype(dtype, copy=False)
      for path in list(loaded)})


def _check_widths(loaded: Pretrained, root: pathlib.Path) -> None:
  """Raises an InputError unless the parts' widths match."""
  unet, vae = loaded.unet_config, loaded.vae.config
  for what, there, expected in (
      ("unet in_channels", unet.in_channels, vae.latent_channels),
      ("unet out_channels", unet.out_channels, vae.latent_channels),
      ("unet cross_attention_dim", unet.text_width,
       loaded.text_encoder.config.width)):
    if there != expected:
      raise InputError(
          f"checkpoint {root}: {what} is {there}; expected {expected}, which "
          "its other parts give. Inpainting, depth and upscaling models, and "
          "parts of different models, cannot be tuned")
