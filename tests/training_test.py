"""Which parameters train, what a step does, and what is logged."""

import json
import logging
import os
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tav_jax.errors import InputError
from tav_jax.parallel import placement
from tav_jax.parallel.mesh import make_mesh
from tav_jax.pretrained import names
from tav_jax.runs import clock as clock_lib
from tav_jax.runs.clock import Clock
from tav_jax.training import loop, optim, step
from tav_jax.training.checkpoint import Checkpoints
from tav_jax.training.metrics import Metrics

PARAMS = {
    "a/to_q/kernel": np.ones((2, 3), np.float32),
    "a/to_k/kernel": np.full((2, 3), 2, np.float32),
    "attn_temp/bias": np.zeros(3, np.float32),
}


def test_split_and_merge():
  trainable, frozen = optim.split(PARAMS, ("to_q", "attn_temp"))
  assert set(trainable) == {"a/to_q/kernel", "attn_temp/bias"}
  assert set(frozen) == {"a/to_k/kernel"} and optim.count(trainable) == 9
  merged = optim.merge(names.unflatten(trainable), names.unflatten(frozen))
  assert names.flatten(merged).keys() == PARAMS.keys()


@pytest.mark.parametrize("pattern", ["to_v", "to", "temp", "kernel/to_q"])
def test_a_pattern_matches_whole_components_or_is_an_error(pattern):
  with pytest.raises(InputError, match=f"{pattern!r} matches no parameter"):
    optim.split(PARAMS, ("to_q", pattern))


@pytest.mark.parametrize("name,expected", [
    ("constant", [0.5, 1, 1, 1, 1]),
    ("linear", [0.5, 1, 1, 0.75, 0.5]),
    ("cosine", [0.5, 1, 1, 0.853553, 0.5]),
])
def test_learning_rate(name, expected):
  rate = optim.learning_rate(name, 1.0, warmup_steps=2, steps=6)
  np.testing.assert_allclose([rate(i) for i in range(5)], expected, rtol=1e-5)


def quadratic(trainable, frozen, batch, key):
  noise = jax.random.normal(key, (3,))
  return jnp.mean((trainable["x"] * frozen["y"] - batch + 0.1 * noise) ** 2)


FROZEN = {"y": jnp.array([1.0, 2.0, 3.0])}
BATCH = jnp.array([1.0, 1.0, 1.0])


def as_many(*trees):
  return jax.tree.map(lambda *x: jnp.stack(x), *trees)


def only(trees):
  return jax.tree.map(lambda x: x[0], trees)


def where(optimizer):
  return placement.param_specs(make_mesh(jax.devices()[:1]), start(optimizer))


def make_steps(optimizer, accumulate=1):
  return step.make_steps(
      step.make_step(quadratic, optimizer, accumulate), where(optimizer))


def run(state, optimizer, n, accumulate=1):
  steps = make_steps(optimizer, accumulate)
  state, metrics = steps(as_many(state), FROZEN, BATCH[None], n)
  return only(state), jax.tree.map(lambda x: x[:, 0], metrics)


def start(optimizer, seed=1):
  return step.init({"x": jnp.zeros(3)}, optimizer, seed)


def test_dispatches_of_any_length_are_the_same_run():
  optimizer = optim.adamw(0.1)
  whole, metrics = run(start(optimizer), optimizer, 6)
  pieces, _ = run(start(optimizer), optimizer, 4)
  pieces, _ = run(pieces, optimizer, 2)
  assert metrics["loss"].shape == (6,) and int(whole.step) == 6
  for a, b in zip(*map(jax.tree.leaves, (whole, pieces)), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-6)


def test_one_compile_per_length():
  optimizer = optim.adamw(0.1)
  steps = make_steps(optimizer)
  state = placement.stack([start(optimizer)], where(optimizer))
  for n in (3, 3, 2, 3):
    state, _ = steps(state, FROZEN, BATCH[None], n)
  assert steps._cache_size() == 2


def test_videos_of_one_program_do_not_know_of_each_other():
  optimizer = optim.adamw(0.1)
  starts, batches = [start(optimizer, seed) for seed in (1, 2)], [BATCH, -BATCH]
  alone = [
      make_steps(optimizer)(
          as_many(start(optimizer, seed)), FROZEN, batch[None], 3)
      for seed, batch in ((1, BATCH), (2, -BATCH))]
  steps = make_steps(optimizer)
  states, metrics = steps(as_many(*starts), FROZEN, as_many(*batches), 3)
  assert metrics["loss"].shape == (3, 2)
  for i, (state, losses) in enumerate(alone):
    np.testing.assert_allclose(
        metrics["loss"][:, i], losses["loss"][:, 0], rtol=1e-6)
    np.testing.assert_allclose(
        states.trainable["x"][i], state.trainable["x"][0], rtol=1e-6)


def test_accumulated_gradient_is_the_mean_over_draws():
  optimizer = optax.sgd(1.0)
  state, _ = run(start(optimizer), optimizer, 1, accumulate=4)
  keys = jax.random.split(jax.random.fold_in(jax.random.key(1), 0), 4)
  grads = [
      jax.grad(quadratic)({"x": jnp.zeros(3)}, FROZEN, BATCH, k) for k in keys]
  mean = np.mean([g["x"] for g in grads], axis=0)
  np.testing.assert_allclose(state.trainable["x"], -mean, rtol=1e-5)


