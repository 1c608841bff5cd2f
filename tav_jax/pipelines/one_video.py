r"""Frames of one video's scene, one after another (SinFusion, Sec. 5).

A clip begins with a frame of the video, or with a sample of the projector.
Each further frame is

  y_{i+1} = correct(predict(y_i, k)),                                    (1)

where k is the gap to it, in frames of the video: -1 goes backwards, 2 and 3 are
other speeds. `correct` adds the noise of t_corr steps and lets the projector
take it away, which brings a frame back among those of the video before errors
add up. Between two frames of a clip the interpolator puts another, corrected as
well; doing so again and again doubles the frames each time.

All of it samples by `sampling.ddpm`. Frames are videos of one frame,
`b 1 h w c`, and every clip of a batch has a random key of its own, so that its
frames do not depend on the others.
"""

from collections.abc import Callable, Sequence
import dataclasses
import functools
from typing import Any

from einops import rearrange
import jax
import jax.numpy as jnp
from jaxtyping import Float, Int, Key
import numpy as np

from tav_jax.models.nextnet import NextNet, NextNetConfig
from tav_jax.sampling import ddim, ddpm
from tav_jax.sampling.schedule import Schedule
from tav_jax.types import Array, Denoise, Params, Video

Keys = Key[jax.Array, " b"]
"""A random key for each clip."""
Frame = Float[Array, "b 1 h w c"]
OfFrame = Callable[[Frame, Keys], Frame]


@dataclasses.dataclass(frozen=True)
class Model:
  """A trained NextNet.

  Attributes:
    config: Config of the network.
    schedule: Its noise schedule and kind of prediction.
    params: Its parameters.
  """

  config: NextNetConfig
  schedule: Schedule
  params: Params


jax.tree_util.register_dataclass(
    Model, data_fields=["params"], meta_fields=["config", "schedule"])


def denoiser(
    model: Model, condition: Video | None = None,
    gap: Int[Array, " b"] | None = None,
) -> Denoise:
  """The network as samplers take it, which is asked at the schedule's levels.

  Args:
    model: The network.
    condition: The channels `b 1 h w d` that it is conditioned on.
    gap: How far ahead each clip's frame lies.
  """
  net: Callable[..., Any] = NextNet(model.config).apply

  def denoise(x, timestep):
    level, _ = model.schedule.signal_and_noise(timestep)
    inputs = x if condition is None else jnp.concatenate(
        [condition, x], axis=-1)
    return net(
        {"params": model.params}, inputs,
        jnp.broadcast_to(level, x.shape[:2]),
        None if gap is None else rearrange(jnp.asarray(gap), "b -> b 1"))

  return denoise


def sample(
    denoise: Denoise, schedule: Schedule, shape: Sequence[int], keys: Keys
) -> Video:
  """Frames of that shape from noise, in all steps of the schedule."""
  first, rest = _split(keys)
  noise = jax.vmap(lambda key: jax.random.normal(key, shape[1:]))(first)
  return ddpm.sample(denoise, schedule, noise, schedule.num_train_steps, rest)


def correct(
    denoise: Denoise, schedule: Schedule, frame: Frame, steps: int, keys: Keys
) -> Frame:
  """The frame after `steps` steps of noise and back; 0 leaves it as it is."""
  if not steps:
    return frame
  first, rest = _split(keys)
  noise = jax.vmap(lambda key: jax.random.normal(key, frame.shape[1:]))(first)
  _, source, target = (
      x[-steps:]
      for x in ddim.sampling_steps(schedule, schedule.num_train_steps))
  at = jnp.full(frame.shape[:1], source[0])
  noisy = schedule.add_noise(frame, noise, at)
  return ddpm.follow(denoise, schedule, noisy, source, target, rest)


def chain(
    predict: OfFrame, correct: OfFrame, first: Frame, length: int, keys: Keys
) -> Video:
  """Eq. (1): `length` frames that follow `first`, `b f h w c`; one scan."""

  def body(frame, i):
    one, two = _split(_fold(keys, i))
    frame = correct(predict(frame, one), two)
    return frame, frame

  _, frames = jax.lax.scan(body, first, jnp.arange(length))
  return rearrange(frames, "f b 1 h w c -> b f h w c")


