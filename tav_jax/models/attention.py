r"""Softmax attention whose keys come in parts: over space and over time.

Tune-A-Video (arXiv 2212.11565, Sec. 3.2, Eq. 2) lets frame i attend to the
first frame and to the one before it:

  Q = W_Q z_i,   K = W_K [z_1, z_{i-1}],   V = W_V [z_1, z_{i-1}]       (1)

The concatenation in (1) is never built. Attention over keys that come in parts
K = [K_1; K_2; ...] is

  softmax(Q K^T / sqrt(d)) V = (sum_p E_p V_p) / (sum_p E_p 1),         (2)
  E_p = exp(Q K_p^T / sqrt(d) - m),

with one row maximum m over all parts. In (1) the first frame's part is one
array per clip, contracted with the queries of all frames; only the previous
frame's part has a frame axis. Other choices of what frame i sees are other
lists of parts (`VISIBLE`).

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
PerFrame = Float[Array, "b n f k d"]


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


def _attend(query: Query, parts: Sequence[Part], bias=0.0) -> Query:
  scaled = query * query.shape[-1] ** -0.5
  scores = [
      jnp.einsum(f"bnfqd,{_letters(k)}->bnfqk", scaled, k,
                 preferred_element_type=jnp.float32) + bias
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


def spatial(
    query: Query,
    key: PerFrame,
    value: PerFrame,
    visible: str = "sparse_causal",
    block: int = 0,
) -> Query:
  """Attention of every frame's positions over those of the frames it sees.

  Args:
    query: Queries, `b n f q d`.
    key: Keys, `b n f k d`.
    value: Values, `b n f k d`.
    visible: Which frames frame i sees, a key of `VISIBLE`.
    block: As for `attend`.

  Returns:
    The attended values, `b n f q d`.
  """
  # A frame alone sees itself, and [z_1, z_1] attends as z_1 does.
  see = VISIBLE["first" if query.shape[2] == 1 else visible]
  return attend(query, list(zip(see(key), see(value), strict=True)), block)


def temporal(
    query: Query,
    key: PerFrame,
    value: PerFrame,
    bias: Float[Array, "n q k"] | float = 0.0,
) -> Query:
  """Attention of every position over itself in all frames.

  Args:
    query: Queries, `b n s q d`, of positions s in frames q.
    key: Keys, `b n s k d`.
    value: Values, `b n s k d`.
    bias: Added to the scores; -inf where frame q must not see frame k.

  Returns:
    The attended values, `b n s q d`.
  """
  if not isinstance(bias, float):
    bias = rearrange(bias, "n q k -> n 1 q k")
  return _attend(query, [(key, value)], bias)


def _previous(x: PerFrame) -> PerFrame:
  """Frame i-1 in the place of frame i; the first frame stays."""
  return jnp.concatenate([x[:, :, :1], x[:, :, :-1]], axis=2)


VISIBLE = {
    "own": lambda x: [x],
    "first": lambda x: [x[:, :, 0]],
    "sparse_causal": lambda x: [x[:, :, 0], _previous(x)],
    "all": lambda x: [rearrange(x, "b n f k d -> b n (f k) d")],
}
"""What frame i sees in spatial attention, as parts of its keys (or values).

Itself, as in an image model; the first frame; the first and the previous, Eq.
(1); all of them.
"""
