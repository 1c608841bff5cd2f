"""From a diffusers directory to networks with their parameters."""

from collections.abc import Mapping
import dataclasses
import os
import pathlib
from typing import Any, NamedTuple

from flax import linen as nn
from flax import traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import transformers

from tav_jax.errors import InputError
from tav_jax.models.clip import CLIPTextConfig, CLIPTextModel
from tav_jax.models.unet import UNet3D, UNetConfig
from tav_jax.models.vae import AutoencoderKL, VAEConfig
from tav_jax.pretrained import configs, files, names, schedulers
from tav_jax.pretrained.parts import TextEncoder, VAE
from tav_jax.sampling.schedule import Schedule
from tav_jax.types import Params


@dataclasses.dataclass(frozen=True)
class Pretrained:
  """A latent text-to-image model, inflated for video.

  Attributes:
    unet_config: The inflated U-Net.
    unet_params: Its parameters, arrays of the host.
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
  unet_config, unet_params = load_unet(root / "unet", variant=variant)
  compute = dataclasses.replace(unet_config.compute, dtype=dtype)
  pretrained = Pretrained(
      unet_config=dataclasses.replace(unet_config, compute=compute),
      unet_params=cast(unet_params, dtype),
      vae=load_vae(root / "vae", dtype),
      text_encoder=_load_text_encoder(root / "text_encoder", dtype),
      tokenizer=load_tokenizer(root / "tokenizer"),
      schedule=load_schedule(root / "scheduler"),
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
      weights under torch names; or "none", then there are none and the network
      is the image model (`UNetConfig.temporal`). By default they are read from
      `directory`, if there, and else start so that the network equals the image
      model.
    variant: Values of fields of `models.unet.VARIANTS`, for another way to
      inflate it than Tune-A-Video's.

  Returns:
    Its config and its parameters, float32 arrays of the host.

  Raises:
    InputError: If it cannot be read, or weights and config do not match.
  """
  directory = pathlib.Path(directory)
  if (directory / "unet").is_dir():
    directory = directory / "unet"
  config = _unet_config(directory, variant)
  loaded = dict(names.flatten(files.read_weights(directory)))
  if temporal == "none":
    config = dataclasses.replace(config, temporal="none")
  elif temporal is not None:
    loaded.update(names.flatten(names.read_torch_names(
        files.read_safetensors([pathlib.Path(temporal)]))))
  expected = names.flatten(unet_shapes(config))
  if not any(_is_temporal(path) for path in loaded):
    loaded.update(_initial_temporal(expected))
  params = names.strict_merge(
      traverse_util.unflatten_dict(expected, sep="/"),
      traverse_util.unflatten_dict(loaded, sep="/"), str(directory))
  del loaded  # Nothing else may hold on to what is cast.
  return config, cast(params, jnp.float32)


def _unet_config(
    directory: pathlib.Path, variant: Mapping[str, str] | None
) -> UNetConfig:
  config = configs.read_unet(
      files.read_config(directory), f"{directory}/config.json")
  return dataclasses.replace(config, **(variant or {}))


def unet_shapes(config: UNetConfig) -> Params:
  """The parameters of a U-Net, without values."""
  return shapes(
      UNet3D(config),
      jax.ShapeDtypeStruct((1, 2, 8, 8, config.in_channels), jnp.float32),
      jax.ShapeDtypeStruct((1,), jnp.int32),
      None if config.text_width is None else jax.ShapeDtypeStruct(
          (1, 2, config.text_width), jnp.float32))


def _is_temporal(path: str) -> bool:
  return "_temp/" in path


def _initial_temporal(expected) -> dict[str, np.ndarray]:
  """Temporal layers that change nothing yet, as their modules start.

  Norms; identities over frames; torch's default, with zeros out.
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
  config = _vae_config(directory)
  params = names.strict_merge(
      _vae_shapes(config), files.read_weights(directory), str(directory))
  return VAE(dataclasses.replace(config, dtype=dtype), cast(params, dtype))


def _vae_config(directory: pathlib.Path) -> VAEConfig:
  return configs.read_vae(
      files.read_config(directory), f"{directory}/config.json")


def _vae_shapes(config: VAEConfig) -> Params:
  return shapes(AutoencoderKL(config), jax.ShapeDtypeStruct(
      (1, config.factor, config.factor, config.in_channels), jnp.float32))


def load_schedule(directory: pathlib.Path) -> Schedule:
  """Loads `scheduler/` of a checkpoint; raises as `load_unet`."""
  return schedulers.read_schedule(
      files.read_config(directory, "scheduler_config.json"),
      f"{directory}/scheduler_config.json")


def _load_text_encoder(directory: pathlib.Path, dtype) -> TextEncoder:
  config = _text_config(directory)
  tokens = jax.ShapeDtypeStruct((1, config.positions), jnp.int32)
  params = names.strict_merge(
      shapes(CLIPTextModel(config), tokens), files.read_weights(directory),
      str(directory))
  return TextEncoder(
      dataclasses.replace(config, dtype=dtype), cast(params, dtype))


def _text_config(directory: pathlib.Path) -> CLIPTextConfig:
  return configs.read_text_encoder(
      files.read_config(directory), f"{directory}/config.json")


class Shapes(NamedTuple):
  """A checkpoint without its weights; parameters are `ShapeDtypeStruct`s.

  Attributes:
    unet_config: The inflated U-Net.
    unet_params: Its parameters.
    vae_config: The autoencoder.
    vae_params: Its parameters.
    text_config: The text encoder.
    schedule: Noise schedule and kind of prediction.
  """

  unet_config: UNetConfig
  unet_params: Params
  vae_config: VAEConfig
  vae_params: Params
  text_config: CLIPTextConfig
  schedule: Schedule


def load_shapes(
    path_or_hub_id: str | os.PathLike,
    *,
    revision: str | None = None,
    variant: Mapping[str, str] | None = None,
) -> Shapes:
  """Reads a checkpoint's config files alone; arguments as `load_pretrained`."""
  root = files.locate(
      os.fspath(path_or_hub_id), revision, files.diffusion_configs)
  unet, vae = _unet_config(root / "unet", variant), _vae_config(root / "vae")
  return Shapes(
      unet, unet_shapes(unet), vae, _vae_shapes(vae),
      _text_config(root / "text_encoder"), load_schedule(root / "scheduler"))


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


def shapes(module: nn.Module, *args) -> Params:
  """A network's parameters without values, given its arguments."""
  return jax.eval_shape(module.init, jax.random.key(0), *args)["params"]


def cast(params: Params, dtype) -> Params:
  """Parameters of another type; the given nested dict is emptied.

  One array after the other, so that there are never two copies of more than
  one.
  """
  flat = traverse_util.flatten_dict(params)
  params.clear()
  return traverse_util.unflatten_dict({
      path: flat.pop(path).astype(dtype, copy=False) for path in list(flat)})


def _check_widths(loaded: Pretrained, root: pathlib.Path) -> None:
  """Whether the parts fit one another."""
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
