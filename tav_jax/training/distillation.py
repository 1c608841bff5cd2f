r"""What a student of progressive distillation predicts (arXiv 2202.00512).

One DDIM step of the student, from t to s, is to lead where two of its teacher
do, from t by way of m to s (Alg. 2). With the teacher's x_s, the student's x_0
has to be (App. G; alpha = sqrt(abar), sigma = sqrt(1 - abar))

  x~ = (x_s - sigma_s / sigma_t x_t) / (alpha_s - sigma_s / sigma_t alpha_t).
                                                                         (1)

The student starts as a copy of the teacher, learns by the mean square of what
it predicts (for v, that of x_0 times SNR + 1, Sec. 4) and becomes the teacher
of the next student, of half as many steps.

A guided teacher is first distilled into one network without guidance (arXiv
2210.03142, Sec. 3.1; Imagen Video): at any t the target is the teacher's own
prediction, `classifier_free(...)(x_t, t)`. Neither clips x_0.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from tav_jax.sampling import ddim
from tav_jax.sampling.schedule import Schedule
from tav_jax.types import Denoise, Timesteps, Video


def steps(
    schedule: Schedule, num_steps: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Timesteps `(t, m, s)` of a student's steps, noisiest first.

  The student asks at the t of `ddim.sampling_steps(schedule, num_steps)`, the
  teacher at the t and m of twice as many steps; the last s is -1.

  Raises:
    ValueError: If the steps of a student are not every other of its teacher.
      Those of "trailing" spacing are, for any power of two.
  """
  _, source, end = ddim.sampling_steps(schedule, num_steps)
  _, asked, _ = ddim.sampling_steps(schedule, 2 * num_steps)
  if not np.array_equal(source, asked[::2]):
    raise ValueError(
        f"num_steps={num_steps}, spacing={schedule.spacing!r}: these steps are "
        f"not every other of {2 * num_steps}; expected a power of two, and "
        "trailing")
  return source, asked[1::2], end


def target(
    teacher: Denoise,
    schedule: Schedule,
    x: Video,
    source: Timesteps,
    middle: Timesteps,
    end: Timesteps,
) -> jax.Array:
  """The prediction at `source` that implies the x_0 of Eq. (1).

  Args:
    teacher: `(x, timesteps b) -> prediction`; guidance may be part of it.
    schedule: The noise schedule of both; with abar_t = 0, that of v.
    x: x_t, `b f h w c`.
    source: t of each clip.
    middle: m of each clip.
    end: s of each clip; -1 is the schedule's end.
  """
  free = dataclasses.replace(schedule, clip_sample=False)
  x, source, middle, end = map(jnp.asarray, (x, source, middle, end))
  at_middle = ddim.step(free, x, teacher(x, source), source, middle)
  at_end = ddim.step(
      free, at_middle, teacher(at_middle, middle), middle, end)
  (signal, sigma), (end_signal, end_sigma) = (
      free.like(x, time) for time in (source, end))
  ratio = end_sigma / sigma
  x0 = (at_end - ratio * x) / (end_signal - ratio * signal)
  return jax.lax.stop_gradient(free.prediction_of(x0, x, source))
