"""Sparse-causal attention against full attention under a literal mask."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tav_jax.models import attention


def random(seed, *shape):
  return jax.random.normal(jax.random.key(seed), shape)


def under_literal_mask(q, k, v):
  """Full attention over the positions of all frames, with a mask of frames.

  A frame that is both first and previous counts twice, as in [z_1, z_{i-1}].
  """
  frames, positions = q.shape[2:4]
  times = np.zeros((frames, frames))
  for i in range(frames):
    times[i, 0] += 1
    times[i, max(i - 1, 0)] += 1
  times = np.kron(times, np.ones((positions, positions)))
  flat = lambda x: x.reshape(*x.shape[:2], frames * positions, -1)
  scores = jnp.einsum("bnqd,bnkd->bnqk", flat(q), flat(k)) / q.shape[-1] ** 0.5
  weights = times * jnp.exp(scores)
  weights /= weights.sum(axis=-1, keepdims=True)
  return jnp.einsum("bnqk,bnkd->bnqd", weights, flat(v)).reshape(q.shape)


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_equals_full_attention_under_frame_mask(frames):
  q, k, v = (random(i, 2, 3, frames, 7, 4) for i in range(3))
  np.testing.assert_allclose(
      attention.sparse_causal(q, k, v), under_literal_mask(q, k, v), atol=1e-6)


def test_frame_depends_on_itself_the_first_and_the_previous_alone():
  x = random(0, 1, 2, 6, 5, 4)

  def output(x, frame):
    return attention.sparse_causal(x, x, x)[:, :, frame].sum()

  for frame in range(6):
    reach = np.abs(jax.grad(output)(x, frame)).sum(axis=(0, 1, 3, 4))
    assert set(np.flatnonzero(reach)) == {0, max(frame - 1, 0), frame}


@pytest.mark.parametrize("block", [1, 3, 8, 100])
def test_blocks_equal_plain(block):
  q, k, v = (random(i, 2, 2, 3, 8, 4) for i in range(3))

  def loss(block):
    return lambda *a: (attention.sparse_causal(*a, block=block) ** 2).sum()

  np.testing.assert_allclose(
      attention.sparse_causal(q, k, v, block),
      attention.sparse_causal(q, k, v), atol=1e-6)
  for a, b in zip(jax.grad(loss(block), (0, 1, 2))(q, k, v),
                  jax.grad(loss(0), (0, 1, 2))(q, k, v), strict=True):
    np.testing.assert_allclose(a, b, atol=1e-5)


def test_blocks_bound_memory():
  """Scores of all queries would be 64 times those of one block."""
  q, k, v = (jax.ShapeDtypeStruct((1, 1, 2, 1024, 8), jnp.float32),) * 3

  def temporaries(block):
    grad = jax.grad(
        lambda q, k, v: attention.sparse_causal(q, k, v, block).sum())
    compiled = jax.jit(grad).lower(q, k, v).compile()
    return compiled.memory_analysis().temp_size_in_bytes

  assert temporaries(16) < temporaries(0) / 8


def test_large_scores_do_not_overflow():
  q = 200 * random(0, 1, 1, 3, 4, 8)
  assert np.isfinite(attention.sparse_causal(q, q, q)).all()
