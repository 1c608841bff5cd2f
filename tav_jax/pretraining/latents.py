"""Latents of pictures or clips, encoded once before the diffusion stage."""

import hashlib
import json
import logging
import os
import pathlib

from jaxtyping import UInt8
import numpy as np
import tqdm

from tav_jax.data import video
from tav_jax.pretrained.parts import VAE
from tav_jax.pretraining.pictures import Pictures

log = logging.getLogger(__name__)

_AT_A_TIME = 64
_COMPARED = 64


class Encoded:
  """Records with `mean` and `std` of the latents in place of the pixels.

  Both are `f h w c`, float16, in the diffusion model's units; a picture is a
  clip of one frame.
  """

  def __init__(self, records, mean: np.ndarray, std: np.ndarray):
    self._records, self._mean, self._std = records, mean, std

  def __len__(self) -> int:
    return len(self._records)

  def __getitem__(self, i: int) -> dict:
    record = dict(self._records[i])
    del record["video" if "video" in record else "image"]
    return record | {"mean": self._mean[i], "std": self._std[i]}


def encode(
    pictures: Pictures, vae: VAE, weights: pathlib.Path,
    directory: pathlib.Path,
) -> Pictures:
  """Splits whose training records are encoded; latents stay in `directory`.

  Args:
    pictures: Pictures to encode.
    vae: The autoencoder.
    weights: File of its weights. If weights or pictures have changed, all are
      encoded anew.
    directory: Where `mean.npy` and `std.npy` (memory-mapped) are kept.
  """
  source = pictures.splits["train"]
  made_of = json.dumps({
      "autoencoder": hashlib.sha256(weights.read_bytes()).hexdigest(),
      "scaling_factor": vae.config.scaling_factor,
      "pictures": _fingerprint(source),
      "count": len(source), "frames": len(pixels(source[0]))}) + "\n"
  note = directory / "made_of.json"
  if not note.is_file() or note.read_text() != made_of:
    if note.exists():
      log.info("other pictures or another autoencoder: encoding anew")
    note.unlink(missing_ok=True)
    _encode(source, vae, directory)
    note.write_text(made_of)
  mean, std = (
      np.load(directory / f"{name}.npy", mmap_mode="r")
      for name in ("mean", "std"))
  return Pictures(pictures.splits | {"train": Encoded(source, mean, std)})


def _new_array(path: pathlib.Path, shape: tuple[int, ...]) -> np.memmap:
  array = np.lib.format.open_memmap(path, "w+", np.float16, shape)
  # Takes the space now: later, a full disk would end the process (SIGBUS).
  with path.open("r+b") as file:
    os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
  return array


def _fingerprint(source) -> str:
  """A hash of some of the pictures."""
  digest = hashlib.sha256()
  for i in range(0, len(source), -(-len(source) // _COMPARED)):
    digest.update(pixels(source[i]).tobytes())
  return digest.hexdigest()


def _encode(source, vae: VAE, directory: pathlib.Path) -> None:
  directory.mkdir(parents=True, exist_ok=True)
  count, config = len(source), vae.config
  frames, height, width = pixels(source[0]).shape[:3]
  shape = (
      count, frames, height // config.factor, width // config.factor,
      config.latent_channels)
  mean, std = (
      _new_array(directory / f"{name}.npy", shape) for name in ("mean", "std"))
  size = -(-_AT_A_TIME // frames)
  for i in tqdm.tqdm(
      range(0, count, size), desc="encoding", unit_scale=size * frames,
      unit="picture", leave=False, dynamic_ncols=True):
    stop = min(i + size, count)
    images = np.concatenate([pixels(source[k]) for k in range(i, stop)])
    for array, values in zip(
        (mean, std), vae.encode(video.to_model(images)[None]), strict=True):
      array[i:stop] = values[0].reshape(-1, *shape[1:])
  mean.flush()
  std.flush()
  log.info(
      "encoded %d of %d frames to %s", count, frames,
      "x".join(map(str, shape[2:])))


def pixels(record: dict) -> UInt8[np.ndarray, "f h w c"]:
  """The frames of a record; of a picture, one."""
  return record["video"] if "video" in record else record["image"][None]
