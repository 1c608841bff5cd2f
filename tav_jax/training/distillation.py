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

from collections.abc import Callable
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tav_jax.models.clip import CLIPTextConfig, CLIPTextModel
from tav_jax.models.unet import UNet3D, UNetConfig
from tav_jax.sampling import ddim, guidance
from tav_jax.sampling.schedule import Schedule
from tav_jax.training import diffusion
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


def loss(
    unet: UNetConfig, text: CLIPTextConfig | None, schedule: Schedule,
    num_steps: int, guidance_scale: float,
):
  """The mean square of what a student predicts, as a `training.step.Loss`.

  Parameters are `{"unet": ...}`; frozen ones `{"teacher": ..., "text": ...}`.
  A batch is as `training.diffusion.loss` has it, without pictures beside the
  clips; with text, its `blank` holds the tokens of the empty caption, `b l`.

  Args:
    unet: The network of student and teacher.
    text: The text encoder, or None.
    schedule: The noise schedule of both.
    num_steps: The student's steps, or 0 for a student that is to do at any
      timestep what its guided teacher does.
    guidance_scale: Scale of the teacher's guidance; 1 is none.
  """
  apply: Callable[..., Any] = UNet3D(unet).apply
  asked, middle, end = map(jnp.asarray, steps(schedule, num_steps)) if (
      num_steps) else (jnp.arange(schedule.num_train_steps),) * 3

  def loss(trainable, frozen, batch, key):
    posterior, noise, timestep = jax.random.split(key, 3)
    mean, std = (batch[k].astype(jnp.float32) for k in ("mean", "std"))
    x0 = mean + std * jax.random.normal(posterior, mean.shape)
    which = diffusion.stratified(timestep, len(x0), len(asked))
    t, m, s = asked[which], middle[which], end[which]
    x = schedule.add_noise(x0, jax.random.normal(noise, mean.shape), t)
    embeds: Any = None
    blank: Any = None
    if text is not None:
      encode = lambda tokens: CLIPTextModel(text).apply(
          {"params": frozen["text"]}, tokens)
      embeds, blank = encode(batch["tokens"]), encode(batch["blank"])

    def network(params):
      return lambda x, t, text: apply(
          {"params": params}, x, t, text, batch.get("scalars"))

    teacher = guidance.conditional(network(frozen["teacher"]), embeds)
    if guidance_scale != 1:
      teacher = guidance.classifier_free(
          network(frozen["teacher"]), embeds, blank, guidance_scale)
    wanted = target(teacher, schedule, x, t, m, s) if num_steps else (
        jax.lax.stop_gradient(teacher(x, t)))
    return jnp.mean((network(trainable["unet"])(x, t, embeds) - wanted) ** 2)

  return loss
