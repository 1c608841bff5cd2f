r"""Renders new prompts from a tuned workdir, without tuning again.

  python -m tav_jax.sample --workdir=runs/storybook \
      --config.sampling.prompts="('a robot is skiing on the moon',)"

The config is the workdir's own; flags change its `sampling` section.
"""

import logging
import pathlib

import jax
from ml_collections import ConfigDict

from tav_jax import cli, rendering, session
from tav_jax import workdir as workdirs
from tav_jax.training.checkpoint import Checkpoints

log = logging.getLogger("tav_jax.sample")  # Not "__main__".


def main(config: ConfigDict, workdir: pathlib.Path) -> None:
  """Samples into a new directory under `workdir`/samples."""
  workdirs.check_for_sampling(workdir, config)
  begun = session.start(config)
  checkpoints = Checkpoints(
      workdir / "checkpoints", config.run.keep_checkpoints)
  state = checkpoints.restore(begun.initial_state(config.seed))
  log.info("parameters of step %d", state.step)
  with jax.set_mesh(begun.model.mesh):
    rendering.render(
        begun.model, state.trainable, begun.clip, begun.batch.mean,
        config.sampling, workdirs.new_samples(workdir, int(state.step)))
  checkpoints.close()


if __name__ == "__main__":
  cli.run(main, config_from_workdir=True)
