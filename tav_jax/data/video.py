"""Videos and folders of frames: read as a person sees them, and written."""

from collections.abc import Iterator
import contextlib
import functools
import itertools
import os
import pathlib

import numpy as np
from PIL import Image, ImageOps

from tav_jax.data import containers, names, pictures
from tav_jax.data.frames import by_place, Clip, Frame, rate, Source
from tav_jax.data.pictures import frame_files
from tav_jax.data.writing import (
  write_frames,
  write_gif,
  write_lossless,
  write_mp4,
)
from tav_jax.errors import about, InputError

__all__ = [
  "FOLDER_RATE",
  "Clip",
  "frame_files",
  "read",
  "read_all",
  "to_model",
  "to_pixels",
  "write_frames",
  "write_gif",
  "write_lossless",
  "write_mp4",
]

FOLDER_RATE = 24.0
"""Frames a second of a folder of which nothing else is said."""

_FITS = {
    "stretch": lambda image, size: image.resize(size, Image.Resampling.BICUBIC),
    "crop": lambda image, size: ImageOps.fit(
        image, size, Image.Resampling.BICUBIC),
    "pad": lambda image, size: ImageOps.pad(
        image, size, Image.Resampling.BICUBIC),
}
_MOST_BYTES, _MOST_FRAMES = 2**31, 20_000  # Of a video that is read whole.
_MOST_SIDE = 8192  # Pixels of a frame that was resized.
_EXPECTED = "a video such as an mp4, or a folder of frames"


def read(
    path: str | os.PathLike,
    *,
    start: int,
    stride: int,
    frames: int,
    width: int,
    height: int,
    fit: str = "stretch",
    fps: float = 0.0,
) -> Clip:
  """Reads frames `start`, `start + stride`, ... of a video as it is displayed.

  Of a video of variable rate, frames are those seen at even distances of time
  (see `frames`). docs/files.md has what is done with each kind of file.

  Args:
    path: A file in any format that ffmpeg reads, or a folder of frames.
    start: Index of the first frame.
    stride: Distance between frames.
    frames: Number of frames.
    width: Width to resize to, in pixels.
    height: Height to resize to, in pixels.
    fit: "stretch", "crop" (fill, cut the rest) or "pad" (whole, black bars).
    fps: Frames a second of a folder; 0 for `FOLDER_RATE`.

  Raises:
    InputError: If the file cannot be read, has too few frames, or a value is
      out of range.
  """
  for name, value, least in (
      ("start", start, 0), ("stride", stride, 1), ("frames", frames, 1),
      ("width", width, 1), ("height", height, 1), ("fps", fps, 0)):
    if value < least:
      raise InputError(f"{name}={value}: expected {least} or more")
    if name in ("width", "height") and value > _MOST_SIDE:
      raise InputError(f"{name}={value}: expected {_MOST_SIDE} or less")
  if fit not in _FITS:
    raise InputError(f"fit={fit!r}: expected {', '.join(_FITS)}")
  path = names.at_home(path)
  if fps and os.path.isfile(path):
    raise InputError(
        f"fps={fps}: {path} has times of its own; expected fps=0, or a folder "
        "of frames")
  last = start + stride * (frames - 1)
  wanted = range(start, last + 1, stride)
  found: list[np.ndarray] = []
  seen, broken = 0, None
  with about("path="), _opened(path) as source:
    try:
      for places, frame in by_place(source):
        seen = places.stop
        here = [
            i for i in range(places.start, min(seen, last + 1)) if i in wanted]
        if here:
          found += [_fitted(path, frame, fit, (width, height))] * len(here)
        if seen > last:
          break
    except InputError:
      raise
    except Exception as error:
      broken = error  # What was decoded before may be all that is needed.
    if not seen:
      raise _unreadable(path, broken)
    if len(found) < frames:
      why = " before it breaks off" if broken else ""
      raise InputError(
          f"{path}: it has {seen} frames{why}, but frames {start} to {last} "
          f"were asked for; lower start={start}, stride={stride} or "
          f"frames={frames}")
  return Clip(np.stack(found), (source.rate or fps or FOLDER_RATE) / stride)


