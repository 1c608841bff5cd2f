"""Runs on many videos: as many at a time as asked for, each in a directory."""

from collections.abc import Iterator, Sequence
import json
import logging
import math
import pathlib
import time

from ml_collections import ConfigDict

from tav_jax.errors import InputError
from tav_jax.pipelines.video_model import VideoModel
from tav_jax.runs import build, settings, tuning
from tav_jax.runs import workdir as workdirs
from tav_jax.runs.clock import Clock
from tav_jax.runs.manifest import Entry

log = logging.getLogger(__name__)


def run(
    entries: Sequence[Entry], workdir: pathlib.Path, together: int
) -> None:
  """Tunes and samples every video into `workdir`/NAME, going on where it was.

  Args:
    entries: The videos.
    workdir: Where to.
    together: How many are tuned in one program, if their shapes are the same.

  Raises:
    InputError: At the end, if a video failed; says which and why.
  """
  settings.check_ranges(
      ConfigDict({"together": together}), (("together", 1, math.inf),))
  groups = [
      (group, lanes) for group, lanes in _groups(entries, together)
      if any(not _is_done(entry, workdir) for entry in group)]
  left = sum(len(group) for group, _ in groups)
  log.info(
      "%d videos, %d of them done or failed before", len(entries),
      len(entries) - left)
  failed, clock, started, done = {}, Clock(), time.monotonic(), 0
  model = None
  for group, lanes in groups:
    seconds = (time.monotonic() - started) / max(done, 1) * (left - done)
    log.info(
        "tuning %s (%d of %d%s)", ", ".join(entry.name for entry in group),
        done + len(group), left,
        f", about {seconds / 60:.0f} min left" if done else "")
    if model is None:
      with clock("loading"):
        model = build.load(group[0].config)
    failed |= _run_group(group, lanes, model, workdir, clock)
    done += len(group)
  if failed:
    raise InputError(
        f"{len(failed)} of {len(entries)} videos failed: "
        + "; ".join(f"{name}: {error}" for name, error in failed.items())
        + f"; the others are in {workdir}, the same command tries these again")


def shard(entries: Sequence[Entry], which: str) -> Sequence[Entry]:
  """Part i of n, as "i/n" from 0, of about equal size; "0/1" is all."""
  part, count = settings.shard(which)
  return entries[part::count]


def _is_done(entry: Entry, workdir: pathlib.Path) -> bool:
  last = entry.config.optimizer.steps
  return workdirs.samples(workdir / entry.name, last).exists()


def _groups(
    entries: Sequence[Entry], together: int
) -> Iterator[tuple[list[Entry], int]]:
  """Videos of one program, and for how many it is.

  Those whose configs differ in what a program depends on are apart. Groups are
  of about the same size, so that the last is not small and yet as slow.
  """
  alike = {}
  for entry in entries:
    alike.setdefault(_shape(entry.config), []).append(entry)
  for some in alike.values():
    size = -(-len(some) // -(-len(some) // together))
    for i in range(0, len(some), size):
      yield some[i:i + size], size


def _shape(config: ConfigDict) -> str:
  """What the configs of a group have in common, as text."""
  common = dict(workdirs.flatten(config.to_dict()))
  for name in ("path", "caption", "start", "stride", "fit"):
    del common[f"video.{name}"]
  del common["seed"], common["sampling.seed"]
  common["sampling.prompts"] = len(common["sampling.prompts"])
  return json.dumps(common)


def _run_group(
    group: Sequence[Entry], lanes: int, model: VideoModel,
    workdir: pathlib.Path, clock: Clock,
) -> dict[str, InputError]:
  """Tunes a group; returns why videos failed."""
  jobs, failed = {}, {}
  for entry in group:
    if _is_done(entry, workdir):
      continue
    try:
      at = workdir / entry.name
      workdirs.check(at, entry.config)
      clip = build.read(entry.config)
      settings.check_for_model(
          entry.config, model.vae.config, model.schedule)
      jobs[entry.name] = tuning.Job(entry.config, at, clip, model)
    except InputError as error:
      log.warning("%s: %s", entry.name, error)
      failed[entry.name] = error
  for some in _in_step(list(jobs.values())):
    try:
      tuning.together(model, some, lanes, clock)
    except InputError as error:
      if not all(job.error for job in some):
        raise
      log.warning("%s", error)
  return failed | {
      name: job.error for name, job in jobs.items() if job.error}


def _in_step(jobs: list[tuning.Job]) -> Iterator[list[tuning.Job]]:
  """Jobs that can go on from the same step.

  They all do but for one that failed in an earlier run and stayed behind.
  """
  while jobs:
    first = min(jobs, key=lambda job: job.checkpoints.latest or 0)
    at = first.checkpoints.latest
    now = [job for job in jobs if job.checkpoints.has(at)]
    yield now
    jobs = [job for job in jobs if job not in now]
