"""Picture files to what a person sees, through Pillow.

Upright, in sRGB, eight bits a channel, on white where they are transparent.
"""

from collections.abc import Iterator
import contextlib
import io
import logging
import os
import pathlib
import re
import stat
from typing import Any
import warnings

import numpy as np
from PIL import Image, ImageCms, ImageOps, ImageSequence, UnidentifiedImageError

from tav_jax.errors import InputError

log = logging.getLogger(__name__)

# Formats and the endings of their files. Pillow opens no others: some of its
# readers start programs or take any file for theirs.
_FORMATS = (
    "AVIF", "BMP", "DIB", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF",
    "WEBP")
SUFFIXES = frozenset((
    ".avif", ".bmp", ".dib", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm",
    ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"))
"""Endings of the files that are frames in a folder of frames."""

_STREAMS = (".mj2", ".mjpeg", ".mjpg")  # They begin as a picture does.
_MOST_PIXELS = 89_478_485  # Pillow's own bound: a quarter of a gigabyte.
_WHITE = (255, 255, 255)


def check_regular(path: pathlib.Path, expected: str) -> None:
  """Raises an InputError if a path is no regular file: a pipe would hang."""
  try:
    kind = path.stat()
  except (OSError, ValueError) as error:
    why = getattr(error, "strerror", None) or error
    raise InputError(
        f"{path}: no such file ({why}); expected {expected}") from error
  if not stat.S_ISREG(kind.st_mode):
    raise InputError(
        f"{path}: neither a file nor a folder but a pipe or a device; "
        f"expected {expected}")
  if not kind.st_size:
    raise InputError(f"{path}: the file is empty; expected {expected}")


def frame_files(folder: str | os.PathLike) -> list[pathlib.Path]:
  """The pictures in a folder, in the order of the numbers in their names.

  Hidden files, such as macOS's `._0001.png`, are passed over.
  """
  return sorted((
      file for file in pathlib.Path(folder).iterdir()
      if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")
      and not file.is_dir()), key=_natural)


def _natural(file: pathlib.Path) -> tuple:
  """`frame_2` comes before `frame_10`."""
  parts = re.split(r"(\d+)", file.name)
  return [int(p) if i % 2 else p for i, p in enumerate(parts)], file.name


def read(path: str | os.PathLike) -> Image.Image:
  """A picture as a person sees it, RGB; of an animated one the first.

  Raises:
    InputError: If it cannot be read, or declares an absurd size.
  """
  path = pathlib.Path(path)
  check_regular(path, "a picture")
  with _about(path), _opened(path) as image:
    return seen(image)


def kind(path: pathlib.Path) -> str:
  """"still", "animated WebP", or "" for what FFmpeg is to read.

  Raises:
    InputError: If it declares an absurd size.
  """
  if path.suffix.lower() in _STREAMS:
    return ""
  with _about(path):
    try:
      with _opened(path) as image:
        if not getattr(image, "is_animated", False):
          return "still"
        if image.format == "WEBP":
          return "animated WebP"
        return "still" if image.format in ("MPO", "TIFF") else ""
    except UnidentifiedImageError:
      return ""


def animation(path: pathlib.Path) -> Iterator[Image.Image]:
  """Yields the frames of an animated picture, each as a person sees it."""
  with _about(path), _opened(path) as image:
    for frame in ImageSequence.Iterator(image):
      yield seen(frame)


def is_animated_webp(path: pathlib.Path) -> bool:
  """By the flags in its first chunk, without reading the rest."""
  with path.open("rb") as file:
    head = file.read(21)
  return head[8:16] == b"WEBPVP8X" and bool(head[20] & 2)


def webp_seconds(path: pathlib.Path) -> list[float]:
  """How long each frame of an animated WebP is shown, by its chunks.

  As in browsers, a hundredth of a second or less counts as a tenth.
  https://developers.google.com/speed/webp/docs/riff_container
  """
  data, at, found = path.read_bytes(), 12, []
  while at + 8 <= len(data):
    size = int.from_bytes(data[at + 4:at + 8], "little")
    if data[at:at + 4] == b"ANMF":
      milliseconds = int.from_bytes(data[at + 20:at + 23], "little")
      found.append(milliseconds / 1000 if milliseconds > 10 else 0.1)
    at += 8 + size + size % 2
  return found


@contextlib.contextmanager
def _opened(path: pathlib.Path) -> Iterator[Image.Image]:
  Image.init()
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # What matters is an error here.
    with Image.open(path, formats=_FORMATS) as image:
      if image.width * image.height > _MOST_PIXELS:
        raise InputError(
            f"{path}: it declares {image.width}x{image.height} pixels; "
            f"expected {_MOST_PIXELS:,} or fewer")
      yield image


@contextlib.contextmanager
def _about(path: pathlib.Path) -> Iterator[None]:
  try:
    yield
  except InputError:
    raise
  except Image.DecompressionBombError as error:
    raise InputError(
        f"{path}: {error}; expected {_MOST_PIXELS:,} pixels or fewer"
    ) from error
  # Damaged files make Pillow's readers raise errors of any kind.
  except Exception as error:
    why = getattr(error, "strerror", None) or str(error) or repr(error)
    raise InputError(
        f"{path}: cannot be read as a picture ({why}); the file may be cut "
        "short, or not a picture") from error


def seen(image: Image.Image) -> Image.Image:
  """A picture as a person sees it: upright RGB, on white."""
  image.load()
  profile, kept = image.info.get("icc_profile"), image.format
  image = ImageOps.exif_transpose(image)
  alpha = None
  if image.mode.startswith("I") and "transparency" in image.info:
    opaque = np.asarray(image) != image.info.pop("transparency")
    alpha = Image.fromarray(np.uint8(255) * opaque)
  elif image.has_transparency_data:
    image = image.convert("RGBA")
    alpha = image.getchannel("A")
    image = image.convert("RGB")
  image = in_srgb(_eight_bits(image, kept in ("PNG", "PPM")), profile)
  return image if alpha is None else on_white(image, alpha)


def on_white(image: Image.Image, alpha: Image.Image) -> Image.Image:
  """An RGB picture on white; `alpha` says how much of it hides the white."""
  return Image.composite(image, Image.new("RGB", image.size, _WHITE), alpha)


def _eight_bits(image: Image.Image, has_16: bool) -> Image.Image:
  """Greys of 16 or 32 bits and of floating point, scaled to eight bits."""
  if not image.mode.startswith(("I", "F")):
    return image
  values = np.asarray(image)
  if not np.isfinite(values).all():
    raise ValueError("it has values that are not finite")
  if image.mode.startswith("I;16") or has_16:
    white = 65535.0
  else:  # The least of the usual whites that its values do not exceed.
    whites = [255.0, 65535.0, 2.0**31 - 1]
    if image.mode == "F":
      whites = [1.0, *whites]
    white = next((x for x in whites if values.max() <= x), values.max())
  scaled = values.astype(np.float32) * np.float32(255 / white)
  return Image.fromarray(np.rint(scaled.clip(0, 255)).astype(np.uint8))


def in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
  """RGB in sRGB, by the picture's colour profile if it has one.

  Args:
    image: A picture of eight bits a channel, without transparency.
    profile: An ICC profile. One that cannot be used is said and ignored, as
      browsers ignore it.
  """
  if image.mode not in ("L", "RGB", "CMYK", "LAB"):
    image = image.convert("RGB")
  source: Any = None
  try:
    if profile:
      source = ImageCms.getOpenProfile(io.BytesIO(profile))
      if "srgb" in ImageCms.getProfileDescription(source).lower():
        source = None
    elif image.mode == "LAB":
      source = ImageCms.createProfile("LAB")
    if source:
      changed = ImageCms.buildTransform(
          source, ImageCms.createProfile("sRGB"), image.mode, "RGB")
      return changed.apply(image)
  except (ImageCms.PyCMSError, OSError, ValueError) as error:
    log.warning("a colour profile cannot be used: %s", error)
  return image.convert("RGB")
