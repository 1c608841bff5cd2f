"""The training loop: when to dispatch, to save and to sample; what is logged.

  for at in dispatches(take_steps, state, start, pace):
    ...  # `at.state` after `at.step` steps.
"""

from collections.abc import Callable, Generator
import math
import time
from typing import NamedTuple

import numpy as np
import tqdm

from tav_jax.errors import InputError
from tav_jax.training.metrics import Metrics
from tav_jax.training.step import State


class Pace(NamedTuple):
  """When a run dispatches steps, saves and samples.

  Attributes:
    steps: Steps of the whole run.
    steps_per_dispatch: Steps that the device takes before the host reads
      metrics.
    checkpoint_every: Steps between checkpoints; the last step has one too.
    sample_every: Steps between rounds of samples; the last step has one too.
  """

  steps: int
  steps_per_dispatch: int
  checkpoint_every: int
  sample_every: int

  def dispatch(self, step: int) -> int:
    """How many steps the device takes after `step`.

    Dispatches end at the same steps however often a run is interrupted, so that
    a resumed run runs the same programs and ends bit-identical.
    """
    return min(
        self.steps_per_dispatch, self.steps - step,
        *(every - step % every
          for every in (self.checkpoint_every, self.sample_every)))

  def samples(self, step: int) -> bool:
    """Whether a step is followed by a round of samples."""
    return step == self.steps or step % self.sample_every == 0

  def saves(self, step: int) -> bool:
    """Whether a step is followed by a checkpoint; also if it is sampled."""
    return self.samples(step) or step % self.checkpoint_every == 0


class Dispatch(NamedTuple):
  """Some steps that the device has just taken.

  Attributes:
    step: Steps taken so far.
    state: The state after them. The next dispatch reuses its memory.
    metrics: Metrics of the n steps of this dispatch, by name: arrays `n ...`.
    seconds: Seconds that these steps took.
  """

  step: int
  state: State
  metrics: dict[str, np.ndarray]
  seconds: float


def dispatches(
    take_steps: Callable, state: State, start: int, pace: Pace,
    name: str = "tuning",
) -> Generator[Dispatch, None, None]:
  """Takes all remaining steps, some at a time, under a progress bar.

  Close it (`contextlib.closing`) where the body may raise, to end the bar.

  Args:
    take_steps: `(state, n) -> (state, metrics of n steps)`.
    state: The state to start from.
    start: Steps that it has taken.
    pace: The steps of the run, and those of each dispatch.
    name: Label of the progress bar.
  """
  step = start
  with tqdm.tqdm(
      total=pace.steps, initial=step, desc=name, unit="step",
      dynamic_ncols=True) as bar:
    while step < pace.steps:
      n = pace.dispatch(step)
      started = time.monotonic()
      state, taken = take_steps(state, n)
      taken = {name: np.asarray(values) for name, values in taken.items()}
      seconds = time.monotonic() - started
      step += n
      finite = taken["loss"][np.isfinite(taken["loss"])]
      if finite.size:
        bar.set_postfix(loss=f"{finite.mean():.4f}", refresh=False)
      bar.update(n)
      yield Dispatch(step, state, taken, seconds)


def log(
    metrics: Metrics, learning_rate: Callable[[int], float], step: int,
    taken: dict[str, np.ndarray], seconds: float,
) -> None:
  """Logs the metrics, each `n` long, of a dispatch that ended at `step`."""
  n = len(taken["loss"])
  for i in range(n):
    before = step - n + i
    metrics.scalars(
        before + 1, {name: float(values[i]) for name, values in taken.items()}
        | {"learning_rate": float(learning_rate(before)),
           "steps_per_second": n / seconds})
  metrics.flush()


def check_finite(
    losses: np.ndarray, step: int, saved: int | None, advice: str
) -> None:
  """Checks the losses of a dispatch that ended at `step`.

  Args:
    losses: Losses of its steps.
    step: Steps taken so far.
    saved: Steps taken at the last checkpoint, if there is one.
    advice: What the error message advises.

  Raises:
    InputError: If a loss is not finite.
  """
  for i, loss in enumerate(losses):
    if not math.isfinite(loss):
      raise InputError(
          f"the loss became {loss} at step {step - len(losses) + i + 1}; "
          + (f"the checkpoint of step {saved} is kept" if saved is not None
             else "no checkpoint had been written yet") + f". {advice}")
