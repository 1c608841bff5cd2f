"""A small convolutional classifier of pictures, with several heads."""

from collections.abc import Mapping
import dataclasses

from flax import linen as nn
import jax.numpy as jnp
from jaxtyping import Float

from tav_jax.models.layers import Conv
from tav_jax.types import Array


@dataclasses.dataclass(frozen=True)
class ClassifierConfig:
  """Its size.

  Attributes:
    heads: Number of classes of each head, by name.
    channels: Width of each level; every level halves height and width.
    groups: Groups of every GroupNorm.
  """

  heads: tuple[tuple[str, int], ...]
  channels: tuple[int, ...] = (32, 64, 128, 128)
  groups: int = 16


class Classifier(nn.Module):
  """Levels of two convolutions, the first with a stride; one layer a head."""

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
    # Where something is matters as little as how often.
    x = jnp.concatenate([x.mean((1, 2)), x.max((1, 2))], axis=-1)
    return {
        name: nn.Dense(count, name=f"head_{name}")(x)
        for name, count in config.heads}
