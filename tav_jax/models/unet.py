"""The inflated U-Net of Tune-A-Video (arXiv 2212.11565, Sec. 3.2).

Stable Diffusion's U-Net (`UNet2DConditionModel`) on a clip `b f h w c`: its
convolutions see one frame, its self-attention becomes sparse-causal, and every
transformer block ends in temporal attention. Without temporal attention, on
clips of one frame, it is the image model. Other ways to turn an image model
into one of videos are fields of the config. Submodules carry diffusers' names.
"""

from collections.abc import Mapping
import dataclasses

from flax import linen as nn
import jax.numpy as jnp
from jaxtyping import Float

from tav_jax.models import attention
from tav_jax.models.layers import (
  convolve,
  Downsample,
  Execution,
  ResnetBlock,
  TimestepEmbedding,
  Upsample,
)
from tav_jax.models.transformer import Transformer
from tav_jax.parallel import activations
from tav_jax.types import Array, Scalars, TextEmbeds, Timesteps

Features = Float[Array, "b f _ _ _"]
"""Activations: height, width and channels change from level to level."""


@dataclasses.dataclass(frozen=True)
class UNetConfig:
  """The settings of a `UNet2DConditionModel` of SD 1.x or 2.x, and our own.

  Attributes:
    in_channels: Channels of the latents.
    out_channels: Channels of the prediction.
    channels: Width of each level, fine to coarse.
    layers: ResNet blocks of each level on the way down; the way up has one
      more in each.
    heads: Attention heads of each level.
    down_attention: Which levels attend on the way down, fine to coarse.
    up_attention: Which levels attend on the way up, coarse to fine.
    text_width: Width of the text embeddings (`cross_attention_dim`); None for
      an unconditional network, without cross-attention.
    spatial: Which frames each frame's self-attention sees: "sparse_causal" the
      first and the previous, "own", "first", or "all".
    temporal: Temporal attention of every transformer block: "full" at its end,
      with neither mask nor positions; "relative" after the self-attention, with
      relative positions (Video Diffusion Models); "relative_causal", which also
      masks later frames; "none", the image model, without its parameters.
    convolution: "1x3x3", or "pseudo_3d" with a convolution over frames after
      each (Make-A-Video).
    scalars: Names of the numbers that the network is told of every clip besides
      the timestep, such as its frame rate; each has an embedding.
    groups: Groups of every GroupNorm.
    norm_eps: Epsilon of the ResNet blocks' GroupNorm.
    linear_projection: Linear (SD 2) or 1x1-convolution (SD 1) projections.
    flip_sin_to_cos: Cosine before sine in the timestep's features.
    freq_shift: Shift of their frequencies.
    sample_size: Latent size it was trained at; kept for export.
    execution: Type, rematerialisation and attention kernel.
  """

  in_channels: int = 4
  out_channels: int = 4
  channels: tuple[int, ...] = (320, 640, 1280, 1280)
  layers: tuple[int, ...] = (2, 2, 2, 2)
  heads: tuple[int, ...] = (8, 8, 8, 8)
  down_attention: tuple[bool, ...] = (True, True, True, False)
  up_attention: tuple[bool, ...] = (False, True, True, True)
  text_width: int | None = 768
  spatial: str = "sparse_causal"
  temporal: str = "full"
  convolution: str = "1x3x3"
  scalars: tuple[str, ...] = ()
  groups: int = 32
  norm_eps: float = 1e-5
  linear_projection: bool = False
  flip_sin_to_cos: bool = True
  freq_shift: float = 0.0
  sample_size: int | None = 64
  execution: Execution = dataclasses.field(default_factory=Execution)

  def __post_init__(self):
    for name, known in VARIANTS.items():
      if getattr(self, name) not in known:
        raise ValueError(
            f"{name}={getattr(self, name)!r}: expected {', '.join(known)}")

  @property
  def is_video(self) -> bool:
    """Whether frames of a clip know of each other."""
    return (self.temporal != "none" or self.over_frames
            or self.spatial != "own")

  @property
  def over_frames(self) -> bool:
    """Whether convolutions over frames follow those over space."""
    return self.convolution == "pseudo_3d"


VARIANTS = {
    "spatial": tuple(attention.VISIBLE),
    "temporal": ("full", "relative", "relative_causal", "none"),
    "convolution": ("1x3x3", "pseudo_3d"),
}
"""The fields that turn an image model into one of videos; allowed values."""


@dataclasses.dataclass(frozen=True)
class _Level:
  """Builds the blocks of one level with the settings they all share."""

  config: UNetConfig
  level: int

  def resnet(self, name: str) -> nn.Module:
    config = self.config
    return config.execution.block(ResnetBlock)(
        config.channels[self.level], config.groups, config.norm_eps,
        config.execution.dtype, config.over_frames, name=name)

  def transformer(self, name: str) -> nn.Module:
    config = self.config
    return config.execution.block(Transformer)(
        config.heads[self.level], config.groups, config.linear_projection,
        config.spatial, config.temporal, config.execution, name=name)


