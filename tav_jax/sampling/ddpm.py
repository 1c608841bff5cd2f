r"""Ancestral sampling (DDPM, arXiv 2006.11239, Alg. 2), one `lax.scan`.

From x_t to any less noisy timestep s, taking the forward process from s to t as
a single step (in the paper s = t - 1),

  alpha = abar_t / abar_s,   beta = 1 - alpha,                           (1)

the forward process given x_0 has, Eqs. 6 and 7, a posterior N(mu, var) with

  mu  = (sqrt(abar_s) beta x_0 + sqrt(alpha) (1 - abar_s) x_t)
        / (1 - abar_t),                                                  (2)
  var = (1 - abar_s) / (1 - abar_t) beta.                                (3)

Sampling draws x_s from it with the x_0 that the network predicts in x_t; Eq. 11
is the case of predicted noise. Of the paper's two variances this is the smaller
one, exact for data of a single point (Sec. 3.2). The last step leads to x_0
itself, abar = 1, without noise.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Int
import numpy as np

from tav_jax.sampling import ddim
from tav_jax.sampling.schedule import Schedule
from tav_jax.types import Denoise, Video

Steps = Int[np.ndarray, " N"]


def sample(
    denoise: Denoise,
    schedule: Schedule,
    latents: Video,
    num_steps: int,
    key: jax.Array,
) -> Video:
  """Latents of a clip from noise, in `num_steps` calls of `denoise`.

  Args:
    denoise: `(latents, timestep) -> prediction` of the kind that the schedule's
      `prediction` names; guidance is part of it.
    schedule: The noise schedule of the model.
    latents: x_T, `b f h w c`, unit Gaussian.
    num_steps: Number of steps, at most the timesteps of training.
    key: Random key of the noise that is added, one for all clips or one for
      each; not the key from which `latents` were drawn.

  Returns:
    x_0, `b f h w c`.

  Raises:
    ValueError: If there are not that many timesteps.
  """
  _, source, target = ddim.sampling_steps(schedule, num_steps)
  return follow(denoise, schedule, latents, source, target, key)


def follow(
    denoise: Denoise,
    schedule: Schedule,
    latents: Video,
    source: Steps,
    target: Steps,
    key: jax.Array,
) -> Video:
  """Takes steps one after another; all steps, or any slice with the same key.

  Args:
    denoise: As for `sample`.
    schedule: As for `sample`.
    latents: x at the first `source`.
    source: Timesteps that the steps start from, noisiest first.
    target: Timesteps that they lead to; -1 is x_0.
    key: As for `sample`.

  Returns:
    The latents after the last step.
  """
  on_x0, on_x, variance = posterior(schedule, source, target)
  std = np.sqrt(variance)

  def body(x, step):
    timestep, on_x0, on_x, std = step
    x0, _ = schedule.x0_and_noise(x, denoise(x, timestep), timestep)
    noise = _normal(key, timestep, x.shape)
    return on_x0 * x0 + on_x * x + std * noise, None

  coefficients = (jnp.asarray(c, jnp.float32) for c in (on_x0, on_x, std))
  steps = jnp.asarray(source), *coefficients
  return jax.lax.scan(body, latents, steps)[0]


def _normal(key: jax.Array, timestep, shape: tuple[int, ...]) -> jax.Array:
  """The noise of a timestep; each clip's own, if it has a key."""
  if key.ndim:
    return jax.vmap(lambda key: _normal(key, timestep, shape[1:]))(key)
  return jax.random.normal(jax.random.fold_in(key, timestep), shape)


def posterior(
    schedule: Schedule,
    source: Steps,
    target: Steps,
) -> tuple[np.ndarray, ...]:
  """Coefficients of x_0 and x_t in Eq. (2), and Eq. (3), in float64."""
  abar = np.append(schedule.alphas_cumprod, 1.0)
  from_, to = abar[source], abar[np.where(target < 0, -1, target)]
  alpha = from_ / to
  beta = 1 - alpha
  return (np.sqrt(to) * beta / (1 - from_),
          np.sqrt(alpha) * (1 - to) / (1 - from_),
          (1 - to) / (1 - from_) * beta)
