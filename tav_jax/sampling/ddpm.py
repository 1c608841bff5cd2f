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
one, exact for data of a single point (Sec. 3.2); the larger, exact for data of
unit variance, is beta. Video Diffusion Models (arXiv 2204.03458, Sec. 2) lie
between the two, at a share gamma of the way in log space:

  var = ((1 - abar_s) / (1 - abar_t) beta)^(1 - gamma) beta^gamma.       (4)

The last step leads to x_0 itself, abar = 1, without noise.

Their predictor-corrector sampler takes one Langevin step of size delta after
each but the last, at the noise level that was reached, z ~ N(0, 1):

  x_s <- x_s - delta / 2 sqrt(1 - abar_s) eps(x_s)
         + sqrt(delta) sqrt(1 - abar_s) z                                (5)
       = (1 - delta / 2) x_s + delta / 2 sqrt(abar_s) x_0(x_s)
         + sqrt(delta (1 - abar_s)) z,

like Eq. (2) a sum of x, the predicted x_0 and noise. Where x_0 is clipped, eps
is the noise that belongs to the clipped one.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Int
import numpy as np

from tav_jax.sampling import ddim, keys
from tav_jax.sampling.schedule import Schedule
from tav_jax.types import Denoise, Video

Steps = Int[np.ndarray, " N"]


def sample(
    denoise: Denoise,
    schedule: Schedule,
    latents: Video,
    num_steps: int,
    key: jax.Array,
    *,
    gamma: float = 0.0,
    langevin: float = 0.0,
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
    gamma: Where the variance lies between its bounds, Eq. (4): 0 is the smaller
      one, 1 the larger; 0.1 to 0.3 in Video Diffusion Models.
    langevin: delta of Eq. (5), 0.1 in Video Diffusion Models; it takes
      `num_steps` - 1 more calls of `denoise`. 0 is none.

  Returns:
    x_0, `b f h w c`.

  Raises:
    ValueError: If there are not that many timesteps.
  """
  _, source, target = ddim.sampling_steps(schedule, num_steps)
  return follow(
      denoise, schedule, latents, source, target, key, gamma=gamma,
      langevin=langevin)


def follow(
    denoise: Denoise,
    schedule: Schedule,
    latents: Video,
    source: Steps,
    target: Steps,
    key: jax.Array,
    *,
    gamma: float = 0.0,
    langevin: float = 0.0,
) -> Video:
  """Takes steps one after another; all steps, or any slice with the same key.

  Args:
    denoise: As for `sample`.
    schedule: As for `sample`.
    latents: x at the first `source`.
    source: Timesteps that the steps start from, noisiest first.
    target: Timesteps that they lead to; -1 is x_0.
    key: As for `sample`.
    gamma: As for `sample`.
    langevin: As for `sample`.

  Returns:
    The latents after the last step.
  """
  on_x0, on_x, variance = posterior(schedule, source, target, gamma)
  rows = source, source, on_x0, on_x, np.sqrt(variance)
  if langevin:
    rows = _corrected(rows, schedule, target, langevin)

  def body(x, step):
    timestep, stream, on_x0, on_x, std = step
    x0, _ = schedule.x0_and_noise(x, denoise(x, timestep), timestep)
    noise = keys.normal(keys.fold(key, stream), x.shape)
    return on_x0 * x0 + on_x * x + std * noise, None

  coefficients = (jnp.asarray(c, jnp.float32) for c in rows[2:])
  steps = *map(jnp.asarray, rows[:2]), *coefficients
  return jax.lax.scan(body, latents, steps)[0]


def _corrected(rows, schedule: Schedule, target: Steps, delta: float):
  """Eq. (5) after each row of steps but one that ends at x_0.

  Rows are of the timestep asked, the stream of the noise, and the coefficients
  of x_0, x_t and noise.
  """
  last = target < 0
  at = np.where(last, 0, target)
  abar = schedule.alphas_cumprod[at]
  corrections = (
      at, at + schedule.num_train_steps, delta / 2 * np.sqrt(abar),
      np.full(abar.shape, 1 - delta / 2), np.sqrt(delta * (1 - abar)))
  taken = np.stack([np.full(last.shape, True), ~last], 1).ravel()
  return tuple(
      np.stack(pair, 1).ravel()[taken]
      for pair in zip(rows, corrections, strict=True))


def posterior(
    schedule: Schedule,
    source: Steps,
    target: Steps,
    gamma: float = 0.0,
) -> tuple[np.ndarray, ...]:
  """Coefficients of x_0 and x_t in Eq. (2), and Eq. (4), in float64."""
  abar = np.append(schedule.alphas_cumprod, 1.0)
  from_, to = abar[source], abar[np.where(target < 0, -1, target)]
  alpha = from_ / to
  beta = 1 - alpha
  smaller = (1 - to) / (1 - from_) * beta
  variance = smaller ** (1 - gamma) * beta**gamma
  return (np.sqrt(to) * beta / (1 - from_),
          np.sqrt(alpha) * (1 - to) / (1 - from_),
          np.where(target < 0, 0.0, variance))
