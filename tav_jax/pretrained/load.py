"""From a diffusers directory to networks with their parameters."""

from collections.abc import Callable, Mapping
import dataclasses
import os
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
import numpy as np

from tav_jax.errors import InputError
from tav_jax.models.clip import CLIPTextModel
from tav_jax.models.unet import UNetConfig
from tav_jax.parallel import placement
from tav_jax.pretrained import (
  files,
  foreign,
  names,
  shapes,
  vocabulary,
  weights,
)
from tav_jax.pretrained.parts import TextEncoder, VAE
from tav_jax.pretrained.tokenizer import Tokenizer
from tav_jax.pretrained.unet import read_unet
from tav_jax.sampling.schedule import Schedule
from tav_jax.types import Array, FlatParams, Params


@dataclasses.dataclass(frozen=True)
class Pretrained:
  """A latent text-to-image model, inflated for video.

  Attributes:
    unet_config: Config of the inflated U-Net.
    unet_params: The U-Net's parameters, arrays of the host.
    vae: The autoencoder.
    text_encoder: The text encoder.
    tokenizer: CLIP's tokenizer with the checkpoint's words.
    schedule: Noise schedule and kind of prediction.
  """

  unet_config: UNetConfig
  unet_params: Params
  vae: VAE
  text_encoder: TextEncoder
  tokenizer: Tokenizer
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
  loaded, unet = load_parts(
      path_or_hub_id, revision=revision, dtype=dtype, variant=variant)
  execution = dataclasses.replace(loaded.unet_config.execution, dtype=dtype)
  return dataclasses.replace(
      loaded,
      unet_config=dataclasses.replace(loaded.unet_config, execution=execution),
      unet_params=names.nest(unet, _placed(dtype)))


def load_parts(
    path_or_hub_id: str | os.PathLike,
    *,
    revision: str | None,
    dtype: Any,
    variant: Mapping[str, str] | None,
    mesh: Mesh | None = None,
) -> tuple[Pretrained, FlatParams]:
  """Like `load_pretrained`, but leaves the U-Net's parameters to the caller.

  Args:
    path_or_hub_id: As for `load_pretrained`.
    revision: Likewise.
    dtype: Type of the autoencoder and of the text encoder.
    variant: As for `load_unet`.
    mesh: The mesh on all of whose devices these two are put; None leaves them
      on the host.

  Returns:
    The model without the U-Net's parameters, and these: flat, of the types in
    the file.
  """
  root = files.locate(os.fspath(path_or_hub_id), revision)
  foreign.refuse_directory(root)
  for part in (*foreign.PARTS, "tokenizer", "scheduler"):
    if not (root / part).is_dir():
      raise InputError(
          f"checkpoint {root}: {part}/ is missing; expected {foreign.NEEDED}")
  # What is small comes first.
  schedule = shapes.load_schedule(root / "scheduler")
  tokenizer = vocabulary.load_tokenizer(root / "tokenizer")
  vocabulary.check_text(
      tokenizer, shapes.text_config(root / "text_encoder"),
      files.read_config(root / "text_encoder"), root / "tokenizer")
  unet_config, unet_params = read_unet(root / "unet", variant=variant)
  _check_widths(unet_config, root)
  return Pretrained(
      unet_config=unet_config,
      unet_params={},
      vae=load_vae(root / "vae", dtype, mesh),
      text_encoder=load_text_encoder(root / "text_encoder", dtype, mesh),
      tokenizer=tokenizer,
      schedule=schedule,
  ), unet_params


def load_vae(
    directory: pathlib.Path, dtype: Any = jnp.float32, mesh: Mesh | None = None
) -> VAE:
  """Loads `vae/` of a checkpoint; `mesh` as for `load_parts`.

  Raises as `load_unet`.
  """
  config = shapes.vae_config(directory)
  params = load_weights(directory, shapes.of_vae(config), dtype, mesh)
  return VAE(dataclasses.replace(config, dtype=dtype), params, mesh=mesh)


def load_text_encoder(
    directory: pathlib.Path, dtype: Any = jnp.float32, mesh: Mesh | None = None
) -> TextEncoder:
  """Loads `text_encoder/` of a checkpoint; arguments as for `load_vae`."""
  config = shapes.text_config(directory)
  tokens = jax.ShapeDtypeStruct((1, config.positions), jnp.int32)
  params = load_weights(
      directory, shapes.of(CLIPTextModel(config), tokens), dtype, mesh)
  config = dataclasses.replace(config, dtype=dtype)
  return TextEncoder(config, params, mesh=mesh)


def load_weights(
    directory: pathlib.Path, expected: Params, dtype: Any,
    mesh: Mesh | None = None,
) -> Params:
  """The weights in a directory, nested.

  Args:
    directory: Directory of one part.
    expected: The network's parameters without values, nested.
    dtype: Type of the result.
    mesh: The mesh on all of whose devices they are put; None leaves them on the
      host.

  Raises:
    InputError: If paths or shapes are not those expected, or numbers are not
      finite.
  """
  loaded = weights.read_weights(directory)
  names.check(names.flatten(expected), loaded, str(directory))
  weights.check_numbers(loaded, str(directory))
  return names.nest(loaded, _placed(dtype, mesh))


def _placed(dtype: Any, mesh: Mesh | None = None) -> Callable[[str, Any], Any]:
  """What gives an array its type and place; arguments as `load_weights`."""
  def convert(path: str, x: np.ndarray) -> Array:
    del path
    x = x.astype(dtype, copy=False)
    return x if mesh is None else jax.device_put(x, placement.everywhere(mesh))

  return convert


def _check_widths(unet: UNetConfig, root: pathlib.Path) -> None:
  """Raises an InputError unless the parts' widths match."""
  vae = shapes.vae_config(root / "vae")
  text = shapes.text_config(root / "text_encoder")
  other = foreign.INPUTS.get(unet.in_channels)
  for what, there, expected in (
      ("unet in_channels", unet.in_channels, vae.latent_channels),
      ("unet out_channels", unet.out_channels, vae.latent_channels),
      ("unet cross_attention_dim", unet.text_width, text.width),
      ("vae in_channels", vae.in_channels, 3),
      ("vae out_channels", vae.out_channels, 3)):
    if there != expected:
      kind = f": this is {other}, whose U-Net sees more than latents" if (
          other and what == "unet in_channels") else ""
      raise InputError(
          f"checkpoint {root}: {what} is {there}; expected {expected}, which "
          f"its other parts give{kind}. Inpainting, depth and upscaling "
          "models, and parts of different models, cannot be tuned")
