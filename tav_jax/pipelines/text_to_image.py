"""Pictures from texts: the image model that tuning starts from."""

from collections.abc import Callable, Sequence
import functools
import operator
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float, UInt8
import numpy as np

from tav_jax.data import video
from tav_jax.models.unet import UNet3D, UNetConfig
from tav_jax.sampling import ddim, ddpm, guidance
from tav_jax.sampling.schedule import Schedule
from tav_jax.types import Array, Denoise, Params, TextEmbeds, Video

_AT_A_TIME = 16
# Stream of the sampler's own noise; no picture's number is as large.
_ON_THE_WAY = 2**32 - 1


def sample(
    unet: UNetConfig,
    schedule: Schedule,
    params: Params,
    noise: Video,
    text: TextEmbeds | None,
    negative: Float[Array, "1 l e"] | None,
    *,
    scale: float,
    num_steps: int,
) -> Video:
  """Latents of pictures, by DDIM with classifier-free guidance.

  Args:
    unet: The network.
    schedule: The noise schedule.
    params: The network's parameters.
    noise: x_T, `b 1 h w c`.
    text: Embeddings of the prompts, `b l e`; None for an unconditional network.
    negative: Embedding that guidance moves away from, `1 l e`, or None.
    scale: Guidance scale; 1 is no guidance, and takes half as long.
    num_steps: DDIM steps.

  Returns:
    x_0, `b 1 h w c`.
  """
  return _in_parts(
      lambda noise, text: _sample(
          unet, schedule, num_steps, params, noise, text,
          None if scale == 1 else negative, scale),
      noise, text)


def sample_ancestral(
    unet: UNetConfig,
    schedule: Schedule,
    params: Params,
    noise: Video,
    text: TextEmbeds | None,
    negative: Float[Array, "1 l e"] | None,
    *,
    seed: int,
    scale: float,
    num_steps: int,
) -> Video:
  """Like `sample`, by DDPM's own sampler.

  The noise that the sampler adds is drawn from `seed`, which may be the seed of
  x_T; that of picture i does not depend on the number of pictures.
  """
  key = jax.random.fold_in(jax.random.key(seed), _ON_THE_WAY)
  return _in_parts(
      lambda noise, number, text: _sample_ancestral(
          unet, schedule, num_steps, params, noise, _keys(key, number), text,
          None if scale == 1 else negative, scale),
      noise, jnp.arange(len(noise)), text)


def pictures(decode: Callable[[Video], Video], latents: Video) -> UInt8[
    np.ndarray, "b height width rgb"]:
  """Decoded latents `b 1 h w c` as uint8 pictures."""
  return video.to_pixels(decode(latents))[:, 0]


def noise(seed: int, shape: Sequence[int]) -> Float[Array, "b 1 h w c"]:
  """x_T of pictures; that of picture i does not depend on their number.

  Args:
    seed: Seed of all pictures.
    shape: Shape of their latents, `b h w c`.
  """
  keys = _keys(jax.random.key(seed), jnp.arange(shape[0]))
  return jax.vmap(lambda key: jax.random.normal(key, (1, *shape[1:])))(keys)


def _keys(key, numbers):
  """A key for each number."""
  return jax.vmap(functools.partial(jax.random.fold_in, key))(numbers)


def _in_parts(function, *arrays):
  """Applies a function to a few examples at a time, equally many each time."""
  count = len(arrays[0])
  size = min(_AT_A_TIME, count)
  pad = -count % size
  padded = jax.tree.map(
      lambda x: jnp.concatenate([x, jnp.repeat(x[-1:], pad, axis=0)]), arrays)
  parts = [
      function(*jax.tree.map(operator.itemgetter(slice(i, i + size)), padded))
      for i in range(0, count + pad, size)]
  return jnp.concatenate(parts)[:count]


def _denoise(unet, params, text, negative, scale) -> Denoise:
  apply: Callable[..., Any] = UNet3D(unet).apply
  network = functools.partial(apply, {"params": params})
  if negative is None:
    return guidance.conditional(network, text)
  negative = jnp.repeat(negative, len(text), axis=0)
  return guidance.classifier_free(network, text, negative, scale)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _sample(unet, schedule, num_steps, params, noise, text, negative, scale):
  denoise = _denoise(unet, params, text, negative, scale)
  return ddim.sample(denoise, schedule, noise, num_steps)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _sample_ancestral(
    unet, schedule, num_steps, params, noise, keys, text, negative, scale,
):
  denoise = _denoise(unet, params, text, negative, scale)
  return ddpm.sample(denoise, schedule, noise, num_steps, keys)
