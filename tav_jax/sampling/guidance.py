"""Classifier-free guidance (arXiv 2207.12598) as a function of a network."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from tav_jax.types import Denoise, TextEmbeds, Video

Network = Callable[[Video, jax.Array, TextEmbeds | None], Video]
"""`(latents b f h w c, timesteps b, text embeddings b l e) -> prediction`."""


def conditional(network: Network, text: TextEmbeds | None) -> Denoise:
  """The network's own prediction, given a text for each clip or none at all."""

  def denoise(x, timestep):
    return network(x, jnp.broadcast_to(timestep, x.shape[:1]), text)

  return denoise


def classifier_free(
    network: Network, text: TextEmbeds, negative: TextEmbeds, scale
) -> Denoise:
  """Prediction moved from the negative prompt's towards the prompt's.

  eps = eps(negative) + scale (eps(text) - eps(negative)), both from one call of
  the network on twice the clips.

  Args:
    network: The network.
    text: Embeddings of the prompts, `b l e`.
    negative: Embeddings of the negative (or empty) prompts, `b l e`.
    scale: Guidance scale; 1 is no guidance.
  """
  both = conditional(network, jnp.concatenate([negative, text]))

  def denoise(x, timestep):
    away, towards = jnp.split(both(jnp.concatenate([x, x]), timestep), 2)
    return away + scale * (towards - away)

  return denoise
