"""Which parameters train, and how."""

from collections.abc import Sequence
import logging
import re
from typing import Any, NamedTuple

from flax import traverse_util
import jax
import jax.numpy as jnp
import optax

from tav_jax.errors import InputError
from tav_jax.types import FlatParams, Params

log = logging.getLogger(__name__)

SCHEDULES = ("constant", "linear", "cosine")


def split(
    params: FlatParams, trainable: Sequence[str]
) -> tuple[FlatParams, FlatParams]:
  """The trainable and the frozen parameters.

  Args:
    params: Parameters by path.
    trainable: Regular expressions on whole path components: `attn1/to_q`
      matches `.../attn1/to_q/kernel` and not `.../attn1/to_qk/kernel`.

  Returns:
    Two dicts by path; no path is in both. Once nested, `merge` joins them.

  Raises:
    InputError: If a pattern matches nothing, or no pattern is given.
  """
  if not trainable:
    raise InputError(
        "trainable=(): expected one or more path patterns, such as "
        "('attn_temp',)")
  chosen: FlatParams = {}
  for pattern in trainable:
    try:
      regex = re.compile(rf"(^|/)({pattern})(/|$)")
    except re.error as error:
      raise InputError(
          f"trainable: {pattern!r} is no regular expression ({error}); "
          "expected a path pattern such as 'attn1/to_q'") from error
    matches = {path: x for path, x in params.items() if regex.search(path)}
    if not matches:
      raise InputError(
          f"trainable: {pattern!r} matches no parameter; expected part "
          f"of a path such as {next(iter(params))}")
    log.info(
        "training %s: %d arrays, %.2f M parameters", pattern, len(matches),
        count(matches) / 1e6)
    chosen |= matches
  return chosen, {
      path: x for path, x in params.items() if path not in chosen}


def merge(trainable: Params, frozen: Params) -> Params:
  """One nested tree of two that have no path in common."""
  return traverse_util.unflatten_dict(
      traverse_util.flatten_dict(frozen)
      | traverse_util.flatten_dict(trainable))


def learning_rate(
    schedule: str, peak: float, warmup_steps: int, steps: int
) -> optax.Schedule:
  """Linear warm-up to `peak`, then constant, or a decay to 0 at `steps`."""
  rest = max(1, steps - warmup_steps)
  after = {
      "constant": optax.constant_schedule(peak),
      "linear": optax.linear_schedule(peak, 0.0, rest),
      "cosine": optax.cosine_decay_schedule(peak, rest),
  }[schedule]
  if not warmup_steps:
    return after
  # The first step already moves: (1, 2, ..., warmup_steps) / warmup_steps.
  warmup = optax.linear_schedule(
      peak / warmup_steps, peak, max(1, warmup_steps - 1))
  return optax.join_schedules([warmup, after], [warmup_steps])


def adamw(
    rate: optax.Schedule | float,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
    clip_norm: float = 1.0,
) -> optax.GradientTransformation:
  """AdamW after clipping the gradients' global norm, as the authors use it.

  Give it the trainable tree alone: clipping and decay act on all leaves.
  """
  return optax.chain(
      optax.clip_by_global_norm(clip_norm),
      optax.adamw(rate, b1, b2, eps, weight_decay=weight_decay))


class Averaged(NamedTuple):
  """State of `averaged`.

  Attributes:
    inner: State of the optimizer within.
    average: The parameters' moving average.
    steps: Updates so far.
  """

  inner: Any
  average: Params
  steps: jax.Array


def averaged(
    optimizer: optax.GradientTransformation, decay: float
) -> optax.GradientTransformation:
  """An optimizer that also keeps a moving average of the parameters.

  Early on, the average spans only about the last tenth of the steps so far, so
  that the initial parameters are soon forgotten: the decay of update s is
  min(decay, (1 + s) / (10 + s)).
  """

  def init(params):
    return Averaged(
        optimizer.init(params), jax.tree.map(jnp.copy, params),
        jnp.zeros((), jnp.int32))

  def update(grads, state, params):
    updates, inner = optimizer.update(grads, state.inner, params)
    keep = jnp.minimum(decay, (1 + state.steps) / (10 + state.steps))
    average = optax.incremental_update(
        optax.apply_updates(params, updates), state.average, 1 - keep)
    return updates, Averaged(inner, average, state.steps + 1)

  return optax.GradientTransformation(init, update)


def count(params: Params) -> int:
  """Number of parameters."""
  return sum(x.size for x in jax.tree.leaves(params))