def test_checkpoint_round_trip(tmp_path):
  optimizer = optim.adamw(0.1)
  state, _ = run(start(optimizer), optimizer, 3)
  checkpoints = Checkpoints(tmp_path / "c", keep=1)
  assert checkpoints.latest is None
  checkpoints.save(state)
  state, _ = run(state, optimizer, 1)
  checkpoints.save(state)
  checkpoints = Checkpoints(tmp_path / "c")
  assert checkpoints.latest == 4 and not (tmp_path / "c" / "3").exists()
  restored = checkpoints.restore(start(optimizer))
  assert jax.tree.structure(restored) == jax.tree.structure(state)
  on_host = checkpoints.restore(jax.device_get(start(optimizer)), 4)
  assert all(isinstance(x, np.ndarray) for x in jax.tree.leaves(on_host))
  for copy in (restored, on_host):
    for a, b in zip(*map(jax.tree.leaves, (copy, state)), strict=True):
      assert a.dtype == b.dtype
      np.testing.assert_array_equal(a, b)


def test_a_damaged_checkpoint_is_named_and_mutes_nothing(tmp_path):
  """Other videos go on in the process, and their errors are printed."""
  state = start(optim.adamw(0.1))
  checkpoints = Checkpoints(tmp_path / "c")
  checkpoints.save(state)
  for file in (tmp_path / "c/0").rglob("d/*"):
    os.truncate(file, file.stat().st_size // 2)
  before = sys.unraisablehook, logging.getLogger("asyncio").filters[:]
  with pytest.raises(
      InputError, match=r"c/0 cannot be restored .*other bytes.*rm -r"):
    checkpoints.restore(state)
  assert before == (
      sys.unraisablehook, logging.getLogger("asyncio").filters)


def test_clocks_share_one_listener(monkeypatch):
  registered = []
  monkeypatch.setattr(
      jax.monitoring, "register_event_duration_secs_listener",
      registered.append)
  clock_lib._compiled.cache_clear()
  clocks = [Clock() for _ in range(3)]
  (listen,) = registered
  with clocks[0]("loading"):
    listen("/jax/core/compile/backend_compile_duration", 2.0)
    listen("/jax/some/other", 4.0)
  assert str(clocks[0]) == "loading 0 s; XLA compilation was 2 s of it"
  assert str(Clock()).endswith("XLA compilation was 0 s of it")
  clock_lib._compiled.cache_clear()


def test_metrics_go_on_where_a_run_left_off(tmp_path):
  metrics = Metrics(tmp_path, 0)
  for i in (1, 2, 3):
    metrics.scalars(i, {"loss": i / 10})
  metrics.close()
  with (tmp_path / "metrics.jsonl").open("a") as file:
    file.write('{"step": 4, "lo')  # Killed while writing.
  metrics = Metrics(tmp_path, 2)
  metrics.scalars(3, {"loss": 9.0})
  metrics.close()
  lines = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
  assert [(x["step"], x["loss"]) for x in lines] == [(1, 0.1), (2, 0.2), (3, 9)]


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
  optimizer = optim.adamw(0.1)
  steps = make_steps(optimizer)
  checkpoints = Checkpoints(tmp_path / "c")

  def take_steps(state, n):
    batch = BATCH if state.step[0] < 4 else BATCH * np.nan
    return steps(state, FROZEN, batch[None], n)

  pace = loop.Pace(
      steps=8, steps_per_dispatch=3, checkpoint_every=2, sample_every=4)
  sampled = []
  with pytest.raises(InputError, match=r"nan at step 5; .* 4 is kept. Less"):
    for at in loop.dispatches(take_steps, as_many(start(optimizer)), 0, pace):
      loop.check_finite(
          at.metrics["loss"][:, 0], at.step, checkpoints.latest, "Less")
      if pace.saves(at.step):
        checkpoints.save(only(at.state))
      if pace.samples(at.step):
        sampled.append(at.step)
  assert checkpoints.latest == 4 and sampled == [4]


def test_dispatches_end_at_the_same_steps_from_anywhere():
  pace = loop.Pace(
      steps=11, steps_per_dispatch=3, checkpoint_every=4, sample_every=6)
  ends = [0]
  while ends[-1] < pace.steps:
    ends.append(ends[-1] + pace.dispatch(ends[-1]))
  assert ends == [0, 3, 4, 6, 8, 11]
  assert [step for step in ends[1:] if pace.saves(step)] == [4, 6, 8, 11]
  assert [step for step in ends[1:] if pace.samples(step)] == [6, 11]


def test_trainable_parameters_are_restored_alone(tmp_path):
  """Without the optimizer, whatever it was; and only what fits."""
  state, _ = run(start(optim.adamw(0.1)), optim.adamw(0.1), 2)
  checkpoints = Checkpoints(tmp_path / "c")
  checkpoints.save(state)
  like = {"x": np.zeros(3, np.float32)}
  found = checkpoints.restore_trainable(like)
  assert isinstance(found["x"], np.ndarray)
  np.testing.assert_array_equal(found["x"], state.trainable["x"])
  for other, told in (
      ({"x": np.zeros(4)}, r"x is \(3,\); expected \(4,\)"),
      (like | {"y": np.zeros(1)}, "y is None"), ({}, "expected None")):
    with pytest.raises(InputError, match=told):
      checkpoints.restore_trainable(other)
