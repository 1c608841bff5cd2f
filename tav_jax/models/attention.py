r"""Softmax attention between the frames of a clip, and over time.

Tune-A-Video (arXiv 2212.11565, Sec. 3.2, Eq. 2) lets frame i attend to the
first frame and to the one before it:

  Q = W_Q z_i,   K = W_K [z_1, z_{i-1}],   V = W_V [z_1, z_{i-1}]       (1)

Which frames a frame sees is a table (`VISIBLE`); the concatenation in (1) is
never built for more than one frame at a time. Attention is

  softmax(Q K^T / sqrt(d)) V = E V / E 1,   E = exp(Q K^T / sqrt(d) - m), (2)

with the row maximum m.

Arrays are `b n f q d`, heads before positions: every contraction is then a
plain batched matrix product (4x faster on CPU than with heads third).

On a mesh (parallel/activations.py) every device has some of the frames and
fetches those that its own see: the first from whoever has it, the previous from
its neighbour.
"""

from collections.abc import Callable, Sequence

from einops import rearrange
import jax
import jax.numpy as jnp
from jaxtyping import Float

from tav_jax.models import blockwise, flash
from tav_jax.parallel import activations
from tav_jax.types import Array

Query = Float[Array, "b n f q d"]
Keys = Float[Array, "b n g k d"]
"""Keys or values of frames g, which need not be those of the queries."""

Sees = Sequence[Sequence[int]]
"""The key frames that each query frame sees, as many each. All that a frame
sees may be there twice, as in [z_1, z_1], which changes nothing."""

VISIBLE: dict[str, Callable[[int], Sees]] = {
    "own": lambda frames: [(i,) for i in range(frames)],
    "first": lambda frames: [(0,)] * frames,
    "sparse_causal": lambda frames: [
        (0, max(i - 1, 0)) for i in range(frames)],
    "all": lambda frames: [tuple(range(frames))] * frames,
}
"""What each of some frames sees in spatial attention.

Itself, as in an image model; the first frame; the first and the previous, Eq.
(1); all of them.
"""


def attend(
    query: Query, key: Keys, value: Keys, visible: str = "sparse_causal",
    kernel: str = "blockwise", block: int = 0,
) -> Query:
  """Attention of each frame's queries over the keys of the frames it sees.

  Args:
    query: Queries, `b n f q d`.
    key: Keys, `b n g k d`.
    value: Values, `b n g k d`.
    visible: Which frames those are, a key of `VISIBLE`; "first" allows keys of
      one frame alone.
    kernel: A key of `KERNELS`.
    block: For "blockwise": handle this many query positions of a frame at a
      time, so that memory is linear in `q`; 0 handles all.

  Returns:
    The attended values, `b n f q d`.
  """
  frames, compute = query.shape[2], KERNELS[kernel]
  if activations.mesh() is None:
    return compute(query, key, value, VISIBLE[visible](frames), block)
  here = activations.spec(query.shape, frames=2)
  there = activations.spec(key.shape, frames=2)

  def on_each_device(query, key, value):
    if not there[2]:
      sees = VISIBLE[visible](query.shape[2])  # Its own are fewer, of a text.
      return compute(query, key, value, sees, block)
    key, sees = _fetch(key, visible)
    value, _ = _fetch(value, visible)
    return compute(query, key, value, sees, block)

  # What a kernel does cannot be split by the compiler.
  return jax.shard_map(
      on_each_device, in_specs=(here, there, there), out_specs=here,
      check_vma=False)(query, key, value)


def _fetch(x: jax.Array, visible: str) -> tuple[jax.Array, Sees]:
  """The key frames that this device's own see, of which it has its own."""
  axes, mine = activations.FRAMES, x.shape[2]
  if visible == "own":
    return x, VISIBLE["own"](mine)
  if visible == "all":
    x = jax.lax.all_gather(x, axes, axis=2, tiled=True)
    return x, [tuple(range(x.shape[2]))] * mine
  start = jax.lax.axis_index(axes) == 0
  first = jax.lax.psum(jnp.where(start, x[:, :, :1], 0), axes)
  if visible == "first":
    return first, [(0,)] * mine
  count = activations.shards(axes)
  before = jax.lax.ppermute(
      x[:, :, -1:], axes, [(i, i + 1) for i in range(count - 1)])
  before = jnp.where(start, first, before)
  # Frame i of these sees the first and the one at its own place.
  frames = jnp.concatenate([first, before, x[:, :, :-1]], axis=2)
  return frames, [(0, 1 + i) for i in range(mine)]


