"""Lists of videos to tune, each a row of a table or a line of JSON.

  video,caption,prompts,video.stride
  cat.mp4,a cat is walking,a dog is walking | a robot is walking,4

  {"video": "cat.mp4", "caption": "a cat is walking", "prompts": ["a dog ..."]}

Other columns are config keys, for that video alone. Paths are relative to the
list. In JSON, prompts may also be an object; its values are the prompts. A
video's name is the value of a column `name`, or is made from its file's name.
"""

from collections.abc import Iterator
import difflib
import os
import pathlib
from typing import Any
import unicodedata

from ml_collections import ConfigDict

from tav_jax.data import jsonl, names, spreadsheet
from tav_jax.errors import InputError
from tav_jax.runs import settings as settings_lib
from tav_jax.runs import workdir as workdirs
from tav_jax.runs.job import Job
from tav_jax.runs.settings import Settings

_EXAMPLE = (
    '{"video": "cat.mp4", "caption": "a cat is walking", '
    '"prompts": ["a dog is walking"]}')
_TABLES = (".csv", ".tsv", ".txt")  # The last is Excel's "Unicode text".
_REQUIRED = ("video", "caption", "prompts")
_OWN = ("seed", "video", "optimizer", "sampling")  # Sections a row may change.
_SAME = {  # Keys that have a column of another name.
    "video.path": "video", "video.caption": "caption",
    "sampling.prompts": "prompts"}


def read(
    path: pathlib.Path, base: ConfigDict, workdir: pathlib.Path
) -> list[Job]:
  """The jobs of a list.

  Args:
    path: A table (.csv, .tsv, .txt) or JSON lines (.jsonl).
    base: The config that every row changes, such as `configs/default.py`'s.
    workdir: Where each job gets a directory of its name.

  Raises:
    InputError: If the list cannot be read, or a row is invalid. Whether the
      video files exist is not checked here.
  """
  jobs: dict[str, Job] = {}
  places: dict[str, str] = {}  # Of names, as disks that ignore case see them.
  for where, row in _rows(path):
    try:
      job = _job(row, base, path.parent, workdir)
      seen = places.setdefault(job.name.casefold(), where)
      if seen is not where:
        raise InputError(
            f"another video is called {job.name!r} too, that of {seen}; give "
            "them names in a column 'name'")
    except InputError as error:
      raise InputError(f"{where}: {error}") from error
    jobs[job.name] = job
  if not jobs:
    raise InputError(f"{path}: it has no videos; expected a row for each")
  return list(jobs.values())


def _rows(path: pathlib.Path) -> Iterator[tuple[str, dict[str, Any]]]:
  """Yields each row's place in the file, "FILE line 3", and its fields."""
  kind = path.suffix.lower()
  if kind not in (*_TABLES, ".jsonl") or not os.path.isfile(path):
    raise InputError(
        f"--videos={path}: "
        f"{'of another kind' if os.path.exists(path) else 'no such file'}; "
        f"expected a table, {', '.join(_TABLES)}, or JSON lines, .jsonl")
  if kind == ".jsonl":
    return jsonl.read(path, _EXAMPLE)
  return spreadsheet.read(path, _REQUIRED)


def _job(
    row: dict[str, Any], base: ConfigDict, folder: pathlib.Path,
    workdir: pathlib.Path,
) -> Job:
  """The job of a row."""
  row = {
      key: value for key, value in row.items()
      if value is not None and str(value).strip()}
  for key in _REQUIRED:
    if key not in row:
      raise InputError(f"no {key!r}; expected {', '.join(_REQUIRED)}")
    if key != "prompts" and not isinstance(row[key], str):
      raise InputError(f"{key}={row[key]!r}: expected a text")
  name = _name(row.pop("name", None), row["video"])
  settings = _settings(row, base, folder)
  settings_lib.check(settings)
  return Job(name, settings, workdir / name)


def _name(given: Any, video: str) -> str:
  """The name of a video: as given, or made from its file's name."""
  if given is None:
    return names.folder(pathlib.PurePath(video).stem)
  name = names.folder(str(given))
  if isinstance(given, bool) or not isinstance(given, (str, int)) or (
      name != unicodedata.normalize("NFC", str(given))):
    raise InputError(
        f"name {given!r}: expected the name of a directory on any disk, such "
        f"as {name!r}")
  return name


def _prompts(value: Any) -> tuple[str, ...]:
  """The prompts of a text that divides them by "|", a list or an object."""
  prompts = value
  if isinstance(value, str):
    prompts = [part.strip() for part in value.split("|") if part.strip()]
  elif isinstance(value, dict):
    prompts = list(value.values())
  if not (isinstance(prompts, list) and prompts
          and all(isinstance(p, str) and p.strip() for p in prompts)):
    raise InputError(
        f"prompts={value!r}: expected a text, or a list or an object of texts")
  return tuple(prompts)


def _settings(
    row: dict[str, Any], base: ConfigDict, folder: pathlib.Path
) -> Settings:
  """The settings of `base`, changed by the columns of a row."""
  config = ConfigDict(base.to_dict())
  row = dict(row)
  video = row.pop("video")
  config.video.path = str(names.find(folder / names.at_home(video)))
  config.video.caption = row.pop("caption")
  config.sampling.prompts = _prompts(row.pop("prompts"))
  known = dict(workdirs.flatten(base.to_dict()))
  for key, value in row.items():
    if key in _SAME:
      raise InputError(f"{key}: the column {_SAME[key]!r} says it")
    if key not in known:
      near = difflib.get_close_matches(key[:99], [*known, "name"], 1, 0)[0]
      raise InputError(
          f"unknown column {key!r}; expected a config key; the nearest is "
          f"{near!r}")
    if key.split(".")[0] not in _OWN:
      raise InputError(
          f"{key}: all videos share it; set it with --config.{key}=")
    section, _, last = key.rpartition(".")
    (config[section] if section else config)[last] = settings_lib.typed(
        type(known[key]), key, value)
  return settings_lib.of(config.to_dict())
