r"""The loss of CLIP (arXiv 2103.00020, Sec. 2.3, Fig. 3).

Of b pairs of unit vectors, with logits l_ij = scale image_i . text_j,

  L = 1/2 (CE over texts of each image + CE over images of each text),   (1)

each a mean over the batch of the cross entropy with i = j as the right answer.
The scale is clipped so that logits stay within +-100 (Sec. 2.5).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Float

from tav_jax.types import Array

Embeds = Float[Array, "b e"]
MAX_SCALE = 100.0


def contrastive_loss(
    image: Embeds, text: Embeds, scale: Float[Array, ""] | float
) -> Float[Array, ""]:
  """Eq. (1) in nats: the pairs of a batch against each other.

  Args:
    image: Unit vectors of the images, `b e`.
    text: Unit vectors of their texts, in the same order.
    scale: Inverse temperature (not its logarithm). Above 100 it counts as 100
      and receives no gradient.
  """
  logits = jnp.minimum(scale, MAX_SCALE) * _cosines(image, text)
  right = -jnp.mean(jnp.diagonal(logits))
  by_image = jax.nn.logsumexp(logits, axis=1)
  by_text = jax.nn.logsumexp(logits, axis=0)
  return right + (jnp.mean(by_image) + jnp.mean(by_text)) / 2


def retrieval(
    image: Embeds, text: Embeds
) -> tuple[Float[Array, ""], Float[Array, ""]]:
  """Top-1 accuracy, in [0, 1], of finding each image's text and vice versa.

  Args:
    image: Unit vectors of the images, `b e`.
    text: Unit vectors of their texts, in the same order.
  """
  cosines, right = _cosines(image, text), jnp.arange(len(image))
  accuracy = lambda axis: jnp.mean(jnp.argmax(cosines, axis=axis) == right)
  return accuracy(1), accuracy(0)


def _cosines(image: Embeds, text: Embeds) -> Float[Array, "b b"]:
  return jnp.einsum("ie,je->ij", image, text)
