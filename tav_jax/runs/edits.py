"""Renders new prompts from a tuned workdir, without tuning again.

Of the last checkpoint only the trainable parameters are read.
"""

import dataclasses
import logging
import pathlib

import jax
from ml_collections import ConfigDict

from tav_jax.parallel import placement
from tav_jax.runs import build, rendering, settings
from tav_jax.runs import workdir as workdirs
from tav_jax.runs.clock import Clock
from tav_jax.runs.job import Job
from tav_jax.training.checkpoint import Checkpoints

log = logging.getLogger(__name__)


def render(config: ConfigDict, workdir: pathlib.Path) -> None:
  """Samples the prompts into a new directory under `workdir`/samples."""
  job = Job(workdir.name, settings.of(config.to_dict()), workdir)
  settings.check(job.settings)
  workdirs.check_for_sampling(
      workdir, dataclasses.asdict(job.settings), settings.SAMPLING_PINS)
  clock = Clock()
  with clock("loading"):
    job.read()
    model = build.load(job.settings)
    job.encode(model)
    checkpoints = Checkpoints(workdir / "checkpoints")
    step = checkpoints.latest
    assert step is not None  # Checked above.
    tuned = checkpoints.restore_trainable(model.trainable)
    # One video fills all places of the mesh.
    trainable = placement.stack(
        [tuned] * model.mesh.shape["video"],
        placement.param_specs(model.mesh, tuned))
  log.info("parameters of step %d", step)
  with clock("sampling"), jax.set_mesh(model.mesh):
    sampled, = rendering.sample(model, trainable, [job])
    with workdirs.new_samples(workdir, step) as directory:
      rendering.write(model, job, sampled, directory)
  log.info("%s", clock)
