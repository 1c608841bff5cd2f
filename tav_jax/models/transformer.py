"""The transformer of the inflated U-Net (Tune-A-Video, Sec. 3.2, Fig. 4).

A block has, in this order, sparse-causal attention, cross-attention to the
text, a feed-forward layer and temporal attention, each after a LayerNorm and
with a residual. An unconditional network has no cross-attention and an image
network no temporal attention, nor parameters of them. On a single frame,
sparse-causal attention is self-attention.

In Video Diffusion Models (arXiv 2204.03458, Sec. 3) temporal attention follows
spatial attention at once and knows how far apart two frames are: head n adds

  b_n(clip(k - q, -R, R))                                                (1)

to the score of frame k for frame q (relative positions, arXiv 1803.02155, Eq.
3-4, in the form of one learned number).
"""

from typing import Any

from einops import rearrange
from flax import linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Float
import numpy as np

from tav_jax.models import attention
from tav_jax.models.layers import Conv, Execution
from tav_jax.parallel import activations
from tav_jax.types import Array, Hidden, TextEmbeds, Video


def _split_heads(x: jax.Array, heads: int) -> jax.Array:
  return rearrange(x, "b ... s (n d) -> b n ... s d", n=heads)


def _merge_heads(x: Float[Array, "b n f s d"]) -> Hidden:
  return rearrange(x, "b n f s d -> b f s (n d)")


class SpatialAttention(nn.Module):
  """Each frame attends to the frames it sees.

  Attributes:
    heads: Attention heads.
    visible: Which frames it sees, a key of `attention.VISIBLE`.
    execution: Type of the arithmetic, and attention kernel.
  """

  heads: int
  visible: str
  execution: Execution

  @nn.compact
  def __call__(self, x: Hidden) -> Hidden:
    q, k, v = _project_qkv(x, x, self.heads, self.execution.dtype)
    y = attention.attend(
        q, k, v, self.visible, self.execution.attention,
        self.execution.attention_block)
    return _project_out(_merge_heads(y), x.shape[-1], self.execution.dtype)


class CrossAttention(nn.Module):
  """Every position of every frame attends to the text."""

  heads: int
  execution: Execution

  @nn.compact
  def __call__(self, x: Hidden, text: TextEmbeds) -> Hidden:
    q, k, v = _project_qkv(x, text, self.heads, self.execution.dtype)
    one = lambda x: rearrange(x, "b n l d -> b n 1 l d")
    y = attention.attend(
        q, one(k), one(v), "first", self.execution.attention,
        self.execution.attention_block)
    return _project_out(_merge_heads(y), x.shape[-1], self.execution.dtype)


class TemporalAttention(nn.Module):
  """Every position attends to itself in all frames; starts out as zero.

  With a zero output projection the inflated network equals the image model
  until it is tuned.

  Attributes:
    heads: Attention heads.
    relative: Whether scores depend on how far apart frames are, Eq. (1).
    causal: Whether frames do not see later frames.
    execution: Type of the arithmetic, and attention kernel.
  """

  heads: int
  relative: bool
  causal: bool
  execution: Execution

  @nn.compact
  def __call__(self, x: Hidden) -> Hidden:
    x = rearrange(x, "b f s c -> b s f c")  # Frames are the positions here.
    # On a mesh each device takes all frames of some places.
    x = activations.constrain(x, frames=1)
    q, k, v = _project_qkv(
        x, x, self.heads, self.execution.dtype, kernel_init=_TORCH_LINEAR)
    # And so of their gradients.
    here = lambda x: activations.constrain(x, frames=2)
    y = here(attention.temporal(
        here(q), here(k), here(v), self._bias(x.shape[2])))
    y = _project_out(
        _merge_heads(y), x.shape[-1], self.execution.dtype,
        kernel_init=nn.initializers.zeros_init())
    return activations.constrain(
        rearrange(y, "b s f c -> b f s c"), frames=1)

  def _bias(self, frames: int) -> Float[Array, "n q k"] | float:
    """Eq. (1), and the mask."""
    if not self.relative:
      return 0.0
    learned = self.param(
        "relative_bias", nn.initializers.zeros_init(),
        (self.heads, 2 * _FURTHEST + 1))
    apart = np.arange(frames) - np.arange(frames)[:, None]
    bias = learned[:, apart.clip(-_FURTHEST, _FURTHEST) + _FURTHEST]
    return jnp.where(apart > 0, -jnp.inf, bias) if self.causal else bias


