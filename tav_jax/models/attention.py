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
fetches the frames that these see (parallel/exchange.py): the first from the
device that has it, the previous from its neighbour.
"""

import collections
from collections.abc import Callable, Sequence
import math

from einops import rearrange
import jax
import jax.numpy as jnp
from jaxtyping import Float

from tav_jax.models import blockwise, flash
from tav_jax.parallel import activations, exchange
from tav_jax.parallel.mesh import FRAMES
from tav_jax.types import Array

Query = Float[Array, "b n f q d"]
Keys = Float[Array, "b n g k d"]
"""Keys or values of frames g, which may be others than the queries' frames."""

Sees = Sequence[Sequence[int]]
"""The key frames that each query frame sees, equally many each. A frame that is
listed twice beside others counts twice; [z_1, z_1] is the same as [z_1]."""

VISIBLE: dict[str, Callable[[int], Sees]] = {
    "own": lambda frames: [(i,) for i in range(frames)],
    "first": lambda frames: [(0,)] * frames,
    "sparse_causal": lambda frames: [
        (0, max(i - 1, 0)) for i in range(frames)],
    "all": lambda frames: [tuple(range(frames))] * frames,
}
"""The frames that each of so many frames sees in spatial attention.

The rows: itself, as in an image model; the first frame; the first and the
previous, Eq. (1); all frames. Another attention needs only a new row: how a
device fetches the frames is derived from it (parallel/exchange.py).
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
    visible: Which frames a frame sees, a key of `VISIBLE`. For keys of a single
      frame, such as a text's, it is "first".
    kernel: A key of `KERNELS`.
    block: For "blockwise": handle this many query positions of a frame at a
      time, so that memory is linear in `q`; 0 handles all.

  Returns:
    The attended values, `b n f q d`.
  """
  attention = KERNELS[kernel]
  sees = frames_seen(visible, query.shape[2], key.shape[2])
  if activations.mesh() is None:
    return attention(query, key, value, sees, block)
  here = activations.spec(query.shape, frames=2)
  split = here[2] is not None  # Else every device computes all frames.
  there = activations.spec(key.shape, frames=2) if split else here
  devices = activations.shards(FRAMES) if split else 1
  slots, mine = exchange.divide(sees, devices)

  def on_each_device(query, key, value):
    fetch = lambda x: exchange.fetch(
        x, slots, split=devices > 1 and there[2] is not None)
    return attention(query, fetch(key), fetch(value), mine, block)

  # The compiler cannot split a kernel over devices.
  return jax.shard_map(
      on_each_device, in_specs=(here, there, there), out_specs=here,
      check_vma=False)(query, key, value)


def frames_seen(visible: str, frames: int, keys: int) -> Sees:
  """A row of `VISIBLE` for `frames` query frames and `keys` key frames.

  Raises:
    ValueError: If it does not list equally many existing frames for each.
  """
  sees = [tuple(seen) for seen in VISIBLE[visible](frames)]
  right = (
      len(sees) == frames and all(sees) and len(set(map(len, sees))) == 1
      and all(0 <= frame < keys for seen in sees for frame in seen))
  if not right:
    raise ValueError(
        f"VISIBLE[{visible!r}]({frames}) is {sees}: expected {frames} tuples "
        f"of the same length of frames from 0 to {keys - 1}")
  return sees


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
  # Block m has positions m, m + blocks, ...: each device has a part of it.
  split = lambda x: rearrange(x, "b n (s m) f d -> m b n s f d", m=blocks)
  out = jax.lax.map(
      jax.checkpoint(lambda qkv: _attend(qkv[0], qkv[1], qkv[2], bias)),
      tuple(map(split, (query, key, value))))
  return rearrange(out, "m b n s f d -> b n (s m) f d")


_SCORES_AT_A_TIME = 2**26
"""Scores that a device holds in `temporal`; they grow with frames squared."""


def _position_blocks(shape: Sequence[int]) -> int:
  """Into how many blocks to divide the positions of `b n s q d`."""
  batch, heads, positions, frames, _ = shape
  shards = activations.shards(FRAMES)
  if positions % shards == 0:  # Else every device has all positions.
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
  """Attention in plain JAX, which keeps no scores for the backward pass."""
  clips, positions = query.shape[0], query.shape[3]
  keys = lambda x: rearrange(x, "b n g k d -> g (b n) d k")
  out = blockwise.attention(
      rearrange(query, "b n f q d -> f (b n) q d"), keys(key), keys(value),
      sees, min(block or positions, positions))
  return rearrange(out, "f (b n) q d -> b n f q d", b=clips)


def _flash(query, key, value, sees: Sees, block: int, interpret=False):
  """Attention by the TPU's Pallas kernel."""
  del block
  pairs = [
      (i, frame) for i, seen in enumerate(sees) for frame in _fewest(seen)]
  to = lambda x: rearrange(x, "b n f s d -> (b n) f d s")
  out = flash.attention(
      to(query), to(key), to(value), pairs, interpret=interpret)
  return rearrange(out, "(b n) f d s -> b n f s d", b=query.shape[0])


def _fewest(seen: Sequence[int]) -> list[int]:
  """The shortest list with frames in the same proportions: [0] for [0, 0]."""
  times = collections.Counter(seen)
  common = math.gcd(*times.values())
  return [frame for frame, n in times.items() for _ in range(n // common)]


def _cudnn(query, key, value, sees: Sees, block: int, implementation="cudnn"):
  """Attention by cuDNN, for head widths that it supports; else blockwise."""
  if query.shape[-1] > 128:
    return _blockwise(query, key, value, sees, block)
  keys = lambda x: rearrange(
      jnp.stack([exchange.take(x, seen) for seen in sees], axis=2),
      "b n f g k d -> (b f) (g k) n d")
  out = jax.nn.dot_product_attention(
      rearrange(query, "b n f q d -> (b f) q n d"), keys(key), keys(value),
      implementation=implementation)
  return rearrange(out, "(b f) q n d -> b n f q d", b=query.shape[0])


KERNELS = {"blockwise": _blockwise, "flash": _flash, "cudnn": _cudnn}
"""Ways to compute `attend`: anywhere, on TPU, on GPU (float16 and bfloat16)."""
