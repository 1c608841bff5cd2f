"""Picture files to what a person sees, through Pillow.

`seen` has what is done to each.
"""

from collections.abc import Iterator
import contextlib
import os
import pathlib
import re
import stat
import warnings

from PIL import Image, ImageSequence, UnidentifiedImageError

from tav_jax.data.seen import seen
from tav_jax.errors import InputError

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
      yield seen(frame.copy())


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
