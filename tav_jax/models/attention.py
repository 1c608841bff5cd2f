r"""Softmax attention whose keys come in parts, and sparse-causal attention.

Tune-A-Video (arXiv 2212.11565, Sec. 3.2, Eq. 2) lets frame i attend to the
first frame and to the one before it:

  Q = W_Q z_i,   K = W_K [z_1, z_{i-1}],   V = W_V [z_1, z_{i-1}]       (1)

The concatenation in (1) is never built. Attention over keys that come in parts
K = [K_1; K_2; ...] is

  softmax(Q K^T / sqrt(d)) V = (sum_p E_p V_p) / (sum_p E_p 1),         (2)
  E_p = exp(Q K_p^T / sqrt(d) - m),

with one row maximum m over all parts. In (1) the first frame's part is one
array per clip, contracted with the queries of all frames; only the previous
frame's part has a frame axis.

Arrays are `b n f q d`, heads before positions: every contraction is then a
plain batched matrix product (4x faster on CPU than with heads third).
"""

from collections.abc import Sequence
import functools

from einops import rearrange
import jax
import jax.numpy as jnp
from jaxtyping import Float

from tav_jax.types import Array

Query = Float[Array, "b n f q d"]
Part = tuple[Float[Array, "b n ... k d"], Float[Array, "b n ... k d"]]
"""Keys and values, `b n f k d` or, shared by all frames, `b n k d`."""


def attend(query: Query, parts: Sequence[Part], block: int = 0) -> Query:
  """Attention (2) of each frame's queries over all parts.

  Args:
    query: Queries, `b n f q d`.
    parts: Keys and values, each `b n f k d` or `b n k d`.
    block: Handle this many query positions at a time and keep no scores for
      the backward pass, so that memory is linear in `q`; 0 handles all.

  Returns:
    The attended values, `b n f q d`.
  """
  positions = query.shape[3]
  if not block or positions <= block:
    return _attend(query, parts)
  pad = -positions % block
  blocks = rearrange(
      jnp.pad(query, ((0, 0),) * 3 + ((0, pad), (0, 0))),
      "b n f (m q) d -> m b n f q d", q=block)
  out = jax.lax.map(
      jax.checkpoint(functools.partial(_attend, parts=parts)), blocks)
  return rearrange(out, "m b n f q d -> b n f (m q) d")[:, :, :, :positions]


def _attend(query: Query, parts: Sequence[Part]) -> Query:
  scaled = query * query.shape[-1] ** -0.5
  scores = [
      jnp.einsum(f"bnfqd,{_letters(k)}->bnfqk", scaled, k,
                 preferred_element_type=jnp.float32)
      for k, _ in parts
  ]
  peak = functools.reduce(
      jnp.maximum, [jnp.max(x, axis=-1, keepdims=True) for x in scores])
  # (2) does not depend on m, so no gradient has to pass through it.
  weights = [jnp.exp(x - jax.lax.stop_gradient(peak)) for x in scores]
  total = sum(jnp.sum(w, axis=-1, keepdims=True) for w in weights)
  out = sum(
      jnp.einsum(f"bnfqk,{_letters(v)}->bnfqd", w.astype(v.dtype), v,
                 preferred_element_type=jnp.float32)
      for w, (_, v) in zip(weights, parts, strict=True))
  return (out / total).astype(query.dtype)


def _letters(part: jax.Array) -> str:
  return "bnfkd" if part.ndim == 5 else "bnkd"


def sparse_causal(
    query: Query,
    key: Float[Array, "b n f k d"],
    value: Float[Array, "b n f k d"],
    block: int = 0,
) -> Query:
  """Attention of frame i over frames 1 and i-1, Eq. (1)."""
  first = key[:, :, 0], value[:, :, 0]
  if query.shape[2] == 1:  # [z_1, z_1] attends as z_1 alone.
    return attend(query, [first], block)
  previous = _previous(key), _previous(value)
  return attend(query, [first, previous], block)


def _previous(x: Float[Array, "b n f k d"]) -> Float[Array, "b n f k d"]:
  """Frame i-1 in the place of frame i; the first frame stays."""
  return jnp.concatenate([x[:, :, :1], x[:, :, :-1]], axis=2)
