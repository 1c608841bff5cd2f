"""A folder of your own pictures or clips, with captions."""

import functools
import hashlib
import os
import pathlib
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps
import tensorflow_datasets as tfds

from tav_jax.data import jsonl, names, pictures, video
from tav_jax.data.datasets import builder
from tav_jax.errors import about, InputError

_CLIPS = {
    ".apng", ".avi", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg",
    ".ts", ".webm"}
_EXAMPLE = '{"file_name": "cat.png", "text": "a cat on the grass"}'


class _Row(NamedTuple):
  where: str  # "metadata.jsonl line 3".
  file: pathlib.Path
  caption: str


class CaptionedFolder(builder.Builder):
  """Pictures or clips, in one split, `train`.

  The folder has `metadata.jsonl`, one object of JSON a line, as the `datasets`
  library's image folders have: `file_name`, relative to the folder, and the
  caption, `text` or `caption`. A GIF and an animated WebP are clips. Everything
  is read as `data.video` and `data.pictures` read it, scaled until it just
  covers the square and cropped to its centre. A record has

      image    h w c, uint8; or, in a folder of clips,
      video    f h w c, uint8, the first frames at that stride
      fps      float32, frames a second of these
      caption  str
  """

  def __init__(
      self,
      *,
      folder: str | os.PathLike,
      data_dir: str | os.PathLike,
      size: int,
      frames: int,
      stride: int,
  ):
    self._rows = _rows(names.at_home(folder))
    self._clips = _are_clips(self._rows)
    self._size, self._frames, self._stride = size, frames, stride
    shape = f"{size}px"
    if self._clips:
      shape = f"{frames}x{size}px-stride{stride}-fps"
    self.counts = {"train": len(self._rows)}
    self.record_bytes = 3 * size**2 * (frames if self._clips else 1)
    super().__init__(
        data_dir=data_dir, config=f"{shape}-{_fingerprint(self._rows)}")

  def features(self) -> dict[str, tfds.features.FeatureConnector]:
    square = (self._size, self._size, 3)
    shape = (self._frames, *square) if self._clips else square
    fields = {
        "video" if self._clips else "image": tfds.features.Tensor(
            shape=shape, dtype=np.uint8, encoding="bytes"),
        "caption": tfds.features.Text()}
    if self._clips:
      fields["fps"] = tfds.features.Tensor(shape=(), dtype=np.float32)
    return fields

  def work(self, split: str, numbers: range):
    read = functools.partial(_picture, self._size)
    if self._clips:
      read = functools.partial(_clip, self._size, self._frames, self._stride)
    return read, self._rows[numbers.start:numbers.stop]


def _rows(folder: pathlib.Path) -> list[_Row]:
  """The rows of `metadata.jsonl`."""
  path = folder / "metadata.jsonl"
  if not path.is_file():
    raise InputError(
        f"{path}: no such file; expected a line like {_EXAMPLE} for each "
        "picture or clip")
  rows = [
      _row(folder, where, row) for where, row in jsonl.read(path, _EXAMPLE)]
  if not rows:
    raise InputError(
        f"{path}: no rows; expected a line like {_EXAMPLE} for each picture "
        "or clip")
  return rows


def _row(folder: pathlib.Path, where: str, row: dict[str, Any]) -> _Row:
  if not isinstance(row.get("file_name"), str):
    raise InputError(f"{where}: no file_name; expected {_EXAMPLE}")
  caption = row.get("text", row.get("caption"))
  if not isinstance(caption, str) or not caption.strip():
    raise InputError(
        f"{where}: no caption of {row['file_name']!r}; expected {_EXAMPLE}")
  file = names.find(folder / row["file_name"])
  if not os.path.isfile(file):  # Too long a name is no error.
    raise InputError(
        f"{where}: {file}: no such file; expected a path relative to {folder}")
  return _Row(where, file, caption.strip())


def _are_clips(rows: list[_Row]) -> bool:
  """Whether it is a folder of clips rather than of pictures."""
  kinds = {_is_clip(row.file): row for row in rows}
  if len(kinds) > 1:
    raise InputError(
        f"{kinds[True].where}: {kinds[True].file.name} is a clip and "
        f"{kinds[False].file.name} a picture; expected one kind in a folder")
  return True in kinds


def _is_clip(file: pathlib.Path) -> bool:
  suffix = file.suffix.lower()
  return suffix in _CLIPS or (
      suffix == ".webp" and pictures.is_animated_webp(file))


def _fingerprint(rows: list[_Row]) -> str:
  """Changes with the captions and the files."""
  text = "\n".join(
      f"{row.file.name} {row.file.stat().st_size} "
      f"{row.file.stat().st_mtime_ns} {row.caption}" for row in rows)
  return hashlib.sha256(text.encode()).hexdigest()[:12]


def _picture(size: int, row: _Row) -> dict:
  with about(f"{row.where}: "):
    image = pictures.read(row.file)
  image = ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)
  return {"image": np.asarray(image), "caption": row.caption}


def _clip(size: int, frames: int, stride: int, row: _Row) -> dict:
  with about(f"{row.where}: "):
    clip = video.read(
        row.file, start=0, stride=stride, frames=frames, width=size,
        height=size, fit="crop")
  return {
      "video": clip.frames, "fps": np.float32(clip.fps), "caption": row.caption}
