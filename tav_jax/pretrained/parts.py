"""The frozen parts of a checkpoint as functions: autoencoder, text encoder."""

from collections.abc import Sequence
import dataclasses
import functools
from typing import Any

import jax
from jax.sharding import Mesh
from jaxtyping import Float, Int
import numpy as np

from tav_jax.models.clip import CLIPTextConfig, CLIPTextModel
from tav_jax.models.vae import AutoencoderKL, VAEConfig
from tav_jax.parallel import activations, placement, processes
from tav_jax.types import Array, Params, Video


@dataclasses.dataclass(frozen=True)
class Part:
  """A network with its parameters.

  Attributes:
    config: Config of the network.
    params: Parameters of the network.
    mesh: The mesh that has the parameters on all devices; None while they are
      arrays of the host, which move to the default device at the first use.
  """

  config: Any
  params: Params
  mesh: Mesh | None = dataclasses.field(default=None, kw_only=True)

  @functools.cached_property
  def _on_device(self) -> Params:
    """The parameters, moved to the device once rather than at every call."""
    return jax.device_put(self.params) if self.mesh is None else self.params


@dataclasses.dataclass(frozen=True)
class VAE(Part):
  """The autoencoder, on videos, a few frames at a time.

  Frames are independent: they are divided among all devices of the mesh,
  whatever its axes are.

  Attributes:
    frames_at_a_time: Frames that each device takes at a time; 24 frames of
      512x512 at once would need over 20 GB.
  """

  config: VAEConfig
  frames_at_a_time: int = 4

  def encode(
      self, video: Float[Array, "b f h w c"]
  ) -> tuple[Float[np.ndarray, "b f H W z"], Float[np.ndarray, "b f H W z"]]:
    """Posterior mean and standard deviation of pixels in [-1, 1].

    Returns:
      Both in the diffusion model's units (scaled), on the host.
    """
    mean, logvar = self._by_frames("encode", video)
    scale = np.float32(self.config.scaling_factor)
    return scale * mean, scale * np.exp(np.float32(0.5) * logvar)

  def decode(self, latents: Video) -> Float[np.ndarray, "b f H W C"]:
    """Pixels, about [-1, 1], of latents in the diffusion model's units."""
    scale = np.float32(self.config.scaling_factor)
    return self._by_frames("decode", latents / scale)

  def _by_frames(self, method: str, video):
    frames = np.reshape(video, (-1, *video.shape[2:]))
    size = self.piece(len(frames))
    pieces = []
    for i in range(0, len(frames), size):
      piece = frames[i:i + size]
      pad = [(0, size - len(piece)), *[(0, 0)] * (piece.ndim - 1)]
      padded: Array = np.pad(piece, pad, "edge")
      if self.mesh is not None:
        padded = placement.put_frames(self.mesh, np.asarray(padded))
      pieces.append(jax.tree.map(processes.to_host, apply_vae(
          self.config, method, self.mesh, self._on_device, padded)))
    return jax.tree.map(
        lambda *xs: np.concatenate(xs)[:len(frames)].reshape(
            *video.shape[:2], *xs[0].shape[1:]), *pieces)

  def piece(self, frames: int) -> int:
    """The number of frames that are processed at a time, of `frames` in all.

    It is the same each time, so that one compiled program serves them all, and
    a multiple of the devices; the last piece is filled up.
    """
    devices = 1 if self.mesh is None else self.mesh.size
    pieces = -(-frames // (self.frames_at_a_time * devices))
    return -(-frames // (pieces * devices)) * devices


@dataclasses.dataclass(frozen=True)
class TextEncoder(Part):
  """The text encoder."""

  config: CLIPTextConfig

  def __call__(
      self, tokens: Int[Array, "b l"]
  ) -> Float[Array, "b l c"]:
    """Last hidden states of the tokens."""
    return _apply_text(self.config, self._on_device, tokens)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def apply_vae(config, method, mesh, params, x):
  """A method of the autoencoder on frames `n h w c`, as one program."""

  def apply(params, x):
    return AutoencoderKL(config).apply({"params": params}, x, method=method)

  if mesh is not None and mesh.size > 1:
    apply = activations.on_all_devices(apply, mesh)
  return apply(params, x)


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
  full = tokenizer(list(prompts)).input_ids
  # The end-of-text token takes the last place.
  cut = [tokenizer.decode(ids[positions - 1:-1]).strip()
         if len(ids) > positions else "" for ids in full]
  tokens = tokenizer(
      list(prompts), padding="max_length", truncation=True,
      max_length=positions).input_ids
  return np.asarray(tokens, np.int32), cut