def between(
    interpolate: Callable[[Frame, Frame, Keys], Frame], correct: OfFrame,
    clip: Video, keys: Keys,
) -> Float[Array, "b F h w c"]:
  """A clip with one more frame between every two: f frames become 2 f - 1."""
  pairs = jnp.arange(clip.shape[1] - 1)

  def body(_, i):
    frame = lambda j: jax.lax.dynamic_slice_in_dim(clip, j, 1, axis=1)
    one, two = _split(_fold(keys, i))
    return None, correct(interpolate(frame(i), frame(i + 1), one), two)

  _, new = jax.lax.scan(body, None, pairs)
  new = rearrange(new, "f b 1 h w c -> b f h w c")
  both = rearrange(
      jnp.stack([clip[:, :-1], new], axis=2), "b f n h w c -> b (f n) h w c")
  return jnp.concatenate([both, clip[:, -1:]], axis=1)


@functools.partial(jax.jit, static_argnames="shape")
def images(projector: Model, shape: tuple[int, ...], keys: Keys) -> Frame:
  """New frames of the scene, `b 1 h w c`, one for each key."""
  return sample(
      denoiser(projector), projector.schedule,
      (len(keys), 1, *shape), keys)


@jax.jit
def next_frames(
    predictor: Model, frame: Frame, gap: Int[Array, " b"], keys: Keys
) -> Frame:
  """The frames `gap` after the given ones, without correction."""
  return sample(
      denoiser(predictor, frame, gap), predictor.schedule, frame.shape, keys)


@jax.jit
def middle_frames(
    interpolator: Model, before: Frame, after: Frame, keys: Keys
) -> Frame:
  """The frames between the given ones, without correction."""
  condition = jnp.concatenate([before, after], axis=-1)
  return sample(
      denoiser(interpolator, condition), interpolator.schedule, before.shape,
      keys)


@functools.partial(jax.jit, static_argnames=("length", "steps"))
def extend(
    projector: Model, predictor: Model, first: Frame,
    gap: Int[Array, " b"], length: int, steps: int, keys: Keys,
) -> Video:
  """`length` frames that follow each `first`, each `gap` after the one before.

  Args:
    projector: Corrects every frame, in `steps` steps.
    predictor: Predicts every frame.
    first: The first frames, `b 1 h w c`, which are not part of the result.
    gap: Frames of the video from one frame to the next, for each clip.
    length: Number of frames.
    steps: t_corr.
    keys: A random key for each clip.
  """
  return chain(
      lambda frame, keys: next_frames(predictor, frame, gap, keys),
      _corrector(projector, steps), first, length, keys)


@functools.partial(jax.jit, static_argnames="steps")
def double(
    projector: Model, interpolator: Model, clip: Video, steps: int, keys: Keys
) -> Float[Array, "b F h w c"]:
  """A clip with a frame between every two; arguments as for `extend`."""
  return between(
      lambda before, after, keys: middle_frames(
          interpolator, before, after, keys),
      _corrector(projector, steps), clip, keys)


def _corrector(projector: Model, steps: int) -> OfFrame:
  return lambda frame, keys: correct(
      denoiser(projector), projector.schedule, frame, steps, keys)


def keys(seed: int, count: int, turn: int = 0) -> Keys:
  """Keys of `count` clips: those of the first ones are the same for any count.

  Each `turn` of the same seed gives others.
  """
  key = jax.random.fold_in(jax.random.key(seed), turn)
  return _fold(jnp.broadcast_to(key, (count,)), np.arange(count))


def _fold(keys: Keys, numbers) -> Keys:
  return jax.vmap(jax.random.fold_in)(
      keys, jnp.broadcast_to(numbers, keys.shape))


def _split(keys: Keys) -> tuple[Keys, Keys]:
  """Two keys of each."""
  both = jax.vmap(jax.random.split)(keys)
  return both[:, 0], both[:, 1]
