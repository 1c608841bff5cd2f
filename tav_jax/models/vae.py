"""The KL autoencoder of latent diffusion (arXiv 2112.10752), per image.

Submodules carry diffusers' names (`AutoencoderKL`).
"""

import dataclasses
from typing import Any

from einops import rearrange
from flax import linen as nn
import jax.numpy as jnp
from jaxtyping import Float

from tav_jax.models import attention
from tav_jax.models.layers import Conv, ResnetBlock, Upsample
from tav_jax.types import Array


@dataclasses.dataclass(frozen=True)
class VAEConfig:
  """The settings of a diffusers `AutoencoderKL`, and our own.

  Attributes:
    in_channels: Channels of the images.
    out_channels: Channels of the reconstruction.
    latent_channels: Channels of the latents.
    channels: Width of each level, fine to coarse.
    layers: ResNet blocks of each level; one more in the decoder.
    groups: Groups of every GroupNorm.
    scaling_factor: Factor by which the diffusion model's latents are scaled.
    sample_size: Image size it was trained at; kept for export.
    dtype: Type of activations.
    attention_block: Query positions the middle attention handles at a time.
  """

  in_channels: int = 3
  out_channels: int = 3
  latent_channels: int = 4
  channels: tuple[int, ...] = (128, 256, 512, 512)
  layers: int = 2
  groups: int = 32
  scaling_factor: float = 0.18215
  sample_size: int | None = 512
  dtype: Any = jnp.float32
  attention_block: int = 1024

  @property
  def factor(self) -> int:
    """Pixels that a latent covers along height, and along width."""
    return 2 ** (len(self.channels) - 1)


class Attention(nn.Module):
  """Single-head self-attention over the positions of one image."""

  config: VAEConfig

  @nn.compact
  def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    config = self.config
    dense = lambda name: nn.Dense(x.shape[-1], dtype=config.dtype, name=name)
    y = nn.GroupNorm(
        config.groups, epsilon=1e-6, dtype=config.dtype, name="group_norm")(x)
    y = rearrange(y, "b h w c -> b 1 1 (h w) c")  # One head, one frame.
    q, k, v = dense("to_q")(y), dense("to_k")(y), dense("to_v")(y)
    y = attention.attend(q, k, v, "own", block=config.attention_block)
    y = dense("to_out_0")(y)
    return x + rearrange(y, "b 1 1 (h w) c -> b h w c", h=x.shape[1])


class MidBlock(nn.Module):
  """ResNet block, attention, ResNet block."""

  config: VAEConfig

  @nn.compact
  def __call__(self, x):
    x = _resnet(self.config, -1, "resnets_0")(x)
    x = Attention(self.config, name="attentions_0")(x)
    return _resnet(self.config, -1, "resnets_1")(x)


def _resnet(config: VAEConfig, level: int, name: str) -> ResnetBlock:
  return ResnetBlock(
      config.channels[level], config.groups, 1e-6, config.dtype, name=name)


class Downsample(nn.Module):
  """Halves even sizes; unlike the U-Net's, it pads only below and right."""

  dtype: Any

  @nn.compact
  def __call__(self, x):
    return nn.Conv(
        x.shape[-1], (3, 3), (2, 2), padding=((0, 1), (0, 1)),
        dtype=self.dtype, name="conv")(x)


class DownBlock(nn.Module):
  """One level of the encoder."""

  config: VAEConfig
  level: int

  @nn.compact
  def __call__(self, x):
    for i in range(self.config.layers):
      x = _resnet(self.config, self.level, f"resnets_{i}")(x)
    if self.level < len(self.config.channels) - 1:
      x = Downsample(self.config.dtype, name="downsamplers_0")(x)
    return x


class UpBlock(nn.Module):
  """One level of the decoder."""

  config: VAEConfig
  level: int

  @nn.compact
  def __call__(self, x):
    for i in range(self.config.layers + 1):
      x = _resnet(self.config, self.level, f"resnets_{i}")(x)
    if self.level > 0:
      size = (2 * x.shape[-3], 2 * x.shape[-2])
      x = Upsample(self.config.dtype, name="upsamplers_0")(x, size)
    return x


class Encoder(nn.Module):
  """Images to the two moments of their posterior, side by side in channels."""

  config: VAEConfig

  @nn.compact
  def __call__(self, x):
    config = self.config
    x = Conv(config.channels[0], dtype=config.dtype, name="conv_in")(x)
    for level in range(len(config.channels)):
      x = DownBlock(config, level, name=f"down_blocks_{level}")(x)
    x = MidBlock(config, name="mid_block")(x)
    return _head(config, 2 * config.latent_channels, x)


class Decoder(nn.Module):
  """Latents to images."""

  config: VAEConfig

  @nn.compact
  def __call__(self, x):
    config = self.config
    x = Conv(config.channels[-1], dtype=config.dtype, name="conv_in")(x)
    x = MidBlock(config, name="mid_block")(x)
    for i, level in enumerate(reversed(range(len(config.channels)))):
      x = UpBlock(config, level, name=f"up_blocks_{i}")(x)
    return _head(config, config.out_channels, x)


def _head(config: VAEConfig, features: int, x):
  """The last normalisation and convolution of the calling module."""
  x = nn.GroupNorm(
      config.groups, epsilon=1e-6, dtype=config.dtype, name="conv_norm_out")(x)
  return Conv(features, dtype=config.dtype, name="conv_out")(nn.silu(x))


class AutoencoderKL(nn.Module):
  """Encoder and decoder; latents are unscaled here."""

  config: VAEConfig

  def setup(self):
    config = self.config
    self.encoder = Encoder(config)
    self.decoder = Decoder(config)
    self.quant_conv = Conv(2 * config.latent_channels, 1, dtype=config.dtype)
    self.post_quant_conv = Conv(config.latent_channels, 1, dtype=config.dtype)

  def encode(
      self, images: Float[Array, "b h w c"]
  ) -> tuple[Float[Array, "b H W z"], Float[Array, "b H W z"]]:
    """Posterior mean and log-variance of images in [-1, 1], in float32.

    Height and width must be multiples of `config.factor`.
    """
    moments = self.quant_conv(self.encoder(images)).astype(jnp.float32)
    mean, logvar = jnp.split(moments, 2, axis=-1)
    return mean, jnp.clip(logvar, -30.0, 20.0)

  def decode(self, latents: Float[Array, "b H W z"]) -> Float[Array, "b h w c"]:
    """Images, roughly in [-1, 1], of unscaled latents, in float32."""
    return self.decoder(self.post_quant_conv(latents)).astype(jnp.float32)

  def __call__(self, images: Float[Array, "b h w c"]):
    """Round trip through the posterior's mean."""
    return self.decode(self.encode(images)[0])
