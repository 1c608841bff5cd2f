"""The run of one video: what is asked for, and how far it has come."""

from collections.abc import Iterator
import contextlib
import dataclasses
import logging
import pathlib

from tav_jax.data import locks
from tav_jax.data.video import Clip
from tav_jax.errors import from_system, InputError
from tav_jax.parallel import processes
from tav_jax.pipelines.video_model import VideoModel
from tav_jax.runs import build
from tav_jax.runs import settings as settings_lib
from tav_jax.runs import workdir as workdirs
from tav_jax.runs.settings import Settings
from tav_jax.training.checkpoint import Checkpoints
from tav_jax.training.step import Latents

log = logging.getLogger(__name__)


@dataclasses.dataclass(eq=False)
class Job:
  """One video to tune on and to render, in a directory of its own.

  Attributes:
    name: Name in messages.
    settings: Settings of the run.
    workdir: Directory of the run.
    alone: Whether its errors are raised, as there are no other jobs to go on.
    error: Why the job failed, if it did; other jobs go on.
    lock: The workdir's lock, once the job has claimed it.
    clip: The source video, once the job is open.
    latents: Latents and the caption's embeddings, once the job is open.
    checkpoints: The run's checkpoints, once the job is open.
  """

  name: str
  settings: Settings
  workdir: pathlib.Path
  alone: bool = False
  error: InputError | None = None
  lock: locks.Lock | None = None
  clip: Clip = dataclasses.field(init=False)
  latents: Latents = dataclasses.field(init=False)
  checkpoints: Checkpoints = dataclasses.field(init=False)

  @property
  def samples(self) -> pathlib.Path:
    """Directory of the last step's samples, which exists once it is done."""
    return workdirs.samples(self.workdir, self.settings.optimizer.steps)

  @property
  def is_done(self) -> bool:
    """Whether there is nothing left to do."""
    return self.samples.exists()

  def check(self) -> None:
    """Checks that the job may start or go on in its workdir.

    A run may go on with more steps if the learning rate is constant after its
    warm-up: a longer run would have begun with the same steps. A linear or
    cosine schedule sets every step's rate by the last step, so that a longer
    run would have begun differently; more steps are then refused.

    Raises:
      InputError: If a setting is invalid, or the workdir cannot be used.
    """
    settings_lib.check(self.settings)
    workdirs.check(
        self.workdir, dataclasses.asdict(self.settings), settings_lib.PINS)
    taken = workdirs.last_checkpoint(self.workdir)
    if taken is None:
      return
    optimizer = self.settings.optimizer
    there = dict(workdirs.flatten(workdirs.read_config(self.workdir))).get(
        "optimizer.steps", settings_lib.OptimizerSettings.steps)
    if optimizer.steps != there and optimizer.schedule != "constant":
      raise InputError(
          f"optimizer.steps={optimizer.steps} (there {there}): by "
          f"optimizer.schedule={optimizer.schedule}, the {taken} steps in "
          f"--workdir={self.workdir} had learning rates that fall to 0 at step "
          f"{there}; set optimizer.steps={there} to end that run, or tune anew "
          "in another workdir")
    if optimizer.steps < taken:
      raise InputError(
          f"optimizer.steps={optimizer.steps}: {taken} are taken in "
          f"--workdir={self.workdir}; expected as many or more, or another "
          "workdir")

  def claim(self) -> None:
    """Locks the workdir; of several processes, the first one holds the lock.

    Raises:
      InputError: If another run uses it.
    """
    self.lock = workdirs.lock(self.workdir)

  def read(self) -> None:
    """Reads the source video."""
    self.clip = build.read(self.settings.video)

  def encode(self, model: VideoModel) -> None:
    """Encodes the video and its caption."""
    settings_lib.check_for_model(
        self.settings, model.vae.config, model.schedule)
    self.latents = build.encode(model, self.settings.video, self.clip)

  def open(self, model: VideoModel) -> None:
    """Encodes, writes the config and opens the checkpoints."""
    self.encode(model)
    processes.wait()  # Other processes may still be checking the workdir.
    if processes.is_first():
      workdirs.write_config(self.workdir, dataclasses.asdict(self.settings))
    # Keep two, so that jobs saved together always share one.
    self.checkpoints = Checkpoints(
        self.workdir / "checkpoints",
        max(2, self.settings.run.keep_checkpoints))

  def close(self) -> None:
    """Frees the arrays and the workdir."""
    for name in ("clip", "latents", "checkpoints"):
      vars(self).pop(name, None)
    if self.lock:
      self.lock.release()
      self.lock = None

  @contextlib.contextmanager
  def may_fail(self) -> Iterator[None]:
    """Keeps an error that a user can mend, and logs it, unless alone."""
    try:
      if self.lock:
        self.lock.check()
      yield
    except (InputError, OSError) as error:
      told = self._told(error)
      if not told:
        raise
      if self.alone:
        raise told from error
      self.error = told
      log.warning("%s: %s", self.name, told)

  def _told(self, error: InputError | OSError) -> InputError | None:
    """What to tell of an error; that the workdir is gone, if it is."""
    try:
      if self.lock:
        self.lock.check()
    except InputError as gone:
      return gone
    return error if isinstance(error, InputError) else from_system(
        error, self.workdir)
