"""The driver of all lists of runs, several runs at a time.

A list on the command line (tav_jax.tune_many) and every benchmark that tunes go
through `run`: it groups jobs that are alike, passes over those that are done,
loads a model once for all jobs of that model, and names failures at the end.
"""

from collections.abc import Iterator, Sequence
import dataclasses
import json
import logging
import re
import time
from typing import TypeVar

from tav_jax.errors import InputError
from tav_jax.parallel import processes
from tav_jax.pipelines.video_model import VideoModel
from tav_jax.runs import build, tuning
from tav_jax.runs import workdir as workdirs
from tav_jax.runs.clock import Clock
from tav_jax.runs.job import Job
from tav_jax.runs.settings import Settings

log = logging.getLogger(__name__)

T = TypeVar("T")


def run(jobs: Sequence[Job], together: int = 1) -> None:
  """Tunes and samples every job, each from where it was left.

  Args:
    jobs: The jobs. One that fails does not stop the others.
    together: How many jobs one program tunes, if their shapes are the same.

  Raises:
    InputError: At the end, if jobs failed; it says which and why.
  """
  if together < 1:
    raise InputError(f"together={together}: expected 1 or more")
  done = {job.name for job in jobs if processes.agree(job.is_done)}
  groups = [
      ([job for job in group if job.name not in done], size)
      for group, size in _groups(jobs, together)]
  left = sum(len(group) for group, _ in groups)
  log.info("%d runs, %d of them done before", len(jobs), len(done))
  model, loaded = None, None
  clock, started, finished = Clock(), time.monotonic(), 0
  for group, size in groups:
    if not group:
      continue
    seconds = (time.monotonic() - started) / max(finished, 1) * (
        left - finished)
    log.info(
        "tuning %s (%d of %d%s)", ", ".join(job.name for job in group),
        finished + len(group), left,
        f", about {seconds / 60:.0f} min left" if finished else "")
    if _network(group[0].settings) != loaded:
      model, loaded = None, _network(group[0].settings)  # One at a time.
      with clock("loading"):
        model = build.load(group[0].settings)
    assert model is not None
    _run_group(group, size, model, clock)
    finished += len(group)
  failed = [job for job in jobs if job.error]
  if failed:
    raise InputError(
        f"{len(failed)} of {len(jobs)} runs failed: "
        + "; ".join(f"{job.name}: {job.error}" for job in failed)
        + "; the others are done, the same command tries these again")


def shard(items: Sequence[T], which: str) -> Sequence[T]:
  """The items of part i of n, for "i/n" with i from 0; "0/1" is all items.

  Raises:
    InputError: If `which` is no such fraction, with i from 0 to n-1.
  """
  match = re.fullmatch(r"(\d+)/(\d+)", which)
  i, n = map(int, match.groups()) if match else (0, 0)
  if not 0 <= i < n:
    raise InputError(
        f"shard={which!r}: expected i/n with i from 0 to n-1, such as 0/8")
  return items[i::n]


def _groups(
    jobs: Sequence[Job], together: int
) -> Iterator[tuple[list[Job], int]]:
  """Yields groups of jobs for one program, and the program's size.

  Groups of one model follow each other. Jobs are in different groups if their
  settings differ in anything that a program depends on. Groups have about the
  same size: a small last one would be as slow as the others.
  """
  models: dict[str, dict[str, list[Job]]] = {}
  for job in jobs:
    alike = models.setdefault(_network(job.settings), {})
    alike.setdefault(_program(job.settings), []).append(job)
  for alike in models.values():
    for some in alike.values():
      size = -(-len(some) // -(-len(some) // together))
      for i in range(0, len(some), size):
        yield some[i:i + size], size


def _network(settings: Settings) -> str:
  """What jobs of one loaded model have in common, as text."""
  return json.dumps([vars(settings.model), vars(settings.mesh)])


def _program(settings: Settings) -> str:
  """What jobs of one program have in common, as text."""
  common = dict(workdirs.flatten(dataclasses.asdict(settings)))
  for name in ("path", "caption", "start", "stride", "fit"):
    del common[f"video.{name}"]
  del common["seed"], common["sampling.seed"]
  common["sampling.prompts"] = len(settings.sampling.prompts)
  return json.dumps(common)


def _run_group(
    group: Sequence[Job], size: int, model: VideoModel, clock: Clock
) -> None:
  """Tunes a group; a job that fails has an `error` afterwards."""
  try:
    for job in group:
      with job.may_fail():
        job.check()
        job.claim()
        job.read()
        job.open(model)
    for some in _in_step([job for job in group if not job.error]):
      try:
        tuning.together(model, some, size, clock)
      except InputError:
        if not all(job.error for job in some):
          raise
  finally:
    for job in group:
      job.close()


def _in_step(jobs: list[Job]) -> Iterator[list[Job]]:
  """Yields lists of jobs that can go on from the same step.

  All jobs can, unless one failed in an earlier run and stayed behind.
  """
  while jobs:
    first = min(jobs, key=lambda job: job.checkpoints.latest or 0)
    at = first.checkpoints.latest
    now = [job for job in jobs if job.checkpoints.has(at)]
    yield now
    jobs = [job for job in jobs if job not in now]
