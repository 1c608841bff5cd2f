"""Tune-A-Video in the lineage: the system that has seen one clip."""

import dataclasses
from typing import Any

import jax

from tav_jax.data import names
from tav_jax.errors import InputError
from tav_jax.evaluation.lineage_scores import World
from tav_jax.evaluation.lineage_systems import FRAMES, Loaded, System
from tav_jax.parallel import placement
from tav_jax.pipelines import editing
from tav_jax.runs import build, rendering, settings
from tav_jax.runs import workdir as workdirs
from tav_jax.runs.job import Job
from tav_jax.training import optim
from tav_jax.training.checkpoint import Checkpoints


def of_workdir(name: str, workdir: str) -> System:
  """The network that tav_jax.tune has tuned on one video in a workdir.

  Its clips of captions are edits of that video, whose motion they have.

  Raises:
    InputError: If none is there.
  """
  path = names.at_home(workdir)
  config = settings.of(settings.with_defaults(workdirs.read_config(path)))
  workdirs.check_for_sampling(
      path, dataclasses.asdict(config), settings.SAMPLING_PINS)
  checkpoints = Checkpoints(path / "checkpoints")
  step = checkpoints.latest
  if config.video.width != config.video.height:
    raise InputError(
        f"{workdir}: its video has {config.video.width}x{config.video.height} "
        "pixels; expected a square one, as drawn clips are")

  def load() -> Loaded:
    job = Job(name, config, path)
    job.read()
    model = build.load(config)
    job.encode(model)
    tuned = checkpoints.restore_trainable(model.trainable)
    trainable = placement.stack(
        [tuned] * model.mesh.shape["video"],
        placement.param_specs(model.mesh, tuned))

    def make(captions, seed):
      job.settings = dataclasses.replace(
          config, sampling=dataclasses.replace(
              config.sampling, prompts=tuple(captions), seed=seed))
      with jax.set_mesh(model.mesh):
        sampled, = rendering.sample(model, trainable, [job])
        return editing.pixels(model, sampled.edits)

    return Loaded(make, job.clip.fps, sum(map(optim.count, (
        model.trainable, model.frozen, model.text_encoder.params))))

  record: dict[str, Any] = {
      "workdir": workdir, "config": dataclasses.asdict(config), "step": step}
  return System(
      name, "tav_jax.tune", World(False, config.video.height, FRAMES),
      f"the pictures of {config.model.checkpoint!r}; one clip",
      record, load)
