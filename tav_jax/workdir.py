"""The directory of a run: its config, and whether this config may go on in it.

  config.json  checkpoints/  samples/step_000300/  metrics.jsonl  events...
"""

import itertools
import json
import logging
import pathlib

from ml_collections import ConfigDict

from tav_jax.errors import InputError

log = logging.getLogger(__name__)

# Sections that say what is trained; the others may change between runs.
_DEFINING = ("seed", "model", "video", "optimizer")


def open_for_tuning(workdir: pathlib.Path, config: ConfigDict) -> None:
  """Makes a workdir, or checks that it is one of this config's.

  Raises:
    InputError: If it cannot be written, is damaged, or has another config.
  """
  file = workdir / "config.json"
  new = json.loads(config.to_json_best_effort())
  if file.exists():
    _check_same(workdir, _read(file), new)
    log.info("%s: going on with the run there", workdir)
  elif (workdir / "checkpoints").exists():
    raise InputError(
        f"--workdir={workdir}: it has checkpoints but no config.json, so it is "
        "not known what they are of; restore that file or use another workdir")
  try:
    workdir.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(new, indent=2) + "\n")
    partial.replace(file)
  except OSError as error:
    raise InputError(
        f"--workdir={workdir}: cannot be written ({error.strerror}); expected "
        "a directory of yours, or a new one") from error


def _read(file: pathlib.Path) -> dict:
  try:
    return json.loads(file.read_text())
  except (OSError, ValueError) as error:
    raise InputError(
        f"--workdir={file.parent}: its config.json cannot be read ({error}); "
        "restore that file or use another workdir") from error


def _check_same(workdir: pathlib.Path, old: dict, new: dict) -> None:
  flat = lambda config: {
      path: value for section in _DEFINING
      for path, value in _flatten(config.get(section), section)}
  old, new = flat(old), flat(new)
  changed = [
      f"{path}={new.get(path)!r} (there {old.get(path)!r})"
      for path in sorted(old | new) if old.get(path) != new.get(path)]
  if changed:
    raise InputError(
        f"--workdir={workdir} is of a run with another config: "
        + ", ".join(changed)
        + "; use another workdir, or set these as they are there")


def _flatten(value, path: str):
  if isinstance(value, dict):
    for key, inner in value.items():
      yield from _flatten(inner, f"{path}.{key}")
  else:
    yield path, value


def open_for_sampling(workdir: pathlib.Path, config: ConfigDict) -> None:
  """Checks that a workdir has a checkpoint, of this config.

  Raises:
    InputError: If it has not.
  """
  steps = workdir / "checkpoints"
  if not steps.is_dir() or not any(p.name.isdigit() for p in steps.iterdir()):
    raise InputError(
        f"--workdir={workdir}: it has no checkpoint yet; run tav_jax.tune "
        "there first")
  new = json.loads(config.to_json_best_effort())
  _check_same(workdir, _read(workdir / "config.json"), new)


def samples(workdir: pathlib.Path, step: int) -> pathlib.Path:
  """Where tuning puts the samples of a step."""
  return workdir / "samples" / f"step_{step:06}"


def new_samples(workdir: pathlib.Path, step: int) -> pathlib.Path:
  """A directory beside those, that does not exist yet."""
  first = samples(workdir, step)
  taken = (first.with_name(f"{first.name}_{i}") for i in itertools.count(1))
  return next(path for path in taken if not path.exists())
