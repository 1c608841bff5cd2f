r"""NextNet, the network of SinFusion (arXiv 2211.11743, Sec. 4 and App. A).

Blocks of one width in a row, all at full resolution, without attention: what a
pixel becomes depends on its neighbourhood alone, so the network learns patches
of its one video and not its frames by heart. With N blocks numbered from 0,

  input of block i = [output of block i - 1]                   for i < N/2,
                     [output of block i - 1, of block N-1-i]   for i >= N/2,

and a block, as in ConvNeXt (arXiv 2201.03545), is

  h = depthwise_7x7(x) + linear(gelu(embedding))                         (1)
  y = conv_3x3(gelu(conv_3x3(norm(h), 3 width)), width) + x              (2)

where `norm` is over channels, the first block has none, and x passes a 1x1
convolution where widths differ. The embedding is that of the noise level, and
beside it, if there are gaps, that of the gap between two frames. The kernels
reach 3 + 1 + 1 pixels, so the whole network sees 5 N pixels to each side.
"""

import dataclasses
import math

from flax import linen as nn
import jax.numpy as jnp
from jaxtyping import Float, Real

from tav_jax.models.convolution import depthwise
from tav_jax.models.layers import Conv
from tav_jax.types import Array

_KERNEL, _EXPANSION = 7, 3
_NORM_EPS = 1e-5


@dataclasses.dataclass(frozen=True)
class NextNetConfig:
  """A NextNet; the defaults are the paper's.

  Attributes:
    in_channels: Channels of the noisy frame and of those it is conditioned on.
    out_channels: Channels of a frame.
    width: Channels of every block, and of an embedding.
    blocks: Number of blocks.
    gaps: Whether the network is told how many frames lie between its condition
      and its output.
  """

  in_channels: int = 3
  out_channels: int = 3
  width: int = 64
  blocks: int = 16
  gaps: bool = False

  @property
  def receptive_field(self) -> int:
    """Height and width in pixels of what an output pixel depends on."""
    return 1 + self.blocks * (_KERNEL - 1 + 2 + 2)


class NextNet(nn.Module):
  """The network; leading axes are frames that do not see each other."""

  config: NextNetConfig

  @nn.compact
  def __call__(
      self,
      x: Float[Array, "*b h w c"],
      level: Float[Array, "*b"],
      gap: Real[Array, "*b"] | None = None,
  ) -> Float[Array, "*b h w C"]:
    """A prediction for each frame.

    Args:
      x: The condition's channels, then those of the noisy frame.
      level: Its noise level, sqrt(abar): 1 is no noise.
      gap: How many frames after the condition it lies, if `config.gaps`.

    Raises:
      ValueError: If a gap is missing, or the network has no use for it.
    """
    config = self.config
    if config.gaps != (gap is not None):
      raise ValueError(f"gap={gap}: the network has gaps={config.gaps}")
    embed = lambda name, value: Embedding(config.width, name=name)(value)
    embedding = embed("level_embedding", level)
    if gap is not None:
      embedding = jnp.concatenate(
          [embedding, embed("gap_embedding", gap)], axis=-1)
    first_half = (config.blocks + 1) // 2
    outputs: list[Array] = []
    for i in range(config.blocks):
      if i >= first_half:
        x = jnp.concatenate([x, outputs.pop()], axis=-1)
      x = Block(config.width, norm=i > 0, name=f"blocks_{i}")(x, embedding)
      if i < first_half:
        outputs.append(x)
    return Conv(config.out_channels, 1, name="conv_out")(x)


class Block(nn.Module):
  """Eqs. (1) and (2)."""

  width: int
  norm: bool

  @nn.compact
  def __call__(
      self, x: Float[Array, "*b h w c"], embedding: Float[Array, "*b e"]
  ) -> Float[Array, "*b h w C"]:
    channels = x.shape[-1]
    shift = nn.Dense(channels, name="embedding_proj")(
        nn.gelu(embedding, approximate=False))
    h = DepthwiseConv(name="depthwise")(x) + shift[..., None, None, :]
    if self.norm:
      h = nn.LayerNorm(_NORM_EPS, name="norm")(h)
    h = Conv(_EXPANSION * self.width, name="expand")(h)
    h = Conv(self.width, name="project")(nn.gelu(h, approximate=False))
    if channels != self.width:
      x = Conv(self.width, 1, name="conv_shortcut")(x)
    return x + h


class DepthwiseConv(nn.Module):
  """A 7x7 kernel for every channel; zeros beyond the frame."""

  @nn.compact
  def __call__(self, x: Float[Array, "*b h w c"]) -> Float[Array, "*b h w c"]:
    kernel = self.param(
        "kernel", nn.initializers.lecun_normal(),
        (_KERNEL, _KERNEL, 1, x.shape[-1]))
    bias = self.param("bias", nn.initializers.zeros_init(), (x.shape[-1],))
    return depthwise(x, kernel[:, :, 0]) + bias


class Embedding(nn.Module):
  """Sinusoidal features of a number and a two-layer perceptron.

  The number is a noise level in [0, 1] or a signed gap, so the slowest waves
  count little; the released code has the same.
  """

  width: int

  @nn.compact
  def __call__(self, value: Real[Array, "*b"]) -> Float[Array, "*b e"]:
    half = self.width // 2
    rates = jnp.exp(-math.log(10000.0) * jnp.arange(half) / max(1, half - 1))
    angles = jnp.asarray(value, jnp.float32)[..., None] * rates
    x = jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)
    x = nn.Dense(4 * self.width, name="linear_1")(x)
    return nn.Dense(self.width, name="linear_2")(
        nn.gelu(x, approximate=False))
