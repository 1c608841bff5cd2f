"""What the training stages share: optimizer, average, loop, checkpoints.

A stage is a loss, initial parameters, batches and a look at the result. It
lives in a directory of its own, laid out like every run's:

  WORKDIR/autoencoder/  config.json  checkpoints/  samples/  metrics.jsonl
"""

from collections.abc import Callable, Iterator
import contextlib
import itertools
import logging
import pathlib
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict

from tav_jax.errors import about
from tav_jax.parallel import placement
from tav_jax.parallel.mesh import make_mesh
from tav_jax.runs import workdir as workdirs
from tav_jax.training import loop, optim, step
from tav_jax.training.checkpoint import Checkpoints
from tav_jax.training.metrics import Metrics
from tav_jax.types import Params

log = logging.getLogger(__name__)

_PINS = workdirs.Pins(
    sections=(
        "seed", "start", "parts", "model", "clips", "optimizer", "data", "loss",
        "schedule"),
    free=("data.directory",),
    defaults={"model": {"captioned": True}, "start": "", "parts": ""})


class Look(NamedTuple):
  """The arguments of a stage's `look` at its result so far.

  Attributes:
    params: The averaged parameters.
    step: Steps taken.
    directory: Directory for pictures.
    scalars: Logs numbers by name.
  """

  params: Params
  step: int
  directory: pathlib.Path
  scalars: Callable[[dict[str, float]], None]


def check(name: str, workdir: pathlib.Path, config: ConfigDict) -> None:
  """Checks that a stage may start or go on; arguments as for `train`.

  Raises:
    InputError: If its directory belongs to another config or cannot be written,
      or a batch cannot be divided among the devices.
  """
  workdirs.check(workdir / name, config.to_dict(), _PINS)
  with about(f"{_section(name)}.optimizer."):
    placement.check_batch_size(make_mesh(), config.optimizer.batch_size)


def train(
    name: str,
    workdir: pathlib.Path,
    config: ConfigDict,
    params: Params,
    loss: step.Loss,
    batches: Callable[[int], Iterator[Any]],
    look: Callable[[Look], None],
    frozen: Params | None = None,
) -> Params:
  """Trains a stage that has passed `check`, from where it was left.

  Args:
    name: The stage; also its directory's name. Of a stage of several rounds,
      `STAGE/ROUND`.
    workdir: The directory of the whole run.
    config: `seed`, the stage's sections `optimizer` and `run`, and all other
      keys that its result depends on.
    params: Initial parameters of those that train.
    loss: As for `training.step.make_step`.
    batches: Yields batches of host arrays from the given one on.
    look: Called every `run.look_every` steps and after the last.
    frozen: The other parameters that the loss needs, if any.

  Returns:
    The averaged parameters.

  Raises:
    InputError: If the loss diverges.
  """
  directory = workdir / name
  directory.mkdir(parents=True, exist_ok=True)
  workdirs.write_config(directory, config.to_dict())
  mesh = make_mesh()
  run, chosen = config.run, dict(config.optimizer)
  size = chosen.pop("batch_size")
  decay = chosen.pop("average")
  rate = optim.learning_rate(
      "constant", chosen.pop("learning_rate"), chosen.pop("warmup_steps"),
      run.steps)
  optimizer = optim.averaged(optim.adamw(rate, **chosen), decay)

  checkpoints = Checkpoints(directory / "checkpoints")
  state = placement.replicate(mesh, step.init(params, optimizer, config.seed))
  if checkpoints.latest is not None:
    state = checkpoints.restore(state)
    log.info("%s: going on at step %d", name, state.step)
  log.info(
      "%s: %.2f M parameters, %d steps of %d", name, optim.count(params) / 1e6,
      run.steps, size)
  begun = int(state.step)
  metrics = Metrics(directory, begun)
  looked = directory / "looked"  # Holds the step of the last look.
  others = placement.replicate(mesh, frozen or {})
  take = jax.jit(step.make_step(loss, optimizer), donate_argnums=0)
  incoming = batches(begun)

  def take_steps(state, n):
    taken = []
    for batch in itertools.islice(incoming, n):
      state, values = take(
          state, others, placement.split_batch(mesh, batch))
      taken.append(values)
    return state, {k: [float(x[k]) for x in taken] for k in taken[0]}

  def look_at(state, at):
    pictures = workdirs.samples(directory, at)
    pictures.mkdir(parents=True, exist_ok=True)
    look(Look(
        state.optimizer.average, at, pictures,
        lambda values: metrics.scalars(at, values)))
    looked.write_text(f"{at}\n")

  pace = loop.Pace(
      run.steps, run.steps_per_dispatch, run.checkpoint_every, run.look_every)
  if begun and pace.samples(begun) and not (
      looked.is_file() and looked.read_text() == f"{begun}\n"):
    look_at(state, begun)  # The run was killed before its look at this step.
  with contextlib.closing(loop.dispatches(
      take_steps, state, begun, pace, name)) as dispatches:
    for at in dispatches:
      state = at.state
      loop.check_finite(
          at.metrics["loss"], at.step, checkpoints.latest,
          f"Lower {_section(name)}.optimizer.learning_rate")
      loop.log(metrics, rate, at.step, at.metrics, at.seconds)
      if pace.saves(at.step):
        checkpoints.save(state)
      if pace.samples(at.step):
        look_at(state, at.step)
  metrics.close()
  return state.optimizer.average


def _section(name: str) -> str:
  """The config's section of a stage, or of a round of it."""
  return name.partition("/")[0]
