"""Lists of videos to tune, each a row of a CSV file or a line of JSON.

  video,caption,prompts,video.stride
  cat.mp4,a cat is walking,a dog is walking | a robot is walking,4

  {"video": "cat.mp4", "caption": "a cat is walking", "prompts": ["a dog ..."]}

Other columns are config keys, for that video alone. Paths are relative to the
list. A video's name is that of its file, or the value of a column `name`.
"""

import csv
import pathlib
import re
from typing import Any

from ml_collections import ConfigDict

from tav_jax.data import jsonl
from tav_jax.errors import InputError
from tav_jax.runs import settings as settings_lib
from tav_jax.runs import workdir as workdirs
from tav_jax.runs.job import Job
from tav_jax.runs.settings import Settings

_EXAMPLE = (
    '{"video": "cat.mp4", "caption": "a cat is walking", '
    '"prompts": ["a dog is walking"]}')
_REQUIRED = ("video", "caption", "prompts")
_OWN = ("seed", "video", "optimizer", "sampling")  # Sections a row may change.


def read(
    path: pathlib.Path, base: ConfigDict, workdir: pathlib.Path
) -> list[Job]:
  """The jobs of a list.

  Args:
    path: A .csv or .jsonl file.
    base: The config that every row changes, such as `configs/default.py`'s.
    workdir: Where each job gets a directory of its name.

  Raises:
    InputError: If the list cannot be read, or a row is invalid. Whether the
      video files exist is not checked here.
  """
  jobs = {}
  for where, row in _rows(path):
    missing = [name for name in _REQUIRED if not row.get(name)]
    if missing:
      raise InputError(
          f"{where}: no {missing[0]!r}; expected {', '.join(_REQUIRED)}")
    _check_texts(where, row)
    name = str(row.pop("name", "") or pathlib.Path(row["video"]).stem)
    if not re.fullmatch(r"\w[\w.-]*", name):
      raise InputError(
          f"{where}: name {name!r}: expected letters, digits, '-', '_' and "
          "'.', as of a directory; give it one in a column 'name'")
    if name in jobs:
      raise InputError(
          f"{where}: another video is called {name!r} too; give them names in "
          "a column 'name'")
    try:
      settings = _settings(row, base, path.parent)
      settings_lib.check(settings)
    except InputError as error:
      raise InputError(f"{where}: {error}") from error
    jobs[name] = Job(name, settings, workdir / name)
  if not jobs:
    raise InputError(f"{path}: it has no videos; expected a row for each")
  return list(jobs.values())


def _rows(path: pathlib.Path):
  """Yields each row's place in the file, "FILE line 3", and its fields."""
  if path.suffix not in (".csv", ".jsonl") or not path.is_file():
    raise InputError(
        f"--videos={path}: expected a .csv or .jsonl file that is there")
  if path.suffix == ".jsonl":
    yield from jsonl.read(path, _EXAMPLE)
    return
  try:
    with path.open(newline="", encoding="utf-8-sig") as file:
      reader = csv.DictReader(file, strict=True)
      for row in reader:
        where = f"{path} line {reader.line_num}"
        if None in row:
          raise InputError(
              f"{where}: it has more fields than there are columns; put a "
              "field with commas into quotes")
        yield where, {k: v for k, v in row.items() if v}
  except (csv.Error, UnicodeDecodeError) as error:
    raise InputError(f"{path}: it cannot be read ({error})") from error


def _check_texts(where: str, row: dict[str, Any]) -> None:
  """Raises an InputError unless these fields are texts."""
  for key in ("video", "caption"):
    if not isinstance(row[key], str):
      raise InputError(f"{where}: {key}={row[key]!r}: expected a text")
  prompts = row["prompts"]
  if not isinstance(prompts, str) and not (
      isinstance(prompts, list) and all(isinstance(p, str) for p in prompts)):
    raise InputError(
        f"{where}: prompts={prompts!r}: expected a text or a list of texts")


def _settings(
    row: dict[str, Any], base: ConfigDict, folder: pathlib.Path
) -> Settings:
  """The settings that a row makes of `base`."""
  config = ConfigDict(base.to_dict())
  row = dict(row)
  config.video.path = str(folder / row.pop("video"))
  config.video.caption = row.pop("caption")
  prompts = row.pop("prompts")
  if isinstance(prompts, str):
    prompts = [prompt.strip() for prompt in prompts.split("|")]
  config.sampling.prompts = tuple(prompts)
  known = dict(workdirs.flatten(base.to_dict()))
  for key, value in row.items():
    if key not in known or isinstance(known[key], (tuple, dict)):
      raise InputError(f"unknown column {key!r}; expected a config key")
    if key.split(".")[0] not in _OWN:
      raise InputError(
          f"{key}: all videos share it; set it with --config.{key}=")
    section, _, last = key.rpartition(".")
    (config[section] if section else config)[last] = _as(
        type(known[key]), key, value)
  return settings_lib.of(config.to_dict())


def _as(kind: type, key: str, value: Any) -> Any:
  """A text from CSV, or a JSON value, converted to a config's type."""
  try:
    if isinstance(value, str) and kind is bool:
      return {"true": True, "false": False}[value.lower()]
    if isinstance(value, str):
      return kind(value)
    if type(value) is kind or (kind, type(value)) == (float, int):
      return kind(value)
  except (KeyError, ValueError):
    pass
  raise InputError(f"{key}={value!r}: expected {kind.__name__}")
