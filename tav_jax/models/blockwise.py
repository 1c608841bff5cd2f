r"""Attention between frames in plain JAX: one frame, some queries at a time.

Scores s = q . k / sqrt(d) exist for one frame and one block of its queries at a
time, which fit a CPU's cache. The backward pass computes them once more:

  L = log sum exp s,   p = exp(s - L),   o = sum_k p v                    (1)
  D = do . o,   ds = p (v . do - D),                                      (2)
  dv = sum_q p do,   dk = sum_q ds q,   dq = sum_k ds k                   (3)

(FlashAttention-2, arXiv 2307.08691, Alg. 2), dk and dq times 1 / sqrt(d). From
forward to backward, o and L are kept, and nothing of size q x k.

Queries are `f n q d` and keys `g n d k`, n being clips times heads. So every
product reads its large operand, of axes q and k, as it lies in memory (2x
faster on CPU where the gradient is summed over q).
"""

from collections.abc import Sequence
import functools

from einops import rearrange
import jax
import jax.numpy as jnp

_Sees = tuple[tuple[int, ...], ...]


def attention(
    query: jax.Array, key: jax.Array, value: jax.Array,
    sees: Sequence[Sequence[int]], block: int,
) -> jax.Array:
  """Attention of every query frame over the key frames that it sees.

  Args:
    query: Queries, `f n q d`.
    key: Keys, `g n d k`.
    value: Values, `g n d k`.
    sees: The key frames that each query frame sees, equally many each.
    block: Query positions at a time.

  Returns:
    The attended values, `f n q d`, in the query's type.
  """
  positions, width = query.shape[2:]
  pad = -positions % block
  scaled = (query * width**-0.5).astype(query.dtype)
  blocks = rearrange(
      jnp.pad(scaled, ((0, 0), (0, 0), (0, pad), (0, 0))),
      "f n (m q) d -> f m n q d", q=block)
  out = _attention(blocks, key, value, tuple(map(tuple, sees)))
  return rearrange(out, "f m n q d -> f n (m q) d")[:, :, :positions]


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _attention(query, key, value, sees: _Sees):
  return _forward(query, key, value, sees)[0]


def _forward(query, key, value, sees: _Sees):
  """Eq. (1): the output and L, `f m n q 1`."""

  def frame(args):
    queries, seen = args
    k, v = _join(key[seen]), _join(value[seen])

    def block(q):
      scores = _dot("nqd,ndk->nqk", q, k)
      peak = jnp.max(scores, axis=-1, keepdims=True)
      weights = jnp.exp(scores - peak)
      total = jnp.sum(weights, axis=-1, keepdims=True)
      out = _dot("nqk,ndk->nqd", weights.astype(v.dtype), v) / total
      return out.astype(q.dtype), peak + jnp.log(total)

    return jax.lax.map(block, queries)

  out, logsum = jax.lax.map(frame, (query, jnp.array(sees)))
  return out, (query, key, value, out, logsum)


def _backward(sees: _Sees, saved, grad):
  """Eqs. (2) and (3)."""
  query, key, value, out, logsum = saved
  delta = jnp.sum(
      grad.astype(jnp.float32) * out, axis=-1, keepdims=True)  # D of (2).

  def frame(grads, args):
    *blocks, seen = args
    k, v = _join(key[seen]), _join(value[seen])

    def block(grads, args):
      dk, dv = grads
      q, do, logsum, delta = args
      p = jnp.exp(_dot("nqd,ndk->nqk", q, k) - logsum)
      ds = p * (_dot("nqd,ndk->nqk", do, v) - delta)
      p, ds = p.astype(do.dtype), ds.astype(q.dtype)
      dk += _dot("nqd,nqk->ndk", q, ds)
      dv += _dot("nqd,nqk->ndk", do, p)
      return (dk, dv), _dot("nqk,ndk->nqd", ds, k).astype(q.dtype)

    seen_grads, dq = jax.lax.scan(block, (_zeros(k), _zeros(v)), blocks)
    grads = jax.tree.map(
        lambda total, x: total.at[seen].add(_part(x, len(seen))),
        grads, seen_grads)
    return grads, dq

  (dk, dv), dq = jax.lax.scan(
      frame, (_zeros(key), _zeros(value)),
      (query, grad, logsum, delta, jnp.array(sees)))
  return dq, dk.astype(key.dtype), dv.astype(value.dtype)


_attention.defvjp(_forward, _backward)


def _join(frames: jax.Array) -> jax.Array:
  return rearrange(frames, "g n d k -> n d (g k)")


def _part(joined: jax.Array, frames: int) -> jax.Array:
  return rearrange(joined, "n d (g k) -> g n d k", g=frames)


def _zeros(x: jax.Array) -> jax.Array:
  """Zeros in float32, to sum up a gradient."""
  return jnp.zeros(x.shape, jnp.float32)


def _dot(equation: str, *args: jax.Array) -> jax.Array:
  """A product in float32."""
  return jnp.einsum(equation, *args, preferred_element_type=jnp.float32)
