"""A checkpoint's config files: networks without their weights."""

from collections.abc import Mapping
import dataclasses
import os
import pathlib
from typing import Any, NamedTuple

from flax import linen as nn
import jax
import jax.numpy as jnp

from tav_jax.models.clip import CLIPTextConfig
from tav_jax.models.unet import UNet3D, UNetConfig
from tav_jax.models.vae import AutoencoderKL, VAEConfig
from tav_jax.pretrained import configs, files, foreign, schedulers
from tav_jax.sampling.schedule import Schedule
from tav_jax.types import Params


class Shapes(NamedTuple):
  """A checkpoint without its weights; parameters are `ShapeDtypeStruct`s.

  Attributes:
    unet_config: Config of the inflated U-Net.
    unet_params: Parameters of the U-Net.
    vae_config: Config of the autoencoder.
    vae_params: Parameters of the autoencoder.
    text_config: Config of the text encoder.
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
  foreign.refuse_directory(root)
  unet, vae = unet_config(root / "unet", variant), vae_config(root / "vae")
  return Shapes(
      unet, of_unet(unet), vae, of_vae(vae),
      text_config(root / "text_encoder"), load_schedule(root / "scheduler"))


def unet_config(
    directory: pathlib.Path, variant: Mapping[str, str] | None
) -> UNetConfig:
  """Config of the inflated U-Net in `unet/`; raises as `load_unet`."""
  config = configs.read_unet(
      files.read_config(directory), f"{directory}/config.json")
  changes: dict[str, Any] = dict(variant or {})
  return dataclasses.replace(config, **changes)


def vae_config(directory: pathlib.Path) -> VAEConfig:
  """Config of the autoencoder in `vae/`; raises as `load_unet`."""
  return configs.read_vae(
      files.read_config(directory), f"{directory}/config.json")


def text_config(directory: pathlib.Path) -> CLIPTextConfig:
  """Config of `text_encoder/`; raises as `load_unet`."""
  return configs.read_text_encoder(
      files.read_config(directory), f"{directory}/config.json")


def load_schedule(directory: pathlib.Path) -> Schedule:
  """The noise schedule in `scheduler/`; raises as `load_unet`."""
  return schedulers.read_schedule(
      files.read_config(directory, "scheduler_config.json"),
      f"{directory}/scheduler_config.json")


def of_unet(config: UNetConfig) -> Params:
  """The parameters of a U-Net, without values."""
  return of(
      UNet3D(config),
      jax.ShapeDtypeStruct((1, 2, 8, 8, config.in_channels), jnp.float32),
      jax.ShapeDtypeStruct((1,), jnp.int32),
      None if config.text_width is None else jax.ShapeDtypeStruct(
          (1, 2, config.text_width), jnp.float32),
      {name: jax.ShapeDtypeStruct((1,), jnp.float32)
       for name in config.scalars})


def of_vae(config: VAEConfig) -> Params:
  """The parameters of an autoencoder, without values."""
  return of(AutoencoderKL(config), jax.ShapeDtypeStruct(
      (1, config.factor, config.factor, config.in_channels), jnp.float32))


def of(module: nn.Module, *args) -> Params:
  """A network's parameters without values, given its arguments."""
  return jax.eval_shape(module.init, jax.random.key(0), *args)["params"]
