r"""DDIM sampling and inversion (arXiv 2010.02502), each one `lax.scan`.

From the x_0 and eps that the network predicts in x_t (schedule.py), a step goes
to any other timestep s, Eq. 12 with eta = 0:

  x_s = sqrt(abar_s) x_0 + sqrt(1 - abar_s) eps                          (1)

Sampling takes s = t - T/N, from noise to data. Inversion (Sec. 4.3) applies the
same rule from data to noise: x is at t - T/N, the network is asked at t, and
the step leads to t.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Float
import numpy as np

from tav_jax.sampling.schedule import Schedule
from tav_jax.types import Array, Denoise, Video

Path = Float[Array, "N b f h w c"]


def step(schedule: Schedule, x: Video, prediction: Video, source, target):
  """Eq. (1): the x at timestep `target` from the x at `source`."""
  x0, noise = schedule.x0_and_noise(x, prediction, source)
  return schedule.add_noise(x0, noise, target)


def sample(
    denoise: Denoise, schedule: Schedule, latents: Video, num_steps: int
) -> Video:
  """Latents of a clip from noise, in `num_steps` calls of `denoise`.

  Args:
    denoise: `(latents, timestep) -> prediction` of the kind that the schedule's
      `prediction` names; guidance is part of it.
    schedule: The noise schedule of the model.
    latents: x_T, `b f h w c`: unit Gaussian, or what `invert` returned.
    num_steps: DDIM steps.

  Returns:
    x_0, `b f h w c`.
  """
  steps = sampling_steps(schedule, num_steps)
  return follow(denoise, schedule, latents, *steps)[0]


def invert(
    denoise: Denoise, schedule: Schedule, latents: Video, num_steps: int
) -> Video:
  """The noise from which `sample` leads back to `latents`.

  Exact as `num_steps` grows, for any kind of prediction. Arguments as for
  `sample`, with x_0 as `latents`.
  """
  steps = inversion_steps(schedule, num_steps)
  return follow(denoise, schedule, latents, *steps)[0]


def invert_path(denoise, schedule, latents: Video, num_steps: int) -> Path:
  """Like `invert`, but returns all N = num_steps + 1 latents on the way."""
  steps = inversion_steps(schedule, num_steps)
  path = follow(denoise, schedule, latents, *steps)[1]
  return jnp.concatenate([latents[None], path])


def sampling_steps(schedule: Schedule, num_steps: int):
  """Timesteps `(asked, source, target)` of a sampling run, noisiest first.

  The last target is -1, the schedule's end.
  """
  timesteps = schedule.sampling_timesteps(num_steps)
  return timesteps, timesteps, np.append(timesteps[1:], np.int32(-1))


def inversion_steps(schedule: Schedule, num_steps: int):
  """Timesteps `(asked, source, target)` of an inversion, cleanest first."""
  asked, source, target = sampling_steps(schedule, num_steps)
  return asked[::-1], target[::-1], source[::-1]


def follow(denoise, schedule, latents: Video, asked, source, target):
  """Takes steps one after another; all steps, or any slice of them.

  Returns:
    The latents after the last step, and the latents after each step.
  """

  def body(x, timesteps):
    asked, source, target = timesteps
    x = step(schedule, x, denoise(x, asked), source, target)
    return x, x

  timesteps = tuple(map(jnp.asarray, (asked, source, target)))
  return jax.lax.scan(body, latents, timesteps)
