"""A pretrained model on the device, ready to tune and to sample."""

from collections.abc import Sequence
import dataclasses
import logging
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from tav_jax import pretrained
from tav_jax.errors import about, InputError
from tav_jax.models.attention import KERNELS
from tav_jax.models.layers import Compute
from tav_jax.models.unet import UNet3D, UNetConfig, VARIANTS
from tav_jax.parallel import placement
from tav_jax.parallel.mesh import make_mesh
from tav_jax.pretrained.parts import TextEncoder, token_ids, VAE
from tav_jax.sampling.guidance import Network
from tav_jax.sampling.schedule import Schedule
from tav_jax.training import optim
from tav_jax.types import Params, TextEmbeds

log = logging.getLogger(__name__)

DTYPES = {
    "float32": jnp.float32,
    "bfloat16": jnp.bfloat16,
    # Half the memory where it is also faster; it is slower on CPU.
    "auto": None,
}


@dataclasses.dataclass(frozen=True)
class VideoModel:
  """The inflated network, its parameters in two trees, and the frozen parts.

  Attributes:
    unet: The network.
    trainable: Initial trainable parameters, float32 arrays of the host.
    frozen: Frozen parameters, of the type the network computes in, unless
      memory is to be saved.
    vae: The autoencoder.
    text_encoder: The text encoder.
    tokenizer: Its tokenizer.
    schedule: Noise schedule and kind of prediction.
    mesh: Where the device arrays lie.
  """

  unet: UNetConfig
  trainable: Params
  frozen: Params
  vae: VAE
  text_encoder: TextEncoder
  tokenizer: Any
  schedule: Schedule
  mesh: Mesh

  def network(self, trainable: Params, frozen: Params) -> Network:
    """The U-Net with these parameters."""
    return network(self.unet, trainable, frozen)

  def embed(self, prompts: Sequence[str]) -> TextEmbeds:
    """Text embeddings `b l e`; warns of words that were cut off."""
    positions = self.text_encoder.config.positions
    tokens, cut = token_ids(self.tokenizer, positions, prompts)
    for prompt, words in zip(prompts, cut, strict=True):
      if words:
        log.warning(
            "prompt %r: the text encoder reads %d tokens; not read: %r",
            prompt, positions, words)
    return placement.replicate(self.mesh, self.text_encoder(tokens))


def network(unet: UNetConfig, trainable: Params, frozen: Params) -> Network:
  """The U-Net as a function of `(latents, timesteps, text)`."""
  variables = {"params": optim.merge(trainable, frozen)}
  return lambda *args: UNet3D(unet).apply(variables, *args)


MEMORY = ("given", "fit")


class How(NamedTuple):
  """How a model computes, and what it keeps.

  Attributes:
    compute: Of the network.
    frozen: Type of the frozen parameters.
    vae_frames: That the autoencoder handles at a time.
  """

  compute: Compute
  frozen: Any
  vae_frames: int


def how(platform: str, *, memory: str, **given) -> How:
  """How to compute; arguments as for `compute` and `load`."""
  if memory == "fit":
    least = compute(platform, **given | {"remat": True, "attention_block": 64})
    return How(least, jnp.bfloat16, 1)
  chosen = compute(platform, **given)
  return How(chosen, chosen.dtype, VAE.frames_at_a_time)


def compute(
    platform: str, dtype: str, remat: bool, attention: str,
    attention_block: int,
) -> Compute:
  """How to compute on "cpu", "gpu" or "tpu"; arguments as for `load`."""
  resolved = DTYPES[dtype] or (
      jnp.float32 if platform == "cpu" else jnp.bfloat16)
  if attention == "auto":
    half = jnp.dtype(resolved).itemsize == 2
    attention = {
        "tpu": "flash", "gpu": "cudnn" if half else "blockwise"}.get(
            platform, "blockwise")
  return Compute(resolved, remat, attention, attention_block)


def load(
    checkpoint: str,
    *,
    mesh: Mesh | None = None,
    revision: str = "",
    trainable: Sequence[str],
    spatial: str = UNetConfig.spatial,
    temporal: str = UNetConfig.temporal,
    convolution: str = UNetConfig.convolution,
    dtype: str = "auto",
    remat: bool = True,
    attention: str = "auto",
    attention_block: int = 256,
    memory: str = "given",
) -> VideoModel:
  """Loads a checkpoint and puts it on the device.

  Args:
    checkpoint: As for `tav_jax.load_pretrained`.
    mesh: Where to; by default the first device alone.
    revision: Branch, tag or commit on the hub; "" is its default branch.
    trainable: Path patterns of the parameters that train.
    spatial: As for `UNetConfig`, like the next two.
    temporal: Temporal attention.
    convolution: Kind of convolutions.
    dtype: "float32", "bfloat16" or "auto": bfloat16 on TPU and GPU.
    remat: Recompute activations of every block in the backward pass.
    attention: Kernel, of `models.attention.KERNELS`, or "auto", by platform.
    attention_block: Query positions that "blockwise" handles at a time.
    memory: "given" is what the last three and `dtype` say. "fit" is what needs
      least: remat, blocks of 64, frozen parameters in bfloat16 whatever the
      arithmetic, the autoencoder frame by frame.
  """
  variant = {
      "spatial": spatial, "temporal": temporal, "convolution": convolution}
  known = VARIANTS | {
      "dtype": tuple(DTYPES), "attention": ("auto", *KERNELS),
      "memory": MEMORY}
  for name, value in (variant | {
      "dtype": dtype, "attention": attention, "memory": memory}).items():
    if value not in known[name]:
      raise InputError(
          f"model.{name}={value!r}: expected {', '.join(known[name])}")
  mesh = mesh or make_mesh(jax.devices()[:1])
  compute, frozen_dtype, vae_frames = how(
      jax.default_backend(), memory=memory, dtype=dtype, remat=remat,
      attention=attention, attention_block=attention_block)
  loaded = pretrained.load_pretrained(
      checkpoint, revision=revision or None, variant=variant)
  # Split while all is float32: what trains must not pass through bfloat16.
  with about("model."):
    train, frozen = optim.split(loaded.unet_params, trainable)
  log.info(
      "%s: training %.2f M of %.2f M parameters, %s on %s", checkpoint,
      optim.count(train) / 1e6, optim.count(loaded.unet_params) / 1e6,
      jnp.dtype(compute.dtype), f"{mesh.size} x " * (mesh.size > 1)
      + jax.devices()[0].device_kind)
  # Nothing else may hold on to what is moved.
  loaded = dataclasses.replace(loaded, unet_params={})
  return VideoModel(
      unet=dataclasses.replace(loaded.unet_config, compute=compute),
      trainable=train,
      frozen=placement.move(
          frozen, placement.param_specs(mesh, frozen), frozen_dtype),
      vae=dataclasses.replace(
          loaded.vae, frames_at_a_time=vae_frames,
          params=placement.replicate(mesh, loaded.vae.params)),
      text_encoder=loaded.text_encoder,
      tokenizer=loaded.tokenizer,
      schedule=loaded.schedule,
      mesh=mesh,
  )
