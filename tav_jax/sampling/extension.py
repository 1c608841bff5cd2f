"""Longer clips and more frames a second from a model of n frames.

Video Diffusion Models (arXiv 2204.03458, Sec. 3.1): every block of n frames is
sampled given some of them, by reconstruction guidance or, with a weight of 0,
by the replacement method. To extend a clip, a block's first m frames are the
last of the block before; for more frames a second, every k-th is given:

  extend, n = 6, m = 2:   g g . . . .            upsample, n = 5, k = 2:
                                  g g . . . .      g . g . g
                                                           g . g . g

The blocks of a clip are one `lax.scan`, that of the sampler inside it.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Float
import numpy as np

from tav_jax.sampling import keys, reconstruction
from tav_jax.sampling.schedule import Schedule
from tav_jax.types import Array, Denoise, Video

Sampler = Callable[[Denoise, Video, jax.Array], Video]
"""`(denoise, x_T b n h w c, key) -> x_0`, such as
`lambda denoise, x, key: ddpm.sample(denoise, schedule, x, num_steps, key)`."""


def extend(
    sampler: Sampler,
    denoise: Denoise,
    schedule: Schedule,
    clip: Video,
    *,
    length: int,
    block: int,
    overlap: int,
    weight: float,
    key: jax.Array,
) -> Float[Array, "b {length} h w c"]:
  """A clip continued to a length, block after block.

  Args:
    sampler: How a block is sampled.
    denoise: The model of clips of `block` frames, text guidance included.
    schedule: Its noise schedule.
    clip: The beginning, `b f h w c`; a block that was sampled without any, or
      given frames.
    length: Number of frames to make, those of `clip` included.
    block: n, frames that the model makes at once.
    overlap: m, frames of a block that are the last of the one before.
    weight: Weight of reconstruction guidance; 0 is the replacement method.
    key: Random key, one for all clips or one for each.

  Returns:
    `b length h w c`; begins with `clip`.

  Raises:
    ValueError: If the frames do not suffice, or a block adds none.
  """
  have = clip.shape[1]
  if not 1 <= overlap < block:
    raise ValueError(
        f"overlap={overlap}: expected 1 to {block - 1}, less than the {block} "
        "frames of a block")
  if not overlap <= have <= length:
    raise ValueError(
        f"{have} frames to extend to {length}: expected at least the overlap, "
        f"{overlap}, and at most the length")
  blocks = -(-(length - have) // (block - overlap))
  if not blocks:
    return jnp.asarray(clip)

  def body(last, number):
    sampled = _block(
        sampler, denoise, schedule, last, range(overlap), block, weight,
        keys.fold(key, number))
    return sampled[:, -overlap:], sampled[:, overlap:]

  _, new = jax.lax.scan(body, clip[:, -overlap:], jnp.arange(blocks))
  parts = [jnp.asarray(clip), *new]
  return jnp.concatenate(parts, axis=1)[:, :length]


def upsample(
    sampler: Sampler,
    denoise: Denoise,
    schedule: Schedule,
    clip: Video,
    *,
    every: int,
    block: int,
    weight: float,
    key: jax.Array,
) -> Float[Array, "b (f-1)*{every}+1 h w c"]:
  """A clip with more frames a second: `every` for each of its own but the last.

  A block begins with the given frame that the one before ended with. Where the
  last would have too few, it begins earlier.

  Args:
    sampler: How a block is sampled.
    denoise: The model of clips of `block` frames at the higher rate.
    schedule: Its noise schedule.
    clip: The given frames, `b f h w c`, at least 2.
    every: k; given frames are this far apart in the new clip.
    block: n, frames that the model makes at once, at least k + 1.
    weight: Weight of reconstruction guidance; 0 is the replacement method.
    key: Random key, one for all clips or one for each.

  Returns:
    `b (f - 1) * every + 1 h w c`; every k-th frame is one of `clip`.

  Raises:
    ValueError: If the frames do not suffice.
  """
  gaps = clip.shape[1] - 1
  if every < 1 or gaps < 1 or block <= every:
    raise ValueError(
        f"{gaps + 1} frames, every={every}, blocks of {block}: expected at "
        "least 2 frames, and blocks of more than `every`")
  at_once = min((block - 1) // every, gaps)
  starts = np.minimum(np.arange(0, gaps, at_once), gaps - at_once)

  def body(start):
    given = jax.lax.dynamic_slice_in_dim(clip, start, at_once + 1, axis=1)
    places = range(0, at_once * every + 1, every)
    return _block(
        sampler, denoise, schedule, given, places, block, weight,
        keys.fold(key, start))

  blocks = jax.lax.map(body, jnp.asarray(starts))
  shape = (clip.shape[0], gaps * every + 1, *clip.shape[2:])
  whole = jnp.zeros(shape, blocks.dtype)
  for start, sampled in zip(starts * every, blocks, strict=True):
    end = start + at_once * every + 1
    whole = whole.at[:, start:end].set(sampled[:, :at_once * every + 1])
  return whole


def _block(sampler, denoise, schedule, given, at, frames, weight, key):
  """A block of which some frames are given."""
  known = reconstruction.frames(given, at)
  noise = keys.normal(
      keys.fold(key, 0), (given.shape[0], frames, *given.shape[2:]))
  conditioned = reconstruction.guided(
      denoise, schedule, [known], weight, keys.fold(key, 1))
  return sampler(conditioned, noise, keys.fold(key, 2))
