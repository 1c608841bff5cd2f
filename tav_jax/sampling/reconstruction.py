r"""Sampling given a part: reconstruction guidance and the replacement method.

Both are of Video Diffusion Models (arXiv 2204.03458, Sec. 3.1), and wrap
`denoise`. Of a clip x, measured = measure(x) is known, with a linear `measure`:
some of its frames, x^a, or the clip with fewer pixels. Here
x_t = alpha x + sigma eps, and xhat(x_t) is the clip that the network predicts.

The replacement method lets the network see known frames as they are at t,

  x_t^a <- alpha x^a + sigma eps,   x~^a = x^a,                          (1)

which alone does not make the rest fit to them: xhat^b is the mean of x^b given
x_t, not given x^a. That mean, if q(x^a | x_t) is taken for a Gaussian of
variance (sigma / alpha)^2 about xhat^a, and with a weight w of 1, is

  x~^b = xhat^b - w alpha / 2 grad_{x_t^b} ||measured - measure(xhat)||^2,
                                                                         (2)

the paper's Eq. 7; where no frames are replaced, the gradient is by all of x_t.

Really x^a varies less than that Gaussian: of Gaussian data, whose xhat has the
Jacobian J, w = 1 makes alpha J_aa times the true correction, which is little
where there is much noise. So weights above 1 serve better, as the paper found.

The x_0 in Eq. (2) is not clipped, so that its gradient does not vanish where
the network exceeds [-1, 1]; a sampler clips the corrected x~ afterwards.

Memory: the gradient is taken within one step, so a whole sampling run needs
what one training step of the same clips does. Rematerialisation helps block by
block, as the U-Net's own; around the whole network it would save nothing.
"""

from collections.abc import Callable, Sequence
import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Float

from tav_jax.sampling import keys
from tav_jax.sampling.schedule import Schedule
from tav_jax.types import Array, Denoise, Video


@dataclasses.dataclass(frozen=True)
class Known:
  """What is known of a clip.

  Attributes:
    measured: What was measured of the clip.
    measure: What would be measured of any clip; linear, each clip by itself.
    frames: Which frames of the clip are known whole, and are replaced;
      `measure` picks these. Empty if there are none.
  """

  measured: Array
  measure: Callable[[Video], Array]
  frames: tuple[int, ...] = ()


def frames(clip: Video, at: Sequence[int]) -> Known:
  """Frame i of `clip`, `b m h w c`, is frame `at[i]` of the sampled one.

  Raises:
    ValueError: If there are not as many frames as places for them.
  """
  at = tuple(at)
  if clip.shape[1] != len(at):
    raise ValueError(
        f"{clip.shape[1]} known frames: expected {len(at)}, one for each of "
        f"the places {at}")
  return Known(clip, lambda x: x[:, jnp.asarray(at)], at)


def smaller(clip: Video, at: Sequence[int] | None = None) -> Known:
  """`clip`, `b m h' w' c`, is the sampled one with fewer pixels.

  Args:
    clip: The clip, as `downsampled` makes it.
    at: Which frames of the sampled clip it shows; None is all.
  """
  height, width = clip.shape[2:4]
  if at is None:
    return Known(clip, lambda x: downsampled(x, height, width))
  places = frames(clip, at).measure
  return Known(clip, lambda x: downsampled(places(x), height, width))


def downsampled(
    clip: Video, height: int, width: int
) -> Float[Array, "b f {height} {width} c"]:
  """The clip with fewer pixels, bilinearly and without aliases."""
  shape = (*clip.shape[:2], height, width, clip.shape[4])
  return jax.image.resize(clip, shape, "bilinear", antialias=True)


def guided(
    denoise: Denoise,
    schedule: Schedule,
    known: Sequence[Known],
    weight: float,
    key: jax.Array,
) -> Denoise:
  """`denoise` of a clip of which a part is known, for any sampler.

  Args:
    denoise: `(x, timestep) -> prediction`, text guidance included.
    schedule: The noise schedule.
    known: What is known of the clip; several together are one condition.
    weight: w of Eq. (2); 0 is the replacement method, without any gradient.
    key: Key of the noise in replaced frames, one for all clips or one for each;
      no other noise of the sampler may have it.

  Returns:
    A `denoise` with the prediction that implies x~; where it was the last to be
    asked, the known frames come out as they are.
  """
  unclipped = dataclasses.replace(schedule, clip_sample=False)

  def replaced(x, values):
    for part, value in zip(known, values, strict=True):
      if part.frames:
        x = x.at[:, jnp.asarray(part.frames)].set(value)
    return x

  def noisy(part, timestep, number):
    stream = keys.fold(keys.fold(key, timestep), number)
    noise = keys.normal(stream, part.measured.shape)
    return unclipped.add_noise(part.measured, noise, timestep)

  def error(x, timestep):
    x0, _ = unclipped.x0_and_noise(x, denoise(x, timestep), timestep)
    return sum(
        jnp.sum((part.measured - part.measure(x0)) ** 2)
        for part in known), x0

  def conditioned(x, timestep):
    seen = replaced(x, [
        noisy(part, timestep, i) if part.frames else None
        for i, part in enumerate(known)])
    if weight == 0:
      _, x0 = error(seen, timestep)
    else:
      slope, x0 = jax.grad(error, has_aux=True)(seen, timestep)
      signal, _ = schedule.signal_and_noise(timestep)
      x0 -= weight * signal / 2 * slope
    x0 = replaced(x0, [part.measured for part in known])
    return schedule.prediction_of(x0, x, timestep)

  return conditioned
