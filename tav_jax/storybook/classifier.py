"""A small convolutional classifier of pictures, with several heads."""

from collections.abc import Mapping
import dataclasses

from einops import rearrange
from flax import linen as nn
import jax.numpy as jnp
from jaxtyping import Bool, Float

from tav_jax.models.layers import Conv
from tav_jax.types import Array


@dataclasses.dataclass(frozen=True)
class ClassifierConfig:
  """The classifier's sizes.

  Attributes:
    heads: Number of classes of each head, by name.
    channels: Width of each level; every level halves height and width.
    groups: Groups of every GroupNorm.
    strips: Upright strips of the picture that are pooled apart.
  """

  heads: tuple[tuple[str, int], ...]
  channels: tuple[int, ...] = (32, 64, 128, 128)
  groups: int = 16
  strips: int = 1


class Classifier(nn.Module):
  """Levels of two convolutions each, the first strided; a layer for each head.
  """

  config: ClassifierConfig

  @nn.compact
  def __call__(
      self, images: Float[Array, "b h w c"]
  ) -> Mapping[str, Float[Array, "b _"]]:
    """Logits of every head, for images in [-1, 1]."""
    config, x = self.config, images
    for i, width in enumerate(config.channels):
      for j, stride in enumerate((2, 1)):
        x = Conv(width, stride=stride, name=f"conv_{i}_{j}")(x)
        x = nn.GroupNorm(config.groups, name=f"norm_{i}_{j}")(x)
        x = nn.silu(x)
    # Mean and maximum of each strip: within it, position must not matter, nor
    # how often a thing occurs.
    strip = jnp.arange(x.shape[2]) * config.strips // x.shape[2]
    pooled = []
    for i in range(config.strips):
      inside = (strip == i)[:, None]
      pooled += [x.mean((1, 2), where=inside), _highest(x, inside)]
    x = jnp.concatenate(pooled, axis=-1)
    return {
        name: nn.Dense(count, name=f"head_{name}")(x)
        for name, count in config.heads}


def _highest(
    x: Float[Array, "b h w c"], inside: Bool[Array, "w 1"]
) -> Float[Array, "b c"]:
  """The maximum of each channel, taken from where it is.

  The gradient of `x.max` looks for the places that equal the maximum. Where a
  compiler rounds `x` differently there, it finds none and divides by 0.
  """
  masked = jnp.where(inside, x, -jnp.inf)
  place = rearrange(masked, "b h w c -> b (h w) c").argmax(1, keepdims=True)
  return jnp.take_along_axis(
      rearrange(x, "b h w c -> b (h w) c"), place, 1)[:, 0]