class DownBlock(nn.Module):
  """One level on the way down; also returns skips for the way up."""

  config: UNetConfig
  level: int

  @nn.compact
  def __call__(self, x: Features, time, text) -> tuple[Features, list]:
    build = _Level(self.config, self.level)
    skips = []
    for i in range(self.config.layers[self.level]):
      x = build.resnet(f"resnets_{i}")(x, time)
      if self.config.down_attention[self.level]:
        x = build.transformer(f"attentions_{i}")(x, text)
      x = activations.constrain(x, frames=1)
      skips.append(x)
    if self.level < len(self.config.channels) - 1:
      x = Downsample(
          self.config.execution.dtype, self.config.over_frames,
          name="downsamplers_0")(x)
      skips.append(x)
    return x, skips


class MidBlock(nn.Module):
  """ResNet block, transformer, ResNet block at the coarsest level."""

  config: UNetConfig

  @nn.compact
  def __call__(self, x: Features, time, text) -> Features:
    build = _Level(self.config, len(self.config.channels) - 1)
    x = build.resnet("resnets_0")(x, time)
    x = build.transformer("attentions_0")(x, text)
    return build.resnet("resnets_1")(x, time)


class UpBlock(nn.Module):
  """One level on the way up, taking its skips from the end of the list."""

  config: UNetConfig
  level: int

  @nn.compact
  def __call__(self, x: Features, skips: list, time, text) -> Features:
    config, build = self.config, _Level(self.config, self.level)
    attends = config.up_attention[len(config.channels) - 1 - self.level]
    for i in range(config.layers[self.level] + 1):
      x = jnp.concatenate([x, skips.pop()], axis=-1)
      x = build.resnet(f"resnets_{i}")(x, time)
      if attends:
        x = build.transformer(f"attentions_{i}")(x, text)
      x = activations.constrain(x, frames=1)
    if self.level > 0:
      x = Upsample(
          config.execution.dtype, config.over_frames, name="upsamplers_0")(
              x, skips[-1].shape[-3:-1])
    return x


class UNet3D(nn.Module):
  """Predicts the noise (or v) in a clip's latents, given a text or none."""

  config: UNetConfig

  @nn.compact
  def __call__(
      self,
      latents: Float[Array, "b f h w c"],
      timesteps: Timesteps,
      text_embeds: TextEmbeds | None,
      scalars: Mapping[str, Scalars] | None = None,
  ) -> Float[Array, "b f h w C"]:
    """Runs the network.

    Args:
      latents: Noisy latents, `b f h w c`, any height and width.
      timesteps: One diffusion timestep a clip, `b`.
      text_embeds: Hidden states of the text encoder, `b l e`; None for an
        unconditional network.
      scalars: The numbers that `UNetConfig.scalars` names, one a clip, each of
        the order of 1 to 1000 (as timesteps are).

    Returns:
      The prediction in float32, `b f h w c`.

    Raises:
      ValueError: If an unconditional network is given a text, or another
        network none; or other scalars than its own.
    """
    config = self.config
    if (text_embeds is None) != (config.text_width is None):
      raise ValueError(
          f"text_embeds: expected {'a' if config.text_width else 'no'} text "
          f"for a network of text_width={config.text_width}")
    told = dict(scalars or {})
    if set(told) != set(config.scalars):
      raise ValueError(
          f"scalars: expected {config.scalars}, not {tuple(told)}")
    dtype = config.execution.dtype
    levels = range(len(config.channels))
    embed = lambda name, x, **how: TimestepEmbedding(
        config.channels[0], 4 * config.channels[0], config.flip_sin_to_cos,
        config.freq_shift, dtype, name=f"{name}_embedding", **how)(x)
    time = embed("time", timesteps)
    for name in config.scalars:
      time += embed(name, told[name], starts_at_zero=True)
    text = None if text_embeds is None else text_embeds.astype(dtype)

    latents = activations.constrain(latents, frames=1)
    x = convolve(
        latents, config.channels[0], name="conv_in", dtype=dtype,
        over_frames=config.over_frames)
    skips = [x]
    for level in levels:
      x, more = DownBlock(config, level, name=f"down_blocks_{level}")(
          x, time, text)
      skips += more
    x = MidBlock(config, name="mid_block")(x, time, text)
    for i, level in enumerate(reversed(levels)):
      x = UpBlock(config, level, name=f"up_blocks_{i}")(x, skips, time, text)

    x = nn.GroupNorm(
        config.groups, epsilon=config.norm_eps, dtype=dtype,
        name="conv_norm_out")(x)
    x = convolve(
        nn.silu(x), config.out_channels, name="conv_out", dtype=dtype,
        over_frames=config.over_frames)
    return x.astype("float32")
