r"""The stochastic sampler of distilled models (arXiv 2210.02303).

A distilled network is trained for DDIM steps t_0 > t_1 > ... > t_N, t_N being
the schedule's end. Imagen Video takes, from t_i, the deterministic step (Eq. 1
of ddim.py) of *twice* the size, to s = t_{i+2}, and then a stochastic step back
of the original size, to k = t_{i+1}, along the forward process:

  x_k = sqrt(abar_k / abar_s) x_s + sqrt(1 - abar_k / abar_s) z.         (1)

The last step, t_{N-1} to t_N, is deterministic alone. All in all there are N
calls of the network, as many as DDIM has.
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
) -> Video:
  """Latents of a clip from noise, in `num_steps` calls of `denoise`.

  Args:
    denoise: `(latents, timestep) -> prediction`; guidance is part of it.
    schedule: The noise schedule of the model.
    latents: x_T, `b f h w c`, unit Gaussian.
    num_steps: N, the steps that the model was distilled to.
    key: Random key of the noise that is added, one for all clips or one for
      each; not the key from which `latents` were drawn.

  Returns:
    x_0, `b f h w c`.
  """
  steps = sampling_steps(schedule, num_steps)
  return follow(denoise, schedule, latents, *steps, key)


def sampling_steps(
    schedule: Schedule, num_steps: int
) -> tuple[Steps, Steps, Steps]:
  """Timesteps `(t, s, k)`: where each step starts, turns and ends.

  The last two steps turn, and the last ends, at -1, the schedule's end.
  """
  _, source, target = ddim.sampling_steps(schedule, num_steps)
  return source, np.append(target[1:], target[-1]), target


def follow(
    denoise: Denoise,
    schedule: Schedule,
    latents: Video,
    source: Steps,
    turn: Steps,
    target: Steps,
    key: jax.Array,
) -> Video:
  """Takes steps one after another; all steps, or any slice with the same key.

  Returns:
    The latents after the last step.
  """
  end = 1.0 if schedule.alpha_to_one else schedule.alphas_cumprod[0]
  abar = np.append(schedule.alphas_cumprod, end)
  # A timestep of -1 reads the end.
  kept = abar[target] / abar[turn]

  def body(x, step):
    source, turn, signal, sigma = step
    x = ddim.step(schedule, x, denoise(x, source), source, turn)
    noise = keys.normal(keys.fold(key, source), x.shape)
    return signal * x + sigma * noise, None

  coefficients = (
      jnp.asarray(c, jnp.float32) for c in (np.sqrt(kept), np.sqrt(1 - kept)))
  steps = jnp.asarray(source), jnp.asarray(turn), *coefficients
  return jax.lax.scan(body, latents, steps)[0]
