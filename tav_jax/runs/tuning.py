"""Tunes jobs together and renders them, each from where it was left.

The jobs' arrays lie along a first axis of one program: each job has trainable
parameters of its own, over one frozen tree. A single job is a program of one.
"""

from collections.abc import Sequence
import contextlib
import logging
import pathlib

import jax
from ml_collections import ConfigDict

from tav_jax import pretrained
from tav_jax.data.video import Clip
from tav_jax.parallel import placement, processes
from tav_jax.pipelines.video_model import VideoModel
from tav_jax.runs import build, rendering
from tav_jax.runs import settings as settings_lib
from tav_jax.runs import workdir as workdirs
from tav_jax.runs.clock import Clock
from tav_jax.runs.job import Job
from tav_jax.training import loop, optim, step
from tav_jax.training.metrics import Metrics

log = logging.getLogger(__name__)

_DIVERGED = "Lower optimizer.learning_rate or set model.dtype=float32"


def run(config: ConfigDict, workdir: pathlib.Path) -> None:
  """Tunes and samples one video into `workdir`, from where it was left.

  Args:
    config: A config such as `configs/default.py`'s.
    workdir: Directory of the run.

  Raises:
    InputError: If the config is invalid, or the loss diverges.
  """
  job = Job(workdir.name, settings_lib.of(config.to_dict()), workdir)
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
  if job.error:
    raise job.error


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
  latest = [job.checkpoints.latest for job in jobs]
  checkpoint = None if None in latest else min(
      step for step in latest if step is not None)
  start = checkpoint or 0
  if start:
    log.info("resuming at step %d", start)
  hosts, metrics = [], []
  for job in jobs:
    with job.may_fail():
      initial = build.initial_state(model, optimizer, job.settings.seed)
      hosts.append(
          initial if checkpoint is None
          else job.checkpoints.restore(initial, checkpoint))
      # Last: a workdir whose checkpoint cannot be read is left as it is.
      metrics.append(Metrics(
          job.workdir, start, writes=processes.is_first()))
  jobs = _going(jobs)
  where = placement.param_specs(model.mesh, hosts[0])
  states, batches = _stack(model, hosts, [job.latents for job in jobs], size)
  del hosts  # As large as the states.
  steps = step.make_steps(step.make_step(
      step.tuning_loss(model.network, model.schedule), optimizer,
      settings.optimizer.accumulate), where)

  def take_steps(states, n):
    states, taken = steps(states, model.frozen, batches, n)
    return states, jax.tree.map(processes.to_host, taken)

  def record(at: loop.Dispatch) -> None:
    for i, job in enumerate(jobs):
      taken = {name: values[:, i] for name, values in at.metrics.items()}
      if not job.error:
        with job.may_fail():
          loop.check_finite(
              taken["loss"], at.step, job.checkpoints.latest, _DIVERGED)
          loop.log(metrics[i], rate, at.step, taken, at.seconds)
    _going(jobs)

  def save(states: step.State) -> None:
    for i, job in enumerate(jobs):
      if not job.error:
        with job.may_fail():
          job.checkpoints.save(placement.pick(states, i, where))
    _going(jobs)

  def sample(states: step.State, at: int) -> None:
    missing = [
        i for i, job in enumerate(jobs) if not job.error
        and not processes.agree(workdirs.samples(job.workdir, at).exists())]
    if not missing:
      return
    with clock("sampling"):
      sampled = rendering.sample(model, states.trainable, jobs)
      for i in missing:
        job = jobs[i]
        with job.may_fail():
          rendered = rendering.write(
              model, job, sampled[i], workdirs.samples(job.workdir, at))
          for prompt, frames in rendered:
            metrics[i].video(at, prompt, Clip(frames, job.clip.fps))
    _going(jobs)

  pace = loop.Pace(
      settings.optimizer.steps, settings.optimizer.steps_per_dispatch,
      settings.run.checkpoint_every, settings.run.sample_every)
  with jax.set_mesh(model.mesh), clock("tuning"):
    if not pace.steps:
      save(states)  # Without tuning, there is only sampling.
    if start == pace.steps or (start and pace.samples(start)):
      sample(states, start)  # Unless there: a run may have been killed.
    with contextlib.closing(
        loop.dispatches(take_steps, states, start, pace)) as dispatches:
      for at in dispatches:
        states = at.state
        record(at)
        if pace.saves(at.step):
          save(states)
        if pace.samples(at.step):
          sample(states, at.step)
  log.info("%s", clock)
  for i, job in enumerate(jobs):
    if job.settings.run.export and not job.error:
      _export(model, job, placement.pick(states, i, where).trainable)
    metrics[i].close()


def _stack(
    model: VideoModel, hosts: Sequence[step.State],
    latents: Sequence[step.Latents], size: int,
) -> tuple[step.State, step.Latents]:
  """States and training data of all jobs, on the devices.

  Spare places, also those that fill up the mesh, repeat the last job.
  """
  size += -size % model.mesh.shape["video"]
  fill = lambda trees: [*trees, *[trees[-1]] * (size - len(trees))]
  states = placement.stack(
      fill(hosts), placement.param_specs(model.mesh, hosts[0]))
  batches = placement.stack(fill(latents), jax.tree.map(
      lambda x: placement.video_spec(model.mesh, x.shape), latents[0]))
  return states, batches


def _going(jobs: Sequence[Job]) -> list[Job]:
  """The jobs that have not failed; if all have, raises the first one's error.
  """
  going = [job for job in jobs if not job.error]
  if not going:
    assert jobs[0].error
    raise jobs[0].error
  return going


def _export(model: VideoModel, job: Job, trainable) -> None:
  params = jax.tree.map(
      processes.to_host, optim.merge(trainable, model.frozen))
  if processes.is_first():
    pretrained.export_unet(job.workdir, model.unet, params)
  log.info("exported %s", job.workdir / "unet")
