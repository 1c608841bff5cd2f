"""Jobs that one program tunes: restored, recorded, saved and sampled together.

The jobs' arrays lie along a first axis of one program: each job has trainable
parameters of its own, over one frozen tree. A single job is a program of one.
"""

from collections.abc import Sequence
import logging
from typing import NamedTuple

import jax
import optax

from tav_jax import pretrained
from tav_jax.data.video import Clip
from tav_jax.parallel import placement, processes
from tav_jax.pipelines.video_model import VideoModel
from tav_jax.runs import build, rendering
from tav_jax.runs import workdir as workdirs
from tav_jax.runs.clock import Clock
from tav_jax.runs.job import Job
from tav_jax.training import loop, optim, step
from tav_jax.training.metrics import Metrics
from tav_jax.types import Params

log = logging.getLogger(__name__)

_DIVERGED = "Lower optimizer.learning_rate or set model.dtype=float32"


class Group:
  """Jobs that one program tunes. One that fails keeps its place there.

  Once all jobs have failed, the first one's InputError is raised.

  Attributes:
    start: Steps that all jobs have taken.
    states: The states after them, on the devices.
    batches: The training data, on the devices.
    where: A tree like one job's state, of `NamedSharding`s.
  """

  def __init__(
      self, model: VideoModel, jobs: Sequence[Job], size: int,
      optimizer: optax.GradientTransformation,
  ):
    """Restores the jobs' states, or makes those before the first step.

    Args:
      model: The model.
      jobs: Open jobs, all of which can go on from the same step.
      size: Jobs that the program is compiled for; spare places, also those that
        fill up the mesh, repeat the last job.
      optimizer: The optimizer.
    """
    latest = [job.checkpoints.latest for job in jobs]
    checkpoint = None if None in latest else min(
        step for step in latest if step is not None)
    self.start = checkpoint or 0
    if self.start:
      log.info("resuming at step %d", self.start)
    states, self._metrics = [], []
    for job in jobs:
      with job.may_fail():
        state = build.initial_state(model, optimizer, job.settings.seed)
        if checkpoint is not None:
          state = job.checkpoints.restore(state, checkpoint)
        # Last: a workdir whose checkpoint cannot be read is left as it is.
        self._metrics.append(Metrics(
            job.workdir, self.start, writes=processes.is_first()))
        states.append(state)
    self._model = model
    self._jobs = _going(jobs)
    self.where = placement.param_specs(model.mesh, states[0])
    size += -size % model.mesh.shape["video"]
    fill = lambda trees: [*trees, *[trees[-1]] * (size - len(trees))]
    latents = [job.latents for job in self._jobs]
    self.states: step.State = placement.stack(fill(states), self.where)
    self.batches: step.Latents = placement.stack(fill(latents), jax.tree.map(
        lambda x: placement.video_spec(model.mesh, x.shape), latents[0]))

  def record(self, at: loop.Dispatch, rate: optax.Schedule) -> None:
    """Logs the steps just taken; a job whose loss is not finite fails."""
    for i, job, metrics in self._places():
      taken = {name: values[:, i] for name, values in at.metrics.items()}
      with job.may_fail():
        loop.check_finite(
            taken["loss"], at.step, job.checkpoints.latest, _DIVERGED)
        loop.log(metrics, rate, at.step, taken, at.seconds)
    _going(self._jobs)

  def save(self, states: step.State) -> None:
    """Writes a checkpoint of every job."""
    for i, job, _ in self._places():
      with job.may_fail():
        job.checkpoints.save(placement.pick(states, i, self.where))
    _going(self._jobs)

  def sample(self, trainable: Params, step: int, clock: Clock) -> None:
    """Writes a step's samples of all jobs that have none.

    Args:
      trainable: The parameters of all jobs after that step.
      step: Steps taken.
      clock: Counts the time.
    """
    missing = [
        place for place in self._places() if not processes.agree(
            workdirs.samples(place.job.workdir, step).exists())]
    if not missing:
      return
    with clock("sampling"):
      sampled = rendering.sample(self._model, trainable, self._jobs)
      for i, job, metrics in missing:
        with job.may_fail():
          rendered = rendering.write(
              self._model, job, sampled[i],
              workdirs.samples(job.workdir, step))
          for prompt, frames in rendered:
            metrics.video(step, prompt, Clip(frames, job.clip.fps))
    _going(self._jobs)

  def close(self, trainable: Params) -> None:
    """Exports the networks of jobs that ask for it; closes the metrics' files.
    """
    for i, job, _ in self._places():
      if job.settings.run.export:
        self._export(job, placement.pick(trainable, i, self.where.trainable))
    for metrics in self._metrics:
      metrics.close()

  def _export(self, job: Job, trainable: Params) -> None:
    params = jax.tree.map(
        processes.to_host, optim.merge(trainable, self._model.frozen))
    if processes.is_first():
      pretrained.export_unet(job.workdir, self._model.unet, params)
    log.info("exported %s", job.workdir / "unet")

  def _places(self) -> list["_Place"]:
    """The jobs that have not failed, with their places."""
    return [
        _Place(i, job, metrics) for i, (job, metrics) in enumerate(
            zip(self._jobs, self._metrics, strict=True)) if not job.error]


class _Place(NamedTuple):
  """A place along the first axis, its job, and where that one is logged."""

  number: int
  job: Job
  metrics: Metrics


def _going(jobs: Sequence[Job]) -> list[Job]:
  """The jobs that have not failed; raises the first one's error if all have.
  """
  going = [job for job in jobs if not job.error]
  if not going:
    assert jobs[0].error
    raise jobs[0].error
  return going
