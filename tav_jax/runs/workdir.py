"""The directory of a run: its config, and whether another config may go on.

A checkpoint depends on some keys of the config, which are pinned once there is
a checkpoint. All other keys may change between two commands.

  config.json  checkpoints/  samples/step_000300/  metrics.jsonl  events...
"""

from collections.abc import Iterator, Mapping
import contextlib
import itertools
import json
import logging
import pathlib
import tempfile
from typing import Any, NamedTuple

from tav_jax.data import atomic, locks
from tav_jax.errors import from_system, InputError
from tav_jax.parallel import processes
from tav_jax.training.checkpoint import Checkpoints

log = logging.getLogger(__name__)


class Pins(NamedTuple):
  """Which keys of a config a checkpoint depends on.

  Attributes:
    sections: Sections of these keys.
    free: Keys of these sections that a checkpoint does not depend on.
    defaults: A config with the value that a key had before it existed.
  """

  sections: tuple[str, ...]
  free: tuple[str, ...]
  defaults: Mapping[str, Any]

  def of(self, config: Mapping[str, Any]) -> dict[str, Any]:
    """The pinned keys and values of a config, which may lack some."""
    values = dict(flatten(self.defaults)) | dict(flatten(config))
    return {
        path: value for path, value in values.items()
        if path.split(".")[0] in self.sections and path not in self.free}


def check(
    workdir: pathlib.Path, config: Mapping[str, Any], pins: Pins | None = None
) -> None:
  """Checks that a run of this config may start or go on in a workdir.

  Args:
    workdir: The directory, which is made if need be.
    config: The config, as nested dicts.
    pins: What its checkpoints depend on; None if it never has any.

  Raises:
    InputError: If the workdir cannot be written, is damaged, or has checkpoints
      of another config.
  """
  checkpoints = workdir / "checkpoints"
  if checkpoints.exists() and not checkpoints.is_dir():
    raise InputError(
        f"--workdir={workdir}: its checkpoints is a file; expected a "
        "directory; use another workdir")
  if pins and last_checkpoint(workdir) is not None:
    _check_same(workdir, config, pins)
    log.info("%s: going on with the run there", workdir)
  try:
    workdir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=workdir):
      pass
  except OSError as error:
    raise InputError(
        f"--workdir={workdir}: cannot be written ({error.strerror}); expected "
        "a directory of yours, or a new one") from error


def lock(workdir: pathlib.Path) -> locks.Lock | None:
  """Takes a workdir for the processes of one run, until released.

  Those that only read it, as tav_jax.sample does, need no lock: checkpoints and
  samples appear when they are complete.

  Returns:
    The lock; None in all processes of a run but the first.

  Raises:
    InputError: If another run uses the workdir.
  """
  held, error = None, None
  if processes.is_first():
    try:
      held = locks.Lock(workdir)
    except (InputError, OSError) as refused:
      told = from_system(refused, workdir) or refused
      error = InputError(f"--workdir={told}")
  if processes.agree(error is not None):
    raise error or InputError(
        f"--workdir={workdir}: in use by another run, as the first process "
        "says")
  return held


@contextlib.contextmanager
def locked(workdir: pathlib.Path) -> Iterator[locks.Lock]:
  """Holds a workdir's `lock` during the block, in a run of one process."""
  held = lock(workdir)
  assert held  # There are no other processes.
  try:
    yield held
  finally:
    held.release()


def last_checkpoint(workdir: pathlib.Path) -> int | None:
  """Steps taken at the last checkpoint; None if there is no checkpoint."""
  return Checkpoints(workdir / "checkpoints").latest


def write_config(workdir: pathlib.Path, config: Mapping[str, Any]) -> None:
  """Writes `config.json`, whole or not at all."""
  with atomic.replacing(workdir / "config.json") as partial:
    partial.write_text(json.dumps(config, indent=2) + "\n")


def read_config(workdir: pathlib.Path) -> dict[str, Any]:
  """Reads the config that `write_config` wrote.

  Raises:
    InputError: If `config.json` is missing or damaged.
  """
  file = workdir / "config.json"
  try:
    if file.exists() and not file.is_file():
      raise ValueError("not a file")  # A pipe, say, which may never end.
    config = json.loads(file.read_text())
    if not isinstance(config, dict):
      raise ValueError("not a JSON object")
    return config
  except (OSError, ValueError, RecursionError) as error:
    raise InputError(
        f"--workdir={workdir}: its config.json cannot be read ({error}); "
        "restore that file or use another workdir") from error


def _check_same(
    workdir: pathlib.Path, config: Mapping[str, Any], pins: Pins
) -> None:
  if not (workdir / "config.json").exists():
    raise InputError(
        f"--workdir={workdir}: it has checkpoints but no config.json, so it is "
        "not known what they are of; restore that file or use another workdir")
  as_json = lambda config: pins.of(json.loads(json.dumps(config)))
  old, new = as_json(read_config(workdir)), as_json(config)
  changed = [
      f"{path}={new.get(path)!r} (there {old.get(path)!r})"
      for path in sorted(old | new) if old.get(path) != new.get(path)]
  if changed:
    raise InputError(
        f"--workdir={workdir} belongs to a run with another config: "
        + ", ".join(changed)
        + "; use another workdir, or give these keys the values there")


def flatten(
    config: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any]]:
  """Yields `("section.key", value)` of nested dicts."""
  for key, value in config.items():
    if isinstance(value, dict):
      yield from flatten(value, f"{prefix}{key}.")
    else:
      yield prefix + key, value


def check_for_sampling(
    workdir: pathlib.Path, config: Mapping[str, Any], pins: Pins
) -> None:
  """Checks that a workdir has a checkpoint, and that it is of this config.

  Raises:
    InputError: If it has none, or one of another config.
  """
  if last_checkpoint(workdir) is None:
    raise InputError(
        f"--workdir={workdir}: it has no checkpoint yet; run tav_jax.tune "
        "there first")
  _check_same(workdir, config, pins)


def samples(workdir: pathlib.Path, step: int) -> pathlib.Path:
  """The directory in which tuning writes the samples of a step."""
  return workdir / "samples" / f"step_{step:06}"


@contextlib.contextmanager
def new_samples(workdir: pathlib.Path, step: int) -> Iterator[pathlib.Path]:
  """Gives a directory for another round of samples, which does not exist yet.

  Other processes that ask for one wait until the block has written it.
  """
  first = samples(workdir, step)
  first.parent.mkdir(exist_ok=True)
  with contextlib.ExitStack() as stack:
    if processes.is_first():
      stack.enter_context(locks.locked(first.parent, wait=True))
    taken = (first.with_name(f"{first.name}_{i}") for i in itertools.count(1))
    yield next(path for path in taken if not path.exists())
