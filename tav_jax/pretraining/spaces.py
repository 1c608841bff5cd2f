"""The space in which diffusion happens: an autoencoder's latents, or pixels."""

from collections.abc import Callable, Sequence
import dataclasses
import pathlib
from typing import Any

import numpy as np

from tav_jax.data import video
from tav_jax.errors import InputError
from tav_jax.pretrained import load, pipeline
from tav_jax.pretraining import latents as latents_lib
from tav_jax.pretraining.pictures import Pictures
from tav_jax.types import Array


@dataclasses.dataclass(frozen=True)
class Space:
  """The form in which the diffusion model sees a picture or a clip, x_0.

  Attributes:
    size: Height and width of x_0.
    channels: Channels of x_0.
    pictures: The pictures, with the fields that `moments` reads.
    moments: From a training record and numbers of its frames to the `mean` and
      `std` of x_0 there, `f h w c`; a picture is a clip of one frame.
    encode: From pixels in [-1, 1], `b f h w c`, to x_0.
    decode: From x_0, `b f h w c`, to pixels in about [-1, 1].
  """

  size: int
  channels: int
  pictures: Pictures
  moments: Callable[[dict[str, Any], Sequence[int]], dict[str, np.ndarray]]
  encode: Callable[[Array], Array]
  decode: Callable[[Array], Array]


def of(
    workdir: pathlib.Path, latent: bool, size: int,
    pictures: Pictures | None = None,
) -> Space:
  """The latents of a workdir's autoencoder, or pixels.

  Args:
    workdir: Directory of the whole run.
    latent: Whether it is latents.
    size: Height and width of the pictures.
    pictures: Pictures to train on; None where nothing is trained.
  """
  if latent:
    return latents(workdir, size, pictures)
  return pixels(size, pictures or Pictures({}))


def latents(
    workdir: pathlib.Path, size: int, pictures: Pictures | None
) -> Space:
  """The latents of the autoencoder that its stage has written to `workdir`.

  Args:
    workdir: Directory of the whole run, where latents are also kept.
    size: Height and width of the pictures.
    pictures: Pictures to encode, or None.

  Raises:
    InputError: If the autoencoder cannot be read, or its factor does not divide
      `size`.
  """
  directory = workdir / "model/vae"
  vae = load.load_vae(directory)
  if size % vae.config.factor:
    raise InputError(
        f"data.size={size}: expected a multiple of {vae.config.factor}, the "
        f"factor of the autoencoder in {directory}")
  return Space(
      size // vae.config.factor, vae.config.latent_channels,
      Pictures({}) if pictures is None else latents_lib.encode(
          pictures, vae, directory / pipeline.WEIGHTS, workdir / "latents"),
      lambda record, which: {
          "mean": record["mean"][which], "std": record["std"][which]},
      lambda video: vae.encode(video)[0], vae.decode)


def pixels(size: int, pictures: Pictures) -> Space:
  """The pixels of pictures of that height and width."""

  def moments(record, which):
    frames = video.to_model(latents_lib.pixels(record)[which])
    return {"mean": frames, "std": np.zeros_like(frames)}

  return Space(size, 3, pictures, moments, np.asarray, np.asarray)