def temporal(
    query: Query, key: Keys, value: Keys,
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
  blocks = _position_blocks(query.shape)
  if blocks == 1:
    return _attend(query, key, value, bias)
  # Block m has positions m, m + blocks, ...: some of every device's own.
  split = lambda x: rearrange(x, "b n (s m) f d -> m b n s f d", m=blocks)
  out = jax.lax.map(
      jax.checkpoint(lambda qkv: _attend(*qkv, bias)),
      tuple(map(split, (query, key, value))))
  return rearrange(out, "m b n s f d -> b n (s m) f d")


_SCORES_AT_A_TIME = 2**26
"""Of a device, in `temporal`: they grow with the square of the frames."""


def _position_blocks(shape: Sequence[int]) -> int:
  """Into how many blocks to divide the positions of `b n s q d`."""
  batch, heads, positions, frames, _ = shape
  shards = activations.shards(activations.FRAMES)
  if positions % shards == 0:  # Else every device has them all.
    positions //= shards
  each = batch * heads * frames**2
  return next(
      blocks for blocks in range(1, positions + 1) if positions % blocks == 0
      and positions // blocks * each <= max(_SCORES_AT_A_TIME, each))


def _attend(query, key, value, bias):
  """Eq. (2), `b n s q d`."""
  scaled = query * query.shape[-1] ** -0.5
  scores = bias + jnp.einsum(
      "bnsqd,bnskd->bnsqk", scaled, key, preferred_element_type=jnp.float32)
  peak = jnp.max(scores, axis=-1, keepdims=True)
  # (2) does not depend on m, so no gradient has to pass through it.
  weights = jnp.exp(scores - jax.lax.stop_gradient(peak))
  total = jnp.sum(weights, axis=-1, keepdims=True)
  out = jnp.einsum(
      "bnsqk,bnskd->bnsqd", weights.astype(value.dtype), value,
      preferred_element_type=jnp.float32)
  return (out / total).astype(query.dtype)


def _blockwise(query, key, value, sees: Sees, block: int):
  """Plain JAX, which keeps no scores for the backward pass."""
  clips, positions = query.shape[0], query.shape[3]
  keys = lambda x: rearrange(x, "b n g k d -> g (b n) d k")
  out = blockwise.attention(
      rearrange(query, "b n f q d -> f (b n) q d"), keys(key), keys(value),
      sees, min(block or positions, positions))
  return rearrange(out, "f (b n) q d -> b n f q d", b=clips)


def _take(x: jax.Array, frames: Sequence[int]) -> jax.Array:
  """Some frames, from slices of as many as follow each other."""
  if list(frames) == list(range(x.shape[2])):
    return x
  cuts = [i for i in range(1, len(frames)) if frames[i] != frames[i - 1] + 1]
  runs = zip([0, *cuts], [*cuts, len(frames)], strict=True)
  slices = [x[:, :, frames[a]:frames[b - 1] + 1] for a, b in runs]
  return jnp.concatenate(slices, axis=2) if cuts else slices[0]


def _flash(query, key, value, sees: Sees, block: int, interpret=False):
  """The TPU's kernel, which sees each frame once."""
  del block
  pairs = [(i, frame) for i, seen in enumerate(sees) for frame in set(seen)]
  to = lambda x: rearrange(x, "b n f s d -> (b n) f d s")
  out = flash.attention(
      to(query), to(key), to(value), pairs, interpret=interpret)
  return rearrange(out, "(b n) f d s -> b n f s d", b=query.shape[0])


def _cudnn(query, key, value, sees: Sees, block: int, implementation="cudnn"):
  """The GPU's kernel, for the head widths it knows; else as on CPU."""
  if query.shape[-1] > 128:
    return _blockwise(query, key, value, sees, block)
  keys = lambda x: rearrange(
      jnp.stack([_take(x, seen) for seen in sees], axis=2),
      "b n f g k d -> (b f) (g k) n d")
  out = jax.nn.dot_product_attention(
      rearrange(query, "b n f q d -> (b f) q n d"), keys(key), keys(value),
      implementation=implementation)
  return rearrange(out, "(b f) q n d -> b n f q d", b=query.shape[0])


KERNELS = {"blockwise": _blockwise, "flash": _flash, "cudnn": _cudnn}
"""Ways to compute `attend`: anywhere, on TPU, on GPU (float16 and bfloat16)."""