def read_all(path: str | os.PathLike) -> np.ndarray:
  """All frames of a video or a folder as displayed, `f h w c`, uint8, RGB.

  Raises:
    InputError: If it cannot be read to its end, has frames of different sizes,
      or is longer than 20,000 frames or two gigabytes.
  """
  path = names.at_home(path)
  found: list[np.ndarray] = []
  with _opened(path) as source:
    try:
      for places, frame in by_place(source):
        array = np.asarray(_displayed(path, frame))
        if found and array.shape != found[0].shape:
          raise InputError(f"{path}: its frames have different sizes")
        count = len(found) + len(places)
        if count > _MOST_FRAMES or count * array.nbytes > _MOST_BYTES:
          raise InputError(
              f"{path}: over {_MOST_FRAMES:,} frames or {_MOST_BYTES:,} bytes "
              "of pixels; expected a shorter or a smaller video")
        found += [array] * len(places)
    except InputError:
      raise
    except Exception as error:
      raise _unreadable(path, error) from error
    if not found:
      raise _unreadable(path, None)
  whole = np.empty((len(found), *found[0].shape), np.uint8)
  for i in reversed(range(len(found))):  # Nothing is there twice.
    whole[i] = found.pop()
  return whole


def _unreadable(path: pathlib.Path, error: Exception | None) -> InputError:
  why = getattr(error, "strerror", None) or error or "no frames"
  return InputError(
      f"{path}: cannot be read as a video ({why}); the file may be cut short, "
      "or not a video")


@contextlib.contextmanager
def _opened(path: pathlib.Path) -> Iterator[Source]:
  """The frames of a folder, a picture or a video."""
  if os.path.isdir(path):  # Too long a name is no error.
    yield Source(_of_folder(path))
    return
  pictures.check_regular(path, _EXPECTED)
  kind = pictures.kind(path)
  if kind == "still":
    yield Source(iter([Frame(functools.partial(pictures.read, path))]))
  elif kind:
    yield _of_webp(path)
  else:
    with contextlib.ExitStack() as stack:
      try:
        source = stack.enter_context(containers.opened(path))
      except InputError:
        raise
      except Exception as error:
        raise _unreadable(path, error) from error
      yield source


def _of_folder(folder: pathlib.Path) -> Iterator[Frame]:
  """Frames of a folder, which have to be of one size."""
  files = frame_files(folder)
  if not files:
    raise InputError(
        f"{folder}: a folder without frames (.png, .jpg, .webp, ...); expected "
        f"{_EXPECTED}")
  sizes: list[tuple[int, int]] = []

  def image(file: pathlib.Path) -> Image.Image:
    found = pictures.read(file)
    sizes.append(found.size)
    if found.size != sizes[0]:
      raise InputError(
          f"{file}: {found.width}x{found.height} pixels, unlike the frames "
          f"before, {sizes[0][0]}x{sizes[0][1]}; expected one size in a folder")
    return found

  for file in files:
    yield Frame(functools.partial(image, file))


def _of_webp(path: pathlib.Path) -> Source:
  seconds = pictures.webp_seconds(path)
  times = [0.0, *itertools.accumulate(seconds)][:-1]
  frames = (
      Frame(functools.partial(_same, image), 1.0, time, length)
      for image, time, length in zip(
          pictures.animation(path), times, seconds, strict=False))
  return Source(frames, *rate(times, seconds[-1] if seconds else 0.0, ()))


def _same(image: Image.Image) -> Image.Image:
  return image


def _fitted(
    path: pathlib.Path, frame: Frame, fit: str, size: tuple[int, int]
) -> np.ndarray:
  image = frame.image() if fit == "stretch" else _displayed(path, frame)
  return np.asarray(_FITS[fit](image, size))


def _displayed(path: pathlib.Path, frame: Frame) -> Image.Image:
  """The frame in square pixels."""
  image = frame.image()
  width, height = image.size
  if frame.pixel > 1:
    width = round(width * frame.pixel)
  else:
    height = round(height / frame.pixel)
  containers.check_size(width, height, path)
  if (width, height) == image.size:
    return image
  return image.resize((width, height), Image.Resampling.BICUBIC)


def to_model(frames: np.ndarray) -> np.ndarray:
  """uint8 pixels to float32 in [-1, 1]."""
  return frames.astype(np.float32) / 127.5 - 1


def to_pixels(video) -> np.ndarray:
  """Pixels, clipped to [-1, 1], to uint8."""
  return np.round(np.clip(np.asarray(video) + 1, 0, 2) * 127.5).astype(np.uint8)
