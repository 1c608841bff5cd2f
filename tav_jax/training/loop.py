"""The training loop: dispatch, check, log, save, sample."""

from collections.abc import Callable
import math
import time
from typing import Any

import numpy as np
import tqdm

from tav_jax.errors import InputError
from tav_jax.training.checkpoint import Checkpoints
from tav_jax.training.metrics import Metrics
from tav_jax.training.step import State


def run(
    take_steps: Callable,
    state: State,
    *,
    start: int,
    steps: int,
    steps_per_dispatch: int,
    checkpoint_every: int,
    sample_every: int,
    record: Callable[[int, dict[str, np.ndarray], float], None],
    save: Callable[[State, int], None],
    sample: Callable[[State, int], None],
    name: str = "tuning",
) -> State:
  """Trains to `steps` and returns the last state.

  Dispatches end at the same steps however often a run is interrupted, so that
  a resumed run runs the same programs and ends bit-identical.

  Args:
    take_steps: `(state, n) -> (state, metrics of n steps)`.
    state: Where to start from.
    start: Steps it has taken.
    steps: Where to end.
    steps_per_dispatch: Steps the device takes between two looks at them.
    checkpoint_every: Steps between checkpoints; the last step has one too.
    sample_every: Steps between calls of `sample`; the last step has one too.
    record: Gets the steps taken before a dispatch, its metrics and its
      seconds. What it raises ends the run before anything is saved.
    save: Saves a state after so many steps.
    sample: Renders samples of a state that has been saved.
    name: What the progress bar says is going on.
  """
  step = start
  with tqdm.tqdm(
      total=steps, initial=step, desc=name, unit="step",
      dynamic_ncols=True) as bar:
    while step < steps:
      n = min(steps_per_dispatch, *(
          every - step % every for every in (checkpoint_every, sample_every)),
          steps - step)
      started = time.monotonic()
      state, taken = take_steps(state, n)
      taken = {name: np.asarray(values) for name, values in taken.items()}
      record(step, taken, time.monotonic() - started)
      step += n
      bar.set_postfix(loss=f"{np.nanmean(taken['loss']):.4f}", refresh=False)
      bar.update(n)
      last = step == steps
      sampling = last or step % sample_every == 0
      if sampling or step % checkpoint_every == 0:
        save(state, step)
      if sampling:
        sample(state, step)
  return state


def log(
    metrics: Metrics, learning_rate: Callable[[int], float], step: int,
    taken: dict[str, np.ndarray], seconds: float,
) -> None:
  """Logs what a dispatch after `step` steps gave, each `n` long."""
  n = len(taken["loss"])
  for i in range(n):
    metrics.scalars(
        step + i + 1, {name: float(values[i]) for name, values in taken.items()}
        | {"learning_rate": float(learning_rate(step + i)),
           "steps_per_second": n / seconds})


def check_finite(
    losses: Any, step: int, checkpoints: Checkpoints
) -> None:
  """Raises an InputError unless the losses after `step` steps are finite."""
  for i, loss in enumerate(losses):
    if not math.isfinite(loss):
      saved = checkpoints.latest
      raise InputError(
          f"the loss became {loss} at step {step + i + 1}; "
          + (f"the checkpoint of step {saved} is kept" if saved is not None
             else "no checkpoint had been written yet")
          + ". Lower optimizer.learning_rate or set model.dtype=float32")
