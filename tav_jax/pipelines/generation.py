"""Pictures and clips from texts, by a network alone.

The network may be told more than the text: `given`, channels beside those of
every frame, and numbers (`UNetConfig.scalars`).
"""

from collections.abc import Callable, Mapping, Sequence
import functools
import operator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float, UInt8
import numpy as np

from tav_jax.data import video
from tav_jax.models.unet import UNet3D, UNetConfig
from tav_jax.sampling import guidance
from tav_jax.sampling.methods import Method
from tav_jax.sampling.schedule import Schedule
from tav_jax.types import (
  Array,
  Denoise,
  Params,
  Scalars,
  TextEmbeds,
  Video,
)

_FRAMES_AT_A_TIME = 16
# Stream of the sampler's own noise; no clip's number is as large.
_ON_THE_WAY = 2**32 - 1


class Told(NamedTuple):
  """What a network is told of clips besides their texts.

  Attributes:
    given: Channels beside those of x_t, `b f h w d`; None for none.
    scalars: Numbers of each clip, by name; None for none.
  """

  given: Video | None = None
  scalars: Mapping[str, Scalars] | None = None


def sample(
    unet: UNetConfig,
    schedule: Schedule,
    params: Params,
    noise: Video,
    text: TextEmbeds | None,
    negative: Float[Array, "1 l e"] | None,
    *,
    method: Method,
    seed: int = 0,
    told: Told | None = None,
    begin: Float[Array, "b m h w c"] | None = None,
) -> Float[Array, "b F h w c"]:
  """Latents of clips, a few clips at a time.

  Args:
    unet: The network.
    schedule: The noise schedule.
    params: The network's parameters.
    noise: x_T, `b f h w c`; a picture is a clip of one frame.
    text: Embeddings of the prompts, `b l e`; None for an unconditional network.
    negative: Embedding that guidance moves away from, `1 l e`, or None.
    method: The sampler and its settings.
    seed: Seed of the noise that a sampler adds on the way, which may be that of
      x_T; the noise of clip i does not depend on the number of clips.
    told: What else the network is told of each clip.
    begin: Frames that the clips begin with, `b m h w c`.

  Returns:
    x_0, `b F h w c`; F is `method.length`, or f.
  """
  key = jax.random.fold_in(jax.random.key(seed), _ON_THE_WAY)
  return _in_parts(
      lambda noise, number, text, told, begin: _sample(
          unet, schedule, method, params, noise, _keys(key, number), text,
          None if method.guidance == 1 else negative, told, begin),
      noise, jnp.arange(len(noise)), text, told or Told(), begin)


def pictures(decode: Callable[[Video], Video], latents: Video) -> UInt8[
    np.ndarray, "b height width rgb"]:
  """Decoded latents `b 1 h w c` as uint8 pictures."""
  return clips(decode, latents)[:, 0]


def clips(decode: Callable[[Video], Video], latents: Video) -> UInt8[
    np.ndarray, "b f height width rgb"]:
  """Decoded latents `b f h w c` as uint8 frames."""
  return video.to_pixels(decode(latents))


def noise(
    seed: int, shape: Sequence[int], shared: bool = False
) -> Float[Array, "b f h w c"]:
  """x_T of clips; that of clip i does not depend on their number.

  Args:
    seed: Seed of all clips.
    shape: Shape of their latents, `b f h w c`, or `b h w c` of pictures.
    shared: Whether all frames of a clip have the same noise (Make-A-Video,
      arXiv 2209.14792, Sec. 3.2, for super-resolution).
  """
  if len(shape) == 4:
    shape = (shape[0], 1, *shape[1:])
  keys = _keys(jax.random.key(seed), jnp.arange(shape[0]))
  frames = 1 if shared else shape[1]
  drawn = jax.vmap(
      lambda key: jax.random.normal(key, (frames, *shape[2:])))(keys)
  return jnp.broadcast_to(drawn, shape)


def _keys(key, numbers):
  """A key for each number."""
  return jax.vmap(functools.partial(jax.random.fold_in, key))(numbers)


def _in_parts(function, *arrays):
  """Applies a function to a few clips at a time, equally many each time."""
  count, frames = arrays[0].shape[:2]
  size = min(-(-_FRAMES_AT_A_TIME // frames), count)
  pad = -count % size
  padded = jax.tree.map(
      lambda x: jnp.concatenate([x, jnp.repeat(x[-1:], pad, axis=0)]), arrays)
  parts = [
      function(*jax.tree.map(operator.itemgetter(slice(i, i + size)), padded))
      for i in range(0, count + pad, size)]
  return jnp.concatenate(parts)[:count]


def _denoise(unet, params, text, negative, scale, told: Told) -> Denoise:
  apply: Callable[..., Any] = UNet3D(unet).apply

  def network(x, timesteps, text):
    # Guidance asks twice for every clip.
    again = lambda value: jnp.tile(
        value, (len(x) // len(value),) + (1,) * (value.ndim - 1))
    given, scalars = jax.tree.map(again, told)
    seen = x if given is None else jnp.concatenate([x, given], axis=-1)
    return apply({"params": params}, seen, timesteps, text, scalars)

  if negative is None:
    return guidance.conditional(network, text)
  negative = jnp.repeat(negative, len(text), axis=0)
  return guidance.classifier_free(network, text, negative, scale)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _sample(
    unet, schedule, method, params, noise, keys, text, negative, told, begin,
):
  denoise = _denoise(
      unet, params, text, negative, method.scale(schedule), told)
  return method(denoise, schedule, noise, keys, begin)
