"""Runs of the method: tuning on captioned videos, and edits of them.

Videos that are tuned together are lanes of one program: each has trainable
parameters of its own, over one frozen tree. One video is a program of one lane.
"""

from collections.abc import Iterator, Sequence
import contextlib
import logging
import pathlib

import jax
from ml_collections import ConfigDict
import numpy as np

from tav_jax import pretrained
from tav_jax.data.video import Clip
from tav_jax.errors import InputError
from tav_jax.parallel import placement, processes
from tav_jax.pipelines.video_model import VideoModel
from tav_jax.runs import build, rendering
from tav_jax.runs import workdir as workdirs
from tav_jax.runs.clock import Clock
from tav_jax.training import loop, optim, step
from tav_jax.training.checkpoint import Checkpoints
from tav_jax.training.metrics import Metrics

log = logging.getLogger(__name__)


def run(config: ConfigDict, workdir: pathlib.Path) -> None:
  """Tunes and samples into `workdir`, going on where it was left.

  Args:
    config: As `configs/default.py`.
    workdir: Directory of the run.

  Raises:
    InputError: If anything in the config will not do, or the loss diverges.
  """
  workdirs.check(workdir, config)
  clock = Clock()
  with clock("loading"):
    clip = build.read(config)
    model = build.load(config)
    job = Job(config, workdir, clip, model)
  together(model, [job], 1, clock)
  if job.error:
    raise job.error


class Job:
  """The run of one video, which may fail while others go on.

  Attributes:
    config: As `configs/default.py`.
    workdir: Directory of the run.
    rate: Learning rate by step.
    optimizer: The optimizer.
    order: What to render of it.
    checkpoints: Its checkpoints.
    error: Why it failed, if it did.
  """

  def __init__(
      self, config: ConfigDict, workdir: pathlib.Path, clip: Clip,
      model: VideoModel,
  ):
    """Encodes the clip and opens the workdir, which has been checked."""
    self.config, self.workdir = config, workdir
    self.error: InputError | None = None
    self.rate, self.optimizer = build.optimizer(config)
    self._latents = build.encode(model, config, clip)
    self.order = rendering.Order(clip, self._latents.mean, config.sampling)
    processes.wait()  # Other processes may still be checking the workdir.
    if processes.is_first():
      workdirs.write_config(workdir, config)
    # Of two checkpoints, one is there of all jobs that are saved together.
    self.checkpoints = Checkpoints(
        workdir / "checkpoints", max(2, config.run.keep_checkpoints))

  def start(
      self, model: VideoModel, at: int | None
  ) -> tuple[step.State, step.Latents]:
    """The state `at` a checkpoint, if any, and training data, on the host."""
    initial = build.initial_state(model, self.optimizer, self.config.seed)
    state = initial if at is None else self.checkpoints.restore(initial, at)
    # Last: a workdir whose checkpoint cannot be read is left as it is.
    self.metrics = Metrics(self.workdir, at or 0, writes=processes.is_first())
    return state, self._latents

  @contextlib.contextmanager
  def may_fail(self) -> Iterator[None]:
    """Keeps an InputError from inside for later."""
    try:
      yield
    except InputError as error:
      self.error = error
      log.warning("%s: %s", self.workdir, error)

  def close(self) -> None:
    """Writes out what is buffered."""
    self.metrics.close()
    self.checkpoints.close()


def together(
    model: VideoModel, jobs: Sequence[Job], lanes: int, clock: Clock
) -> None:
  """Tunes and samples jobs in step, going on where they were left.

  Args:
    model: The model.
    jobs: Their configs are alike but for the video, the seeds and the texts of
      as many prompts. One that fails has an `error` afterwards.
    lanes: For how many videos the program is, if it is for more.
    clock: Counts the time.

  Raises:
    InputError: If all of them fail.
  """
  config = jobs[0].config
  latest = [job.checkpoints.latest for job in jobs]
  checkpoint = None if None in latest else min(latest)
  resumed = checkpoint or 0
  if resumed:
    log.info("resuming at step %d", resumed)
  begun = []
  for job in jobs:
    with job.may_fail():
      begun.append(job.start(model, checkpoint))
  jobs = _going(jobs)
  # Lanes of no video, and those that fill up the mesh, repeat the last.
  lanes += -lanes % model.mesh.shape["video"]
  begun += begun[-1:] * (lanes - len(begun))
  host, latents = zip(*begun, strict=True)
  where = placement.param_specs(model.mesh, host[0])
  states = placement.stack(host, where)
  batches = placement.stack(latents, step.Latents(*(
      placement.video_spec(model.mesh, x.shape) for x in latents[0])))
  del begun, host  # As large as the states.

  take_steps = step.make_steps(step.make_step(
      step.tuning_loss(model.network, model.schedule), jobs[0].optimizer,
      config.optimizer.accumulate))

  def record(at: int, taken: dict[str, np.ndarray], seconds: float) -> None:
    for lane, job in enumerate(jobs):
      if not job.error:
        of_lane = {name: values[:, lane] for name, values in taken.items()}
        with job.may_fail():
          loop.check_finite(of_lane["loss"], at, job.checkpoints)
          loop.log(job.metrics, job.rate, at, of_lane, seconds)
    _going(jobs)

  def save(states: step.State, at: int) -> None:
    del at
    for lane, job in enumerate(jobs):
      if not job.error:
        job.checkpoints.save(placement.pick(states, lane, where))

  def sample(states: step.State, at: int) -> None:
    directories = [workdirs.samples(job.workdir, at) for job in jobs]
    missing = [
        lane for lane, directory in enumerate(directories)
        if not jobs[lane].error and not processes.agree(directory.exists())]
    if not missing:
      return
    with clock("sampling"):
      sampled = rendering.sample(
          model, states.trainable, [job.order for job in jobs])
      for lane in missing:
        job = jobs[lane]
        with job.may_fail():
          rendered = rendering.write(
              model, job.order, sampled[lane], directories[lane])
          for prompt, frames in rendered:
            job.metrics.video(at, prompt, Clip(frames, job.order.clip.fps))
    _going(jobs)

  last = config.optimizer.steps
  with jax.set_mesh(model.mesh):
    if not last:
      save(states, 0)  # Without tuning, there is only sampling.
    if resumed == last or (
        resumed and resumed % config.run.sample_every == 0):
      sample(states, resumed)  # Unless there: a run may have been killed.
    with clock("tuning"):
      states = loop.run(
          lambda states, n: take_steps(states, model.frozen, batches, n),
          states, start=resumed, steps=last,
          steps_per_dispatch=config.optimizer.steps_per_dispatch,
          checkpoint_every=config.run.checkpoint_every,
          sample_every=config.run.sample_every, record=record, save=save,
          sample=sample)
  log.info("%s", clock)
  for lane, job in enumerate(jobs):
    if job.config.run.export and not job.error:
      _export(model, job, placement.pick(states, lane, where).trainable)
    job.close()


def _going(jobs: Sequence[Job]) -> list[Job]:
  """Those that have not failed; raises the error of the first if none."""
  going = [job for job in jobs if not job.error]
  if not going:
    raise jobs[0].error
  return going


def _export(model: VideoModel, job: Job, trainable) -> None:
  params = jax.tree.map(
      processes.to_host, optim.merge(trainable, model.frozen))
  if processes.is_first():
    pretrained.export_unet(job.workdir, model.unet, params)
  log.info("exported %s", job.workdir / "unet")
