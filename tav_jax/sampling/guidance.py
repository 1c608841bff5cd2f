r"""Classifier-free guidance (arXiv 2207.12598) as a function of a network.

  eps = eps(negative) + scale (eps(text) - eps(negative))                (1)

Imagen Video (arXiv 2210.02303) lets the scale oscillate: it is high
for the first steps of sampling, then in turn low and high, so that clips obey
the text without saturating. The papers' weight w is scale - 1.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from tav_jax.sampling.schedule import Schedule
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

  Both of Eq. (1) come from one call of the network on twice the clips.

  Args:
    network: The network.
    text: Embeddings of the prompts, `b l e`.
    negative: Embeddings of the negative (or empty) prompts, `b l e`.
    scale: Guidance scale, or a function of the timestep, as `oscillating` gives
      it; 1 is no guidance.
  """
  both = conditional(network, jnp.concatenate([negative, text]))

  def denoise(x, timestep):
    twice = jnp.tile(timestep, 2) if jnp.ndim(timestep) else timestep
    away, towards = jnp.split(both(jnp.concatenate([x, x]), twice), 2)
    at = scale
    if callable(scale):
      at = scale(timestep)
      at = jnp.reshape(at, jnp.shape(at) + (1,) * (x.ndim - jnp.ndim(at)))
    return away + at * (towards - away)

  return denoise


def oscillating(
    schedule: Schedule, num_steps: int, high: float, low: float, constant: int
) -> Callable[[jax.Array], jax.Array]:
  """Scale at each timestep of a sampling run, for `classifier_free`.

  Args:
    schedule: The noise schedule.
    num_steps: Number of steps that the sampler takes.
    high: Scale of the first steps, and of every other one after them.
    low: Scale of the rest; the first step after the constant ones has it.
    constant: Number of first steps.
  """
  timesteps = schedule.sampling_timesteps(num_steps)
  scales = np.full(schedule.num_train_steps, high, np.float32)
  scales[timesteps[constant::2]] = low
  return lambda timestep: jnp.asarray(scales)[timestep]
