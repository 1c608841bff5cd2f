"""Spatial and temporal attention against full attention under literal masks."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tav_jax.models import attention, flash


def random(seed, *shape):
  return jax.random.normal(jax.random.key(seed), shape)


# How often frame i (row) sees frame j. One that is both first and previous
# counts twice, as in [z_1, z_{i-1}].
SEEN = {
    "own": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "first": [[1, 0, 0], [1, 0, 0], [1, 0, 0]],
    "sparse_causal": [[2, 0, 0], [2, 0, 0], [1, 1, 0]],
    "all": [[1, 1, 1], [1, 1, 1], [1, 1, 1]],
    # Rows that a fork might add.
    "previous": [[1, 0, 0], [1, 0, 0], [0, 1, 0]],
    "first_counts_twice": [[3, 0, 0], [3, 0, 0], [2, 1, 0]],
}
ROWS = {
    "previous": lambda f: [(max(i - 1, 0),) for i in range(f)],
    "first_counts_twice": lambda f: [(0, 0, max(i - 1, 0)) for i in range(f)],
}


@pytest.fixture(autouse=True)
def more_rows(monkeypatch):
  for name, row in ROWS.items():
    monkeypatch.setitem(attention.VISIBLE, name, row)


def under_literal_mask(q, k, v, seen):
  """Full attention over the positions of all frames, with a mask of frames."""
  frames, positions = q.shape[2:4]
  times = np.kron(
      np.array(seen)[:frames, :frames], np.ones((positions, positions)))
  flat = lambda x: x.reshape(*x.shape[:2], frames * positions, -1)
  scores = jnp.einsum("bnqd,bnkd->bnqk", flat(q), flat(k)) / q.shape[-1] ** 0.5
  weights = times * jnp.exp(scores)
  weights /= weights.sum(axis=-1, keepdims=True)
  return jnp.einsum("bnqk,bnkd->bnqd", weights, flat(v)).reshape(q.shape)


spatial = jax.jit(
    attention.attend, static_argnames=("visible", "kernel", "block"))


@functools.partial(jax.jit, static_argnums=0)
def with_gradients(function, upstream, *args):
  """What a function gives, and the gradients of its product with `upstream`."""
  found, pull = jax.vjp(function, *args)
  return found, pull(upstream)


def assert_close(found, expected, atol=2e-6, gradients=5e-6):
  np.testing.assert_allclose(found[0], expected[0], atol=atol)
  for a, b in zip(found[1], expected[1], strict=True):
    np.testing.assert_allclose(a, b, atol=gradients)


@pytest.mark.parametrize("visible", SEEN)
@pytest.mark.parametrize("frames", [1, 2, 3])
def test_equals_full_attention_under_frame_mask(frames, visible):
  q, k, v = (random(i, 2, 3, frames, 7, 4) for i in range(3))
  seen = SEEN[visible] if visible != "all" else np.ones((frames, frames))
  np.testing.assert_allclose(
      spatial(q, k, v, visible), under_literal_mask(q, k, v, seen), atol=1e-6)


# The kernels of accelerators, run where there is none.
OTHERS = {
    "flash": functools.partial(attention._flash, interpret=True),
    "cudnn": functools.partial(attention._cudnn, implementation="xla")}


@pytest.mark.parametrize("visible", SEEN)
@pytest.mark.parametrize("kernel", OTHERS)
def test_kernels_equal_the_plain_one(kernel, visible, monkeypatch):
  """Forward and gradient."""
  monkeypatch.setitem(attention.KERNELS, kernel, OTHERS[kernel])
  q, k, v, upstream = (random(i, 2, 2, 4, 7, 8) for i in range(4))
  run = lambda kernel: with_gradients(
      lambda *a: attention.attend(*a, visible, kernel), upstream, q, k, v)
  assert_close(run(kernel), run("blockwise"))


@pytest.mark.parametrize("row", [
    lambda f: [(0,)] * (f - 1), lambda f: [(0,), *[(0, 1)] * (f - 1)],
    lambda f: [()] * f, lambda f: [(i + 1,) for i in range(f)],
    lambda f: [(i - 1,) for i in range(f)]])
def test_a_row_that_is_none_is_refused(row, monkeypatch):
  monkeypatch.setitem(attention.VISIBLE, "mine", row)
  x = random(0, 1, 1, 3, 2, 4)
  with pytest.raises(ValueError, match=r"mine.*is \[.*from 0 to 2"):
    spatial(x, x, x, "mine")


@pytest.mark.parametrize("queries,keys", [(256, 256), (300, 200), (150, 77)])
def test_flash_in_blocks_that_do_not_fit(queries, keys):
  """Several blocks a frame, filled up, and keys of other frames than f."""
  q, upstream = (random(i, 1, 3, 8, queries) for i in range(2))
  k, v = (random(i, 1, 2, 8, keys) for i in (2, 3))
  sees = [(0, 1), (1,), (0,)]
  pairs = [(i, frame) for i, seen in enumerate(sees) for frame in seen]

  def plain(q, k, v):
    turn = lambda x: jnp.swapaxes(x, -1, -2)[None]
    frames = [
        attention._blockwise(
            turn(q)[:, :, i:i + 1], turn(k), turn(v), [seen], 0)
        for i, seen in enumerate(sees)]
    return jnp.swapaxes(jnp.concatenate(frames, 2)[0], -1, -2)

  found = with_gradients(
      lambda *a: flash.attention(
          *a, pairs, block_q=128, block_k=128, interpret=True),
      upstream, q, k, v)
  assert_close(
      found, with_gradients(plain, upstream, q, k, v), gradients=1e-5)


def test_temporal_attention_adds_its_bias_to_the_scores():
  q, k, v = (random(i, 2, 3, 4, 5, 8) for i in range(3))
  bias = random(3, 3, 5, 5)
  bias = jnp.where(np.tri(5, dtype=bool), bias, -jnp.inf)
  scores = jnp.einsum("bnsqd,bnskd->bnsqk", q, k) / 8**0.5 + bias[:, None]
  expected = jnp.einsum("bnsqk,bnskd->bnsqd", jax.nn.softmax(scores), v)
  np.testing.assert_allclose(
      attention.temporal(q, k, v, bias), expected, atol=1e-6)


def test_temporal_attention_in_blocks_of_positions(monkeypatch):
  q, k, v, upstream = (random(i, 1, 3, 6, 4, 8) for i in range(4))
  bias = random(4, 3, 4, 4)

  run = lambda: with_gradients(
      lambda *a: attention.temporal(*a, bias), upstream, q, k, v)
  expected = run()
  # Two positions at a time fit in this; none alone in the second.
  for limit, blocks in ((2 * 3 * 16, 3), (1, 6)):
    monkeypatch.setattr(attention, "_SCORES_AT_A_TIME", limit)
    assert attention._position_blocks(q.shape) == blocks
    assert_close(run(), expected, atol=1e-6, gradients=1e-6)


def test_frame_depends_on_itself_the_first_and_the_previous_alone():
  x = random(0, 1, 2, 6, 5, 4)

  @jax.jit
  @jax.grad
  def gradient(x, frame):
    return spatial(x, x, x)[:, :, frame].sum()

  for frame in range(6):
    reach = np.abs(gradient(x, frame)).sum(axis=(0, 1, 3, 4))
    assert set(np.flatnonzero(reach)) == {0, max(frame - 1, 0), frame}


@pytest.mark.parametrize("block", [1, 3, 8, 100])
def test_blocks_equal_plain(block):
  q, k, v, upstream = (random(i, 2, 2, 3, 8, 4) for i in range(4))
  run = lambda block: with_gradients(
      lambda *a: attention.attend(*a, block=block), upstream, q, k, v)
  assert_close(run(block), run(0), atol=1e-6, gradients=1e-5)


def test_blocks_bound_memory():
  """Scores of all queries would be 64 times those of one block."""
  q, k, v = (jax.ShapeDtypeStruct((1, 1, 2, 1024, 8), jnp.float32),) * 3

  def temporaries(block):
    grad = jax.grad(
        lambda q, k, v: spatial(q, k, v, block=block).sum())
    compiled = jax.jit(grad).lower(q, k, v).compile()
    return compiled.memory_analysis().temp_size_in_bytes

  assert temporaries(16) < temporaries(0) / 8


def test_large_scores_do_not_overflow():
  q = 200 * random(0, 1, 1, 3, 4, 8)
  assert np.isfinite(spatial(q, q, q)).all()
