"""A run of the method: tuning on one captioned video, and edits of it."""

import logging
import pathlib

import jax
from ml_collections import ConfigDict

from tav_jax import parallel, pretrained, rendering, session
from tav_jax import workdir as workdirs
from tav_jax.clock import Clock
from tav_jax.data.video import Clip
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
    begun = session.start(config)
  model = begun.model
  if parallel.is_first():
    workdirs.write_config(workdir, config)
  with jax.set_mesh(model.mesh):
    _run(config, workdir, begun, clock)


def _run(config, workdir, begun: session.Session, clock: Clock) -> None:
  model, clip, batch = begun.model, begun.clip, begun.batch
  checkpoints = Checkpoints(
      workdir / "checkpoints", config.run.keep_checkpoints)
  state = begun.initial_state(config.seed)
  if checkpoints.latest is not None:
    state = checkpoints.restore(state)
    log.info("resuming at step %d", state.step)
  resumed = int(state.step)
  metrics = Metrics(workdir, resumed, writes=parallel.is_first())

  take_steps = step.make_steps(step.make_step(
      step.tuning_loss(model.network, model.schedule), begun.optimizer,
      config.optimizer.accumulate))

  def sample(state: step.State) -> None:
    directory = workdirs.samples(workdir, int(state.step))
    if parallel.agree(directory.exists()):
      return
    with clock("sampling"):
      rendered = rendering.render(
          model, state.trainable, clip, batch.mean, config.sampling, directory)
    for prompt, frames in rendered:
      metrics.video(int(state.step), prompt, Clip(frames, clip.fps))

  last = config.optimizer.steps
  if checkpoints.latest is None and not last:
    checkpoints.save(state)  # Without tuning, there is only sampling.
  if resumed == last or (resumed and resumed % config.run.sample_every == 0):
    sample(state)  # Unless there: the run may have been killed meanwhile.
  with clock("tuning"):
    state = loop.run(
        lambda state, n: take_steps(state, model.frozen, batch, n), state,
        steps=last,
        steps_per_dispatch=config.optimizer.steps_per_dispatch,
        checkpoint_every=config.run.checkpoint_every,
        sample_every=config.run.sample_every,
        checkpoints=checkpoints, metrics=metrics,
        learning_rate=begun.learning_rate, sample=sample)
  log.info("%s", clock)

  if config.run.export:
    params = jax.tree.map(
        parallel.to_host, optim.merge(state.trainable, model.frozen))
    if parallel.is_first():
      pretrained.export_unet(workdir, model.unet, params)
    log.info("exported %s", workdir / "unet")
  metrics.close()
  checkpoints.close()
