r"""Renders new prompts from a tuned workdir, without tuning again.

  python -m tav_jax.sample --workdir=runs/storybook \
      --config.sampling.prompts="('a robot is skiing on the moon',)"

The config is the workdir's own; flags change its `sampling` section.
"""

import logging
import pathlib

import jax
from ml_collections import ConfigDict

from tav_jax import cli
from tav_jax.parallel import placement
from tav_jax.runs import build, rendering
from tav_jax.runs import workdir as workdirs
from tav_jax.runs.clock import Clock
from tav_jax.training.checkpoint import Checkpoints

log = logging.getLogger("tav_jax.sample")  # Not "__main__".


def main(config: ConfigDict, workdir: pathlib.Path) -> None:
  """Samples into a new directory under `workdir`/samples."""
  workdirs.check_for_sampling(workdir, config)
  clock = Clock()
  with clock("loading"):
    clip = build.read(config)
    model = build.load(config)
    _, optimizer = build.optimizer(config)
    checkpoints = Checkpoints(
        workdir / "checkpoints", config.run.keep_checkpoints)
    state = checkpoints.restore(
        build.initial_state(model, optimizer, config.seed))
    checkpoints.close()
    latents = build.encode(model, config, clip)
    # One video fills all lanes of the mesh.
    trainable = placement.stack(
        [state.trainable] * model.mesh.shape["video"],
        placement.param_specs(model.mesh, state.trainable))
  log.info("parameters of step %d", state.step)
  order = rendering.Order(clip, latents.mean, config.sampling)
  with clock("sampling"), jax.set_mesh(model.mesh):
    sampled, = rendering.sample(model, trainable, [order])
    rendering.write(
        model, order, sampled, workdirs.new_samples(workdir, int(state.step)))
  log.info("%s", clock)


if __name__ == "__main__":
  cli.run(main, config_from_workdir=True)