_FURTHEST = 32  # R of Eq. (1).


# torch.nn.Linear's default, uniform in +-1/sqrt(fan_in).
_TORCH_LINEAR = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


def _project_qkv(x, context, heads: int, dtype: Any, **dense):
  """Projections named as in diffusers, as children of the calling module."""
  project = lambda name, y: _split_heads(
      nn.Dense(x.shape[-1], use_bias=False, dtype=dtype, name=name, **dense)(y),
      heads)
  return project("to_q", x), project("to_k", context), project("to_v", context)


def _project_out(y, features: int, dtype: Any, **dense):
  return nn.Dense(features, dtype=dtype, name="to_out_0", **dense)(y)


class GEGLU(nn.Module):
  """GELU-gated linear unit (arXiv 2002.05202), with the exact GELU."""

  features: int
  dtype: Any

  @nn.compact
  def __call__(self, x: Hidden) -> Float[Array, "b f s C"]:
    x = nn.Dense(2 * self.features, dtype=self.dtype, name="proj")(x)
    x, gate = jnp.split(x, 2, axis=-1)
    return x * nn.gelu(gate, approximate=False)


class FeedForward(nn.Module):
  """GEGLU to four times the width and back."""

  dtype: Any

  @nn.compact
  def __call__(self, x: Hidden) -> Hidden:
    y = GEGLU(4 * x.shape[-1], self.dtype, name="net_0")(x)
    return nn.Dense(x.shape[-1], dtype=self.dtype, name="net_2")(y)


class TransformerBlock(nn.Module):
  """Spatial attention, cross-attention, feed-forward, temporal attention."""

  heads: int
  spatial: str
  temporal: str
  execution: Execution

  @nn.compact
  def __call__(self, x: Hidden, text: TextEmbeds | None) -> Hidden:
    heads, execution = self.heads, self.execution
    relative = self.temporal.startswith("relative")
    norm = lambda name: nn.LayerNorm(
        epsilon=1e-5, dtype=execution.dtype, name=name)
    over_time = lambda x: TemporalAttention(
        heads, relative, self.temporal == "relative_causal", execution,
        name="attn_temp")(norm("norm_temp")(x))
    x += SpatialAttention(heads, self.spatial, execution, name="attn1")(
        norm("norm1")(x))
    if relative:
      x += over_time(x)
    if text is not None:
      x += CrossAttention(heads, execution, name="attn2")(
          norm("norm2")(x), text)
    x += FeedForward(execution.dtype, name="ff")(norm("norm3")(x))
    if self.temporal == "full":
      x += over_time(x)
    return x


class Transformer(nn.Module):
  """Per-frame GroupNorm, projection in, one block, projection out, residual.

  Attributes:
    heads: Attention heads.
    groups: Groups of the GroupNorm at the entry.
    linear_projection: Whether the projections are linear layers (SD 2) or 1x1
      convolutions (SD 1); the function is the same, the stored shapes differ.
    spatial: As `UNetConfig.spatial`.
    temporal: As `UNetConfig.temporal`.
    execution: Type of the arithmetic, and attention kernel.
  """

  heads: int
  groups: int
  linear_projection: bool
  spatial: str
  temporal: str
  execution: Execution

  @nn.compact
  def __call__(self, x: Video, text: TextEmbeds | None) -> Video:
    h, c = x.shape[2], x.shape[-1]
    dtype = self.execution.dtype

    def project(name: str) -> nn.Module:
      if self.linear_projection:
        return nn.Dense(c, dtype=dtype, name=name)
      return Conv(c, 1, dtype=dtype, name=name)

    y = nn.GroupNorm(
        self.groups, epsilon=1e-6, dtype=dtype, reduction_axes=(-3, -2, -1),
        name="norm")(x)
    y = rearrange(project("proj_in")(y), "b f h w c -> b f (h w) c")
    y = TransformerBlock(
        self.heads, self.spatial, self.temporal, self.execution,
        name="transformer_blocks_0")(y, text)
    y = rearrange(y, "b f (h w) c -> b f h w c", h=h)
    return x + project("proj_out")(y)
