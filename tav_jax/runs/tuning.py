"""Tunes jobs together and renders them, each from where it was left."""

from collections.abc import Sequence
import contextlib
import logging
import pathlib

import jax
from ml_collections import ConfigDict

from tav_jax.pipelines.video_model import VideoModel
from tav_jax.runs import build
from tav_jax.runs import settings as settings_lib
from tav_jax.runs.clock import Clock
from tav_jax.runs.group import Group
from tav_jax.runs.job import Job
from tav_jax.training import loop, step

log = logging.getLogger(__name__)


def run(config: ConfigDict, workdir: pathlib.Path) -> None:
  """Tunes and samples one video into `workdir`, from where it was left.

  Args:
    config: A config such as `configs/default.py`'s.
    workdir: Directory of the run.

  Raises:
    InputError: If the config is invalid, or the loss diverges.
  """
  job = Job(
      workdir.name, settings_lib.of(config.to_dict()), workdir, alone=True)
  job.check()
  job.claim()
  clock = Clock()
  try:
    with clock("loading"):
      job.read()
      model = build.load(job.settings)
      job.open(model)
    together(model, [job], 1, clock)
  finally:
    job.close()


def together(
    model: VideoModel, jobs: Sequence[Job], size: int, clock: Clock
) -> None:
  """Tunes and samples open jobs, all at the same step.

  Args:
    model: The model.
    jobs: Jobs whose settings differ in the video, the seeds and the texts of
      captions and prompts alone. One that fails has an `error` afterwards.
    size: Videos that the program is compiled for; spare places repeat the last
      job.
    clock: Counts the time.

  Raises:
    InputError: If all jobs fail.
  """
  settings = jobs[0].settings
  rate, optimizer = build.optimizer(settings.optimizer)
  group = Group(model, jobs, size, optimizer)
  steps = step.make_steps(step.make_step(
      step.tuning_loss(model.network, model.schedule), optimizer,
      settings.optimizer.accumulate), group.where)
  pace = loop.Pace(
      settings.optimizer.steps, settings.optimizer.steps_per_dispatch,
      settings.run.checkpoint_every, settings.run.sample_every)
  states = group.states
  dispatches = loop.dispatches(
      lambda states, n: steps(states, model.frozen, group.batches, n), states,
      group.start, pace)
  with jax.set_mesh(model.mesh), clock("tuning"):
    if not pace.steps:
      group.save(states)  # Without tuning, there is only sampling.
    if group.start == pace.steps or (group.start and pace.samples(group.start)):
      group.sample(states.trainable, group.start, clock)
    with contextlib.closing(dispatches):
      for at in dispatches:
        states = at.state
        group.record(at, rate)
        if pace.saves(at.step):
          group.save(states)
        if pace.samples(at.step):
          group.sample(states.trainable, at.step, clock)
  log.info("%s", clock)
  group.close(states.trainable)
