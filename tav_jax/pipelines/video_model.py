"""A pretrained model on the device, ready to tune and to sample."""

from collections.abc import Callable, Sequence
import dataclasses
import logging
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
import numpy as np

from tav_jax.errors import about, InputError
from tav_jax.models.attention import KERNELS
from tav_jax.models.layers import Execution
from tav_jax.models.unet import UNet3D, UNetConfig, VARIANTS
from tav_jax.parallel import placement, processes
from tav_jax.parallel.mesh import make_mesh
from tav_jax.pretrained import names
from tav_jax.pretrained.load import load_parts
from tav_jax.pretrained.parts import TextEncoder, token_ids, VAE
from tav_jax.sampling.guidance import Network
from tav_jax.sampling.schedule import Schedule
from tav_jax.training import optim
from tav_jax.types import Params, TextEmbeds

log = logging.getLogger(__name__)

DTYPES = {
    "float32": jnp.float32,
    "bfloat16": jnp.bfloat16,
    # bfloat16 where it halves memory and is fast; float32 on CPU.
    "auto": None,
}


@dataclasses.dataclass(frozen=True)
class VideoModel:
  """The inflated network, its parameters in two trees, and the frozen parts.

  Attributes:
    unet: Config of the network.
    trainable: Initial trainable parameters, float32 arrays of the host.
    frozen: Frozen parameters, of the type the network computes in, or bfloat16
      to save memory.
    vae: The autoencoder, on the mesh, of the type the network computes in.
    text_encoder: The text encoder, likewise.
    tokenizer: The text encoder's tokenizer.
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
    """Text embeddings `b l e`, on the host; warns of words that were cut off.
    """
    positions = self.text_encoder.config.positions
    tokens, cut = token_ids(self.tokenizer, positions, prompts)
    for prompt, words in zip(prompts, cut, strict=True):
      if words:
        log.warning(
            "prompt %r: the text encoder reads %d tokens; not read: %r",
            prompt, positions, words)
    return processes.to_host(self.text_encoder(tokens))


def network(unet: UNetConfig, trainable: Params, frozen: Params) -> Network:
  """The U-Net as a function of `(latents, timesteps, text)`."""
  variables = {"params": optim.merge(trainable, frozen)}
  apply: Callable[..., Any] = UNet3D(unet).apply
  return lambda *args: apply(variables, *args)


MEMORY = ("given", "fit")


@dataclasses.dataclass(frozen=True)
class ModelSettings:
  """Which model is loaded, which parameters train, and how it computes.

  Attributes:
    checkpoint: As for `tav_jax.load_pretrained`.
    revision: Branch, tag or commit on the hub; "" is its default branch.
    trainable: Path patterns of the parameters that train.
    spatial: As for `UNetConfig`, like the next two.
    temporal: Temporal attention.
    convolution: Kind of convolutions.
    dtype: "float32", "bfloat16" or "auto": bfloat16 on TPU and GPU.
    remat: Recompute activations of every block in the backward pass.
    attention: Kernel, of `models.attention.KERNELS`, or "auto", by platform.
    attention_block: Query positions that "blockwise" handles at a time.
    memory: "given" leaves the four settings above as they are. "fit" takes
      those that need least memory: remat, blocks of 64, frozen parameters in
      bfloat16 whatever the arithmetic, the autoencoder frame by frame.
  """

  checkpoint: str = "CompVis/stable-diffusion-v1-4"
  revision: str = ""
  trainable: Sequence[str] = ("attn1/to_q", "attn2/to_q", "attn_temp")
  spatial: str = UNetConfig.spatial
  temporal: str = UNetConfig.temporal
  convolution: str = UNetConfig.convolution
  dtype: str = "auto"
  remat: bool = True
  attention: str = "auto"
  attention_block: int = 256
  memory: str = "given"

  @property
  def variant(self) -> dict[str, str]:
    """How the network is inflated, as for `tav_jax.load_pretrained`."""
    return {name: getattr(self, name) for name in VARIANTS}

  def check(self) -> None:
    """Raises an InputError that names the first setting with unknown value."""
    known = VARIANTS | {
        "dtype": tuple(DTYPES), "attention": ("auto", *KERNELS),
        "memory": MEMORY}
    for name, words in known.items():
      if getattr(self, name) not in words:
        raise InputError(
            f"model.{name}={getattr(self, name)!r}: expected "
            f"{', '.join(words)}")

  def execution(self, platform: str) -> Execution:
    """How the network is executed on "cpu", "gpu" or "tpu"."""
    dtype = DTYPES[self.dtype] or (
        jnp.float32 if platform == "cpu" else jnp.bfloat16)
    attention = self.attention
    if attention == "auto":
      half = jnp.dtype(dtype).itemsize == 2
      attention = {
          "tpu": "flash", "gpu": "cudnn" if half else "blockwise"}.get(
              platform, "blockwise")
    if self.memory == "fit":
      return Execution(dtype, True, attention, 64)
    return Execution(dtype, self.remat, attention, self.attention_block)

  def frozen_dtype(self, platform: str) -> Any:
    """The type of the frozen parameters."""
    if self.memory == "fit":
      return jnp.bfloat16
    return self.execution(platform).dtype

  @property
  def vae_frames(self) -> int:
    """Frames that the autoencoder handles at a time."""
    return 1 if self.memory == "fit" else VAE.frames_at_a_time


def load(settings: ModelSettings, mesh: Mesh | None = None) -> VideoModel:
  """Loads a checkpoint and puts it on the device.

  Args:
    settings: What to load, and how it computes.
    mesh: The devices to put it on; by default the first device alone.
  """
  settings.check()
  mesh = mesh or make_mesh(jax.devices()[:1])
  platform = jax.default_backend()
  execution = settings.execution(platform)
  loaded, flat = load_parts(
      settings.checkpoint, revision=settings.revision or None,
      dtype=execution.dtype, variant=settings.variant, mesh=mesh)
  with about("model."):
    train, frozen = optim.split(flat, settings.trainable)
  log.info(
      "%s: training %.2f M of %.2f M parameters, %s on %s", settings.checkpoint,
      optim.count(train) / 1e6, optim.count(flat) / 1e6,
      jnp.dtype(execution.dtype), f"{mesh.size} x " * (mesh.size > 1)
      + jax.devices()[0].device_kind)
  del flat  # Else it keeps arrays alive that are moved.
  model = VideoModel(
      unet=dataclasses.replace(loaded.unet_config, execution=execution),
      trainable=names.nest(
          train, lambda path, x: x.astype(np.float32, copy=False)),
      frozen=names.nest(frozen, lambda path, x: placement.put_param(
          mesh, path, x.astype(settings.frozen_dtype(platform), copy=False))),
      vae=dataclasses.replace(
          loaded.vae, frames_at_a_time=settings.vae_frames),
      text_encoder=loaded.text_encoder,
      tokenizer=loaded.tokenizer,
      schedule=loaded.schedule,
      mesh=mesh,
  )
  processes.trim_memory()
  return model
