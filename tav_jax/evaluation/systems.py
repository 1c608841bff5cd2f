"""Reads the videos of one system, with their prompts, to be scored."""

from collections.abc import Mapping
import os
import pathlib
import re
from typing import Any, NamedTuple

import numpy as np

from tav_jax.data import jsonl, names, texts, video
from tav_jax.errors import InputError

_EXPECTED = (
    "a workdir of tav_jax.tune; a folder of samples/ in it; or a folder with "
    'a metadata.jsonl of lines {"file_name": "1.mp4", "text": "the prompt"}, '
    'each of a video or a folder of frames, perhaps with the "source" that it '
    'was made from and the "source_text" that describes that')


class Result(NamedTuple):
  """One video of a system.

  Attributes:
    prompt: The prompt that it was made for.
    path: A video file, or a folder of frames.
    source: The video that it was made from, if known.
    caption: The source's caption, if known.
  """

  prompt: str
  path: pathlib.Path
  source: pathlib.Path | None = None
  caption: str | None = None

  def frames(self) -> np.ndarray:
    """uint8 `f h w c`, as `frames` reads them."""
    return frames(self.path)


def frames(path: pathlib.Path) -> np.ndarray:
  """A video file or a folder of frames as displayed, uint8 `f h w c`.

  Raises:
    InputError: If it cannot be read, or has fewer than two frames, rows or
      columns, whose motion nothing could measure.
  """
  found = video.read_all(path)
  count, height, width = found.shape[:3]
  if min(count, height, width) < 2:
    raise InputError(
        f"{path}: {count} frames of {width}x{height} pixels; expected a video "
        "of two or more frames, rows and columns")
  return found


def read(path: str | pathlib.Path) -> list[Result]:
  """The videos of a system, in the order in which it lists them.

  Args:
    path: A workdir of tav_jax.tune, whose last round of samples counts; one
      round, a folder of its `samples/`; or a folder of any system's videos
      with a `metadata.jsonl`.

  Raises:
    InputError: If there are none.
  """
  path = names.at_home(str(path))
  rounds = list((path / "samples").glob("step_*/record.json"))
  if rounds:
    return _of_samples(max((file.parent for file in rounds), key=_number))
  if (path / "record.json").is_file():
    return _of_samples(path)
  if (path / "metadata.jsonl").is_file():
    return _of_folder(path)
  raise InputError(
      f"{path}: there are no videos to score; expected {_EXPECTED}")


def _number(samples: pathlib.Path) -> list[int]:
  """The steps and the round of `step_000300` or `step_000300_2`."""
  return [int(number) for number in re.findall(r"\d+", samples.name)]


def _of_samples(directory: pathlib.Path) -> list[Result]:
  """A round of samples, read from PNG frames, since mp4 is lossy."""
  file = directory / "record.json"
  record = jsonl.loads(texts.read(file, _EXPECTED), f"{file}", _EXPECTED)
  try:
    prompts = list(record["prompts"])
    shown = [
        (entry["label"],
         directory / "frames" / pathlib.Path(entry["file"]).stem)
        for entry in record["files"]]
    # The edits come last, and one may be called "source" too.
    edits = shown[-len(prompts):]
    if [label for label, _ in edits] != prompts:
      raise TypeError("its files are not those of its prompts")
    source = dict(shown[:-len(prompts)]).get("source")
    return [
        Result(prompt, path, source, record.get("caption"))
        for prompt, path in edits]
  except (KeyError, TypeError) as error:
    raise InputError(
        f"{file}: cannot be read ({error!r}); expected {_EXPECTED}") from error


def _of_folder(folder: pathlib.Path) -> list[Result]:
  results = [
      _of_row(folder, where, row)
      for where, row in jsonl.read(folder / "metadata.jsonl", _EXPECTED)]
  if not results:
    raise InputError(f"{folder}/metadata.jsonl: no rows; expected {_EXPECTED}")
  return results


def _of_row(
    folder: pathlib.Path, where: str, row: Mapping[str, Any]
) -> Result:
  """The video of a line of a `metadata.jsonl`."""
  keys = "file_name", "text", "source", "source_text"
  given = {key: row[key] for key in keys if row.get(key) is not None}
  if not set(keys[:2]) <= set(given) or not all(
      isinstance(value, str) and value.strip() for value in given.values()):
    raise InputError(f"{where}: {row}: expected {_EXPECTED}")

  def find(name: str) -> pathlib.Path:
    path = names.find(folder / name)
    if not os.path.exists(path):  # Too long a name is no error.
      raise InputError(
          f"{where}: {path}: no such file; expected a path relative to "
          f"{folder}")
    return path

  return Result(
      given["text"], find(given["file_name"]),
      find(given["source"]) if "source" in given else None,
      given.get("source_text"))
