"""The directory of a run: its config, and whether this config may go on in it.

  config.json  checkpoints/  samples/step_000300/  metrics.jsonl  events...
"""

import itertools
import json
import logging
import pathlib
import tempfile

from ml_collections import ConfigDict

from tav_jax.errors import InputError

log = logging.getLogger(__name__)

# Sections that say what is trained; the others may change between runs.
_DEFINING = (
    "seed", "model", "video", "optimizer", "data", "loss", "schedule")
_MOVABLE = ("data.directory",)


def check(workdir: pathlib.Path, config: ConfigDict) -> None:
  """Checks that a run of this config may start or go on in a workdir.

  Raises:
    InputError: If it cannot be written, is damaged, or has another config.
  """
  if (workdir / "config.json").exists():
    _check_same(workdir, read_config(workdir), config)
    log.info("%s: going on with the run there", workdir)
  elif (workdir / "checkpoints").exists():
    raise InputError(
        f"--workdir={workdir}: it has checkpoints but no config.json, so it is "
        "not known what they are of; restore that file or use another workdir")
  if (workdir / "checkpoints").is_file():
    raise InputError(
        f"--workdir={workdir}: its checkpoints is a file; expected a "
        "directory; use another workdir")
  try:
    workdir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=workdir):
      pass
  except OSError as error:
    raise InputError(
        f"--workdir={workdir}: cannot be written ({error.strerror}); expected "
        "a directory of yours, or a new one") from error


def write_config(workdir: pathlib.Path, config: ConfigDict) -> None:
  """Writes `config.json`, whole or not at all."""
  partial = workdir / "config.partial"
  partial.write_text(json.dumps(_as_json(config), indent=2) + "\n")
  partial.replace(workdir / "config.json")


def _as_json(config: ConfigDict) -> dict:
  return json.loads(config.to_json_best_effort())


def read_config(workdir: pathlib.Path) -> dict:
  """What `write_config` wrote.

  Raises:
    InputError: If it is missing or damaged.
  """
  try:
    config = json.loads((workdir / "config.json").read_text())
    if not isinstance(config, dict):
      raise ValueError("not a JSON object")
    return config
  except (OSError, ValueError) as error:
    raise InputError(
        f"--workdir={workdir}: its config.json cannot be read ({error}); "
        "restore that file or use another workdir") from error


def _check_same(workdir: pathlib.Path, old: dict, config: ConfigDict) -> None:
  defining = lambda config: {
      path: value for path, value in flatten(config)
      if path.split(".")[0] in _DEFINING and path not in _MOVABLE}
  old, new = defining(old), defining(_as_json(config))
  changed = [
      f"{path}={new.get(path)!r} (there {old.get(path)!r})"
      for path in sorted(old | new) if old.get(path) != new.get(path)]
  if changed:
    raise InputError(
        f"--workdir={workdir} is of a run with another config: "
        + ", ".join(changed)
        + "; use another workdir, or set these as they are there")


def flatten(config: dict, prefix: str = ""):
  """Yields `("section.key", value)` of nested dicts."""
  for key, value in config.items():
    if isinstance(value, dict):
      yield from flatten(value, f"{prefix}{key}.")
    else:
      yield prefix + key, value


def check_for_sampling(workdir: pathlib.Path, config: ConfigDict) -> None:
  """Checks that a workdir has a checkpoint, of this config.

  Raises:
    InputError: If it has not.
  """
  steps = workdir / "checkpoints"
  if not steps.is_dir() or not any(p.name.isdigit() for p in steps.iterdir()):
    raise InputError(
        f"--workdir={workdir}: it has no checkpoint yet; run tav_jax.tune "
        "there first")
  _check_same(workdir, read_config(workdir), config)


def samples(workdir: pathlib.Path, step: int) -> pathlib.Path:
  """Where tuning puts the samples of a step."""
  return workdir / "samples" / f"step_{step:06}"


def new_samples(workdir: pathlib.Path, step: int) -> pathlib.Path:
  """A directory beside those, that does not exist yet."""
  first = samples(workdir, step)
  taken = (first.with_name(f"{first.name}_{i}") for i in itertools.count(1))
  return next(path for path in taken if not path.exists())
