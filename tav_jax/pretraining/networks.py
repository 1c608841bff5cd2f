"""The diffusion stage's network, as a config describes it."""

import jax.numpy as jnp
from ml_collections import ConfigDict

from tav_jax.models import initial
from tav_jax.models.unet import UNet3D, UNetConfig
from tav_jax.types import Params

FRAME_RATE = "frame_rate"
"""The scalar that tells a network a clip's frames a second."""


def network(
    model: ConfigDict, size: int, channels: int, text_width: int | None,
    given: int = 0, scalars: tuple[str, ...] = (),
) -> UNetConfig:
  """The network of a config.

  Args:
    model: The config's section `model`. Without `temporal` and `convolution` it
      is an image model.
    size: Height and width of the latents (or pixels).
    channels: Channels of the latents (or pixels).
    text_width: Width of the text's embeddings; None for no text.
    given: Channels that the network sees besides.
    scalars: Numbers that it is told besides.
  """
  attention = tuple(model.attention)
  return UNetConfig(
      in_channels=channels + given, out_channels=channels,
      channels=tuple(model.channels),
      layers=(model.layers,) * len(model.channels),
      heads=heads(model),
      down_attention=attention, up_attention=attention[::-1],
      text_width=text_width, groups=model.groups, sample_size=size,
      spatial="own", temporal=model.get("temporal", "none"),
      convolution=model.get("convolution", "1x3x3"),
      scalars=scalars + (FRAME_RATE,) * model.get(FRAME_RATE, False))


def heads(model: ConfigDict) -> tuple[int, ...]:
  """Attention heads of each level: as many of `head_width` as its width holds.

  A level that is too narrow for two has one head, of all its channels.
  """
  return tuple(
      max(1, width // model.head_width) if there else 1
      for width, there in zip(model.channels, attends(model), strict=True))


def attends(model: ConfigDict) -> tuple[bool, ...]:
  """Which levels have attention; the coarsest has it at least in MidBlock."""
  return (*model.attention[:-1], True)


def has_text(model: ConfigDict) -> bool:
  """Whether the network of a config's section `model` takes a text."""
  return model.get("captioned", True)


def init(unet: UNetConfig, seed: int) -> Params:
  """Initial parameters."""
  text = None if unet.text_width is None else jnp.zeros(
      (1, 2, unet.text_width))
  return initial.init(
      UNet3D(unet), seed, jnp.zeros((1, 1, 8, 8, unet.in_channels)),
      jnp.zeros(1, jnp.int32), text,
      {name: jnp.zeros(1) for name in unet.scalars})
