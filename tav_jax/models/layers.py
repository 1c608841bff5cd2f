"""The layers that the U-Net and the autoencoder share.

Every 3x3 convolution is the paper's 1x3x3 (Sec. 3.2): it sees one frame at a
time, so its kernel keeps the two-dimensional shape of the image model. All
leading axes of an input are batch axes to it. GroupNorm, in contrast, pools
over every axis but the first and the channels: given `b f h w c` its
statistics are the clip's, given `(b f) h w c` they are the frame's.

Make-A-Video (arXiv 2209.14792, Sec. 3.2.1) lets a convolution over frames
follow each of these ("pseudo-3-D"); at its start it is the identity.
"""

import dataclasses
import math
from typing import Any

from einops import rearrange
from flax import linen as nn
import jax.numpy as jnp
from jaxtyping import Float

from tav_jax.models.convolution import convolution
from tav_jax.parallel import activations
from tav_jax.types import Array, Scalars


@dataclasses.dataclass(frozen=True)
class Execution:
  """How a network is executed: speed, memory and rounding, not the function.

  Attributes:
    dtype: Type of activations and products; softmax and statistics are float32.
    remat: Recompute every block's activations in the backward pass.
    attention: Kernel of spatial and cross-attention: a key of
      `attention.KERNELS`.
    attention_block: Query positions of a frame that "blockwise" attention
      handles at a time; 0 handles all. Memory for the scores grows with it.
  """

  dtype: Any = jnp.float32
  remat: bool = False
  attention: str = "blockwise"
  attention_block: int = 0

  def block(self, module: type[nn.Module]) -> type[nn.Module]:
    """`module`, rematerialised if asked for."""
    return nn.remat(module) if self.remat else module


class Conv(nn.Module):
  """1x3x3 (or 1x1x1) convolution that pads both sides equally, as torch does.
  """

  features: int
  size: int = 3
  stride: int = 1
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: Float[Array, "*b h w c"]) -> Float[Array, "*b H W C"]:
    kernel = self.param(
        "kernel", nn.initializers.lecun_normal(),
        (self.size, self.size, x.shape[-1], self.features))
    bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
    x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
    frames = max(x.ndim - 4, 0)  # Of images, they lie where frames would.
    return activations.by_frame(self._convolve, frames=frames)(x, kernel) + bias

  def _convolve(self, x, kernel):
    y = convolution(x.reshape(-1, *x.shape[-3:]), kernel, self.stride)
    return y.reshape(*x.shape[:-3], *y.shape[-3:])


class TemporalConv(nn.Module):
  """Convolution over three frames at every position; starts as the identity.

  Frames before the first and after the last are zeros. A clip of one frame, a
  picture, is left as it is (Imagen Video, arXiv 2210.02303, Sec. 2.6), so that
  a network may learn from pictures and clips at once.
  """

  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: Float[Array, "b f h w c"]) -> Float[
      Array, "b f h w c"]:
    frames, channels = x.shape[1], x.shape[-1]
    kernel = self.param(
        "kernel", _middle_is_identity, (3, channels, channels))
    bias = self.param("bias", nn.initializers.zeros_init(), (channels,))
    x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
    if frames == 1:
      return x
    x = jnp.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0), (0, 0)))
    return bias + sum(
        jnp.einsum("bfhwc,cd->bfhwd", x[:, i:i + frames], kernel[i])
        for i in range(3))


def _middle_is_identity(key, shape, dtype=jnp.float32):
  del key
  return jnp.zeros(shape, dtype).at[1].set(jnp.eye(shape[1], dtype=dtype))


def convolve(
    x: Float[Array, "*b h w c"], features: int, *, name: str, dtype: Any,
    over_frames: bool = False, stride: int = 1,
) -> Float[Array, "*b H W C"]:
  """A 1x3x3 convolution of the calling module; then, if asked, over frames."""
  x = Conv(features, stride=stride, dtype=dtype, name=name)(x)
  return TemporalConv(dtype, name=f"{name}_temp")(x) if over_frames else x


class TimestepEmbedding(nn.Module):
  """Sinusoidal features of the timestep and a two-layer perceptron.

  DDPM (arXiv 2006.11239), Appendix B. Another number than the timestep that a
  network learns to be told later starts at zero, and so changes nothing.
  """

  channels: int
  hidden: int
  flip_sin_to_cos: bool = True
  freq_shift: float = 0.0
  dtype: Any = jnp.float32
  starts_at_zero: bool = False

  @nn.compact
  def __call__(
      self, timesteps: Scalars
  ) -> Float[Array, "b c"]:
    half = self.channels // 2
    rates = jnp.exp(
        -math.log(10000.0) * jnp.arange(half, dtype=jnp.float32)
        / (half - self.freq_shift))
    angles = timesteps[:, None].astype(jnp.float32) * rates
    waves = [jnp.sin(angles), jnp.cos(angles)]
    if self.flip_sin_to_cos:
      waves.reverse()
    x = jnp.concatenate(waves, axis=-1)
    x = nn.Dense(self.hidden, dtype=self.dtype, name="linear_1")(x)
    last = nn.initializers.zeros_init() if self.starts_at_zero else _DENSE
    return nn.Dense(
        self.hidden, dtype=self.dtype, kernel_init=last, name="linear_2")(
            nn.silu(x))


_DENSE = nn.linear.default_kernel_init


class ResnetBlock(nn.Module):
  """Two convolutions with a residual; a timestep, if given, shifts features."""

  features: int
  groups: int
  eps: float
  dtype: Any = jnp.float32
  over_frames: bool = False

  @nn.compact
  def __call__(
      self,
      x: Float[Array, "*b h w c"],
      time: Float[Array, "b e"] | None = None,
  ) -> Float[Array, "*b h w C"]:
    norm = lambda name: nn.GroupNorm(
        self.groups, epsilon=self.eps, dtype=self.dtype, name=name)
    conv = lambda name, y: convolve(
        y, self.features, name=name, dtype=self.dtype,
        over_frames=self.over_frames)
    y = conv("conv1", nn.silu(norm("norm1")(x)))
    if time is not None:
      shift = nn.Dense(self.features, dtype=self.dtype, name="time_emb_proj")(
          nn.silu(time))
      y += rearrange(shift, "b c -> b 1 1 1 c")
    y = conv("conv2", nn.silu(norm("norm2")(y)))
    if x.shape[-1] != self.features:
      x = Conv(self.features, 1, dtype=self.dtype, name="conv_shortcut")(x)
    return x + y


class Downsample(nn.Module):
  """Halves height and width, rounding up."""

  dtype: Any = jnp.float32
  over_frames: bool = False

  @nn.compact
  def __call__(self, x: Float[Array, "*b h w c"]) -> Float[Array, "*b H W c"]:
    return convolve(
        x, x.shape[-1], name="conv", dtype=self.dtype,
        over_frames=self.over_frames, stride=2)


class Upsample(nn.Module):
  """Nearest-neighbour up-sampling to `size`, then a convolution.

  `size` is twice the input or one less (the size that Downsample halved), for
  which repeating and cropping is torch's `interpolate(size=..., "nearest")`.
  """

  dtype: Any = jnp.float32
  over_frames: bool = False

  @nn.compact
  def __call__(
      self, x: Float[Array, "*b h w c"], size: tuple[int, int]
  ) -> Float[Array, "*b H W c"]:
    x = jnp.repeat(jnp.repeat(x, 2, axis=-3), 2, axis=-2)
    x = x[..., :size[0], :size[1], :]
    return convolve(
        x, x.shape[-1], name="conv", dtype=self.dtype,
        over_frames=self.over_frames)
