"""The frozen parts of a checkpoint as functions: autoencoder, text encoder."""

from collections.abc import Sequence
import dataclasses
import functools

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int
import numpy as np

from tav_jax.models.clip import CLIPTextConfig, CLIPTextModel
from tav_jax.models.vae import AutoencoderKL, VAEConfig
from tav_jax.parallel import activations
from tav_jax.types import Array, Params, Video


@dataclasses.dataclass(frozen=True)
class VAE:
  """The autoencoder with its parameters, on videos, a few frames at a time.

  Attributes:
    config: Its config.
    params: Its parameters.
    frames_at_a_time: Frames that each device takes at a time; 24 frames of
      512x512 at once would need over 20 GB.
  """

  config: VAEConfig
  params: Params
  frames_at_a_time: int = 4

  def encode(self, video: Float[Array, "b f h w c"]):
    """Posterior mean and standard deviation of pixels in [-1, 1].

    Returns:
      Both `b f H W c`, in the diffusion model's units (scaled).
    """
    mean, logvar = self._by_frames("encode", video)
    scale = self.config.scaling_factor
    return scale * mean, scale * jnp.exp(0.5 * logvar)

  def decode(self, latents: Video) -> Float[Array, "b f H W C"]:
    """Pixels, about [-1, 1], of latents in the diffusion model's units."""
    return self._by_frames("decode", latents / self.config.scaling_factor)

  def _by_frames(self, method: str, video):
    frames = jnp.reshape(video, (-1, *video.shape[2:]))
    at_a_time = self.frames_at_a_time * activations.shards(activations.FRAMES)
    parts = [
        apply_vae(self.config, method, self.params, frames[i:i + at_a_time])
        for i in range(0, len(frames), at_a_time)]
    return jax.tree.map(
        lambda *xs: jnp.concatenate(xs).reshape(
            *video.shape[:2], *xs[0].shape[1:]), *parts)


@dataclasses.dataclass(frozen=True)
class TextEncoder:
  """The text encoder with its parameters."""

  config: CLIPTextConfig
  params: Params

  def __call__(
      self, tokens: Int[Array, "b l"]
  ) -> Float[Array, "b l c"]:
    """Last hidden states of the tokens."""
    return _apply_text(self.config, self.params, tokens)


@functools.partial(jax.jit, static_argnums=(0, 1))
def apply_vae(config, method, params, x):
  """A method of the autoencoder on frames `n h w c`, as one program."""
  x = activations.constrain(x, frames=0)
  return AutoencoderKL(config).apply({"params": params}, x, method=method)


@functools.partial(jax.jit, static_argnums=0)
def _apply_text(config, params, tokens):
  return CLIPTextModel(config).apply({"params": params}, tokens)


def token_ids(
    tokenizer, positions: int, prompts: Sequence[str]
) -> tuple[np.ndarray, list[str]]:
  """Tokens of prompts, padded to the text encoder's length.

  Returns:
    Token ids `b l`, and for each prompt the words that did not fit ("" if all
    did).
  """
  # Not verbose: texts that are too long are cut and reported below.
  full = [tokenizer(prompt, verbose=False).input_ids for prompt in prompts]
  # The end-of-text token takes the last place.
  cut = [tokenizer.decode(ids[positions - 1:-1]).strip()
         if len(ids) > positions else "" for ids in full]
  tokens = tokenizer(
      list(prompts), padding="max_length", truncation=True,
      max_length=positions).input_ids
  return np.asarray(tokens, np.int32), cut
