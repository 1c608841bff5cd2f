"""Pictures from texts: the image model that tuning starts from."""

from collections.abc import Callable, Sequence
import functools

import jax
import jax.numpy as jnp
from jaxtyping import Float, UInt8
import numpy as np

from tav_jax.data import video
from tav_jax.models.unet import UNet3D, UNetConfig
from tav_jax.sampling import ddim, ddpm, guidance
from tav_jax.sampling.schedule import Schedule
from tav_jax.types import Array, Params, TextEmbeds, Video

_AT_A_TIME = 16


def sample(
    unet: UNetConfig,
    schedule: Schedule,
    params: Params,
    noise: Video,
    text: TextEmbeds,
    negative: TextEmbeds,
    *,
    scale: float,
    num_steps: int,
) -> Video:
  """Latents of pictures, by DDIM with classifier-free guidance.

  Args:
    unet: The network.
    schedule: Its noise schedule.
    params: Its parameters.
    noise: x_T, `b 1 h w c`.
    text: Embeddings of the prompts, `b l e`.
    negative: Embedding of what guidance moves away from, `1 l e`.
    scale: Guidance scale.
    num_steps: DDIM steps.

  Returns:
    x_0, `b 1 h w c`.
  """
  return _in_parts(
      lambda noise, text: _sample(
          unet, schedule, num_steps, params, noise, text,
          jnp.repeat(negative, len(text), axis=0), scale),
      noise, text)


def sample_ancestral(
    unet: UNetConfig, schedule: Schedule, params: Params, noise: Video,
    key: jax.Array, *, num_steps: int,
) -> Video:
  """x_0 of an unconditional model, by DDPM's own sampler (see `sample`)."""
  return _sample_ancestral(unet, schedule, num_steps, params, noise, key)


def pictures(decode: Callable[[Video], Video], latents: Video) -> UInt8[
    np.ndarray, "b h w c"]:
  """Decoded latents `b 1 h w c` as uint8 pictures."""
  return video.to_pixels(decode(latents))[:, 0]


def noise(seed: int, shape: Sequence[int]) -> Float[Array, "b 1 h w c"]:
  """x_T of pictures; that of picture i does not depend on how many there are.

  Args:
    seed: Of all of them.
    shape: `b h w c`.
  """
  keys = jax.vmap(
      functools.partial(jax.random.fold_in, jax.random.key(seed)))(
          jnp.arange(shape[0]))
  return jax.vmap(lambda key: jax.random.normal(key, (1, *shape[1:])))(keys)


def _in_parts(function, *arrays):
  """Applies it to a few examples at a time; one program serves all."""
  count = len(arrays[0])
  size = min(_AT_A_TIME, count)
  pad = -count % size
  padded = [
      jnp.concatenate([x, jnp.repeat(x[-1:], pad, axis=0)]) for x in arrays]
  parts = [
      function(*(x[i:i + size] for x in padded))
      for i in range(0, count + pad, size)]
  return jnp.concatenate(parts)[:count]


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _sample(unet, schedule, num_steps, params, noise, text, negative, scale):
  network = functools.partial(UNet3D(unet).apply, {"params": params})
  denoise = guidance.classifier_free(network, text, negative, scale)
  return ddim.sample(denoise, schedule, noise, num_steps)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _sample_ancestral(unet, schedule, num_steps, params, noise, key):
  network = functools.partial(UNet3D(unet).apply, {"params": params})
  denoise = guidance.conditional(network, None)
  return ddpm.sample(denoise, schedule, noise, num_steps, key)
