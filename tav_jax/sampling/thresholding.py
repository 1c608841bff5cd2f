r"""Dynamic thresholding (Imagen, arXiv 2205.11487, Sec. 2.3).

High guidance scales lead x_0 out of [-1, 1]. With s a percentile of |x_0| over
a clip, but at least 1, every step takes

  x_0 <- clip(x_0, -s, s) / s,                                           (1)

which, unlike clipping to [-1, 1] (`Schedule.clip_sample`), moves saturated
pixels inwards. For models of pixels; guidance of any kind comes first:
`dynamic(classifier_free(...), ...)`.
"""

import dataclasses

import jax.numpy as jnp

from tav_jax.sampling.schedule import Schedule
from tav_jax.types import Denoise


def dynamic(
    denoise: Denoise, schedule: Schedule, percentile: float
) -> Denoise:
  """`denoise` with the x_0 of Eq. (1), and the noise that belongs to it.

  Args:
    denoise: `(x, timestep) -> prediction`, guidance included.
    schedule: The noise schedule.
    percentile: 0 to 100; 100 scales alone and clips nothing.
  """
  unclipped = dataclasses.replace(schedule, clip_sample=False)

  def thresholded(x, timestep):
    x0, _ = unclipped.x0_and_noise(x, denoise(x, timestep), timestep)
    size = jnp.percentile(
        jnp.abs(x0), percentile, axis=(1, 2, 3, 4), keepdims=True)
    size = jnp.maximum(size, 1)
    return schedule.prediction_of(
        jnp.clip(x0, -size, size) / size, x, timestep)

  return thresholded
