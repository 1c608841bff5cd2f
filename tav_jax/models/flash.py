r"""Flash attention between frames, as a Pallas kernel for TPU.

Frame i attends to all positions of the frames that it sees. With scores in
units of log 2, s = (log2 e / sqrt(d)) k . q, one pass over the keys keeps

  m = max s,   l = sum 2^(s - m),   o = sum 2^(s - m) v / l             (1)

(FlashAttention, arXiv 2205.14135, Alg. 1). Backward, p = 2^(s - L) with the
saved L = m + log2 l, and

  D = do . o,   ds = p (v . do - D),                                      (2)
  dv = sum_q p do,   dk = sum_q ds q,   dq = sum_k ds k                   (3)

(2307.08691, Alg. 2), dk and dq times 1 / sqrt(d).

A list of pairs (query frame, key frame) says which frame sees which. The grid
walks along it and fetches blocks of keys from where they lie, so that sparse-
causal attention copies no frame, and visits no other pair.
Arrays are `m f d s`: positions lie on the chip's 128 lanes, where head widths
of 40, 80 and 160 need no padding, and a query's statistics are a row.
"""

from collections.abc import Iterable, Sequence
import functools
import math

import jax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
import jax.numpy as jnp
import numpy as np

_LANES = 128
_LOG2_E = math.log2(math.e)


def attention(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    pairs: Iterable[tuple[int, int]],
    *,
    block_q: int = 1024,
    block_k: int = 1024,
    interpret: bool = False,
) -> jax.Array:
  """Attention of every query frame over the key frames it is paired with.

  Args:
    query: Queries, `m f d q`; m is clips times heads.
    key: Keys, `m g d k`.
    value: Values, `m g d k`.
    pairs: Pairs (query frame, key frame), at least one for every query frame. A
      pair that is listed twice counts twice.
    block_q: Most query positions of a block, a multiple of 128.
    block_k: Most key positions of a block, a multiple of 128.
    interpret: Run without a TPU, slowly, for tests.

  Returns:
    The attended values, `m f d q`, in the query's type.
  """
  width, queries, keys = *query.shape[-2:], key.shape[-1]
  block_q, block_k = _block(queries, block_q), _block(keys, block_k)
  pad = lambda x, block: jnp.pad(
      x, ((0, 0),) * 3 + ((0, -x.shape[-1] % block),))
  scaled = (query * (_LOG2_E * width**-0.5)).astype(query.dtype)
  out = _attention(
      pad(scaled, block_q), pad(key, block_k), pad(value, block_k),
      tuple(sorted(pairs)), keys, block_q, block_k, interpret)
  return out[..., :queries]


def _block(positions: int, most: int) -> int:
  """A block's size: all positions, or a multiple of 128 that pads little."""
  if positions <= most:
    return positions
  # Every block costs something, about as much as half a column of lanes.
  cost = lambda block: -(-positions // block) * (block + _LANES // 2)
  return min(range(_LANES, most + 1, _LANES), key=lambda b: (cost(b), -b))


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4, 5, 6, 7))
def _attention(query, key, value, pairs, keys, block_q, block_k, interpret):
  return _forward(
      query, key, value, pairs, keys, block_q, block_k, interpret)[0]


def _forward(query, key, value, pairs, keys, block_q, block_k, interpret):
  """Eq. (1): the output and L, `m f 1 q`."""
  steps = key.shape[-1] // block_k
  call = _call(
      functools.partial(_forward_kernel, steps=steps, keys=keys),
      _walk(pairs), query.shape[-1] // block_q, steps, outer=0)
  out, logsum = call(
      out=[(query.shape, query.dtype, block_q),
           ((*query.shape[:2], 1, query.shape[-1]), jnp.float32, block_q)],
      inputs=[(query, 0, block_q), (key, 1, block_k), (value, 1, block_k)],
      scratch=[(query.shape[2], block_q), (1, block_q), (1, block_q)],
      interpret=interpret, products=2)
  return out, (query, key, value, out, logsum)


def _backward(pairs, keys, block_q, block_k, interpret, saved, grad):
  """Eqs. (2) and (3)."""
  query, key, value, out, logsum = saved
  width = query.shape[2]
  delta = jnp.sum(
      grad.astype(jnp.float32) * out, axis=2, keepdims=True)  # D of (2).
  k_steps, q_steps = key.shape[-1] // block_k, query.shape[-1] // block_q
  inputs = [
      (query, 0, block_q), (key, 1, block_k), (value, 1, block_k),
      (grad, 0, block_q), (logsum, 0, block_q), (delta, 0, block_q)]
  by_query = _call(
      functools.partial(_dq_kernel, steps=k_steps, keys=keys, width=width),
      _walk(pairs), q_steps, k_steps, outer=0)
  dq, = by_query(
      out=[(query.shape, query.dtype, block_q)], inputs=inputs,
      scratch=[(width, block_q)], interpret=interpret, products=3)
  # A key frame that no frame sees gets zeros, from a pair without a query (-1).
  unseen = set(range(key.shape[1])) - {g for _, g in pairs}
  turned = sorted([(g, f) for f, g in pairs] + [(g, -1) for g in unseen])
  by_key = _call(
      functools.partial(_dkv_kernel, steps=q_steps, keys=keys),
      _walk(turned), k_steps, q_steps, outer=1)
  dk, dv = by_key(
      out=[(x.shape, x.dtype, block_k) for x in (key, value)],
      inputs=inputs, scratch=[(width, block_k), (width, block_k)],
      interpret=interpret, products=4)
  return dq, dk, dv


_attention.defvjp(_forward, _backward)


def _walk(pairs: Sequence[tuple[int, int]]) -> np.ndarray:
  """The grid's walk along sorted pairs: rows outer, inner, first, last.

  Blocks of the output belong to outer frames, whose pairs follow each other;
  `first` and `last` mark the ends of an outer frame's pairs.
  """
  outer, inner = np.transpose(pairs)
  change = np.diff(outer) != 0
  first = np.concatenate([[True], change])
  last = np.concatenate([change, [True]])
  return np.stack([outer, inner, first, last]).astype(np.int32)


def _call(kernel, walk: np.ndarray, blocks: int, steps: int, outer: int):
  """A call of a kernel on the grid (m, blocks of the outer frames, walk).

  Args:
    kernel: Takes the walk, the blocks of inputs and outputs, and scratch.
    walk: What `_walk` returns.
    blocks: Number of blocks of each outer frame.
    steps: Number of blocks of each inner frame; the last grid index divided by
      it is the pair's place in the walk.
    outer: Which frames are the outer ones: 0 the queries', 1 the keys'.
  """

  def index(side):
    if side == outer:
      return lambda m, i, j, walk: (m, walk[0, _div(j, steps)], 0, i)
    return lambda m, i, j, walk: (
        m, jnp.maximum(walk[1, _div(j, steps)], 0), 0, _rem(j, steps))

  def run(out, inputs, scratch, interpret, products):
    spec = lambda shape, block, side: pl.BlockSpec(
        (1, 1, shape[2], block), index(side))
    m, _, width, _ = inputs[0][0].shape
    scores = m * walk.shape[1] * blocks * steps * (
        inputs[0][2] * inputs[1][2])
    moved = sum(
        math.prod((m, walk.shape[1], x.shape[2], x.shape[3]))
        * x.dtype.itemsize * (1 if side == outer else blocks)
        for x, side, _ in inputs)
    return pl.pallas_call(
        kernel,
        grid_spec=pltpu.PrefetchScalarGridSpec(
            num_scalar_prefetch=1,
            grid=(m, blocks, walk.shape[1] * steps),
            in_specs=[spec(x.shape, block, side) for x, side, block in inputs],
            out_specs=[spec(shape, block, outer) for shape, _, block in out],
            scratch_shapes=[pltpu.VMEM(s, jnp.float32) for s in scratch]),
        out_shape=[jax.ShapeDtypeStruct(*array) for *array, _ in out],
        compiler_params=pltpu.CompilerParams(
            dimension_semantics=("parallel", "parallel", "arbitrary")),
        cost_estimate=pl.CostEstimate(
            flops=2 * products * width * scores, transcendentals=scores,
            bytes_accessed=moved),
        interpret=interpret,
    )(jnp.asarray(walk), *(x for x, _, _ in inputs))

  return run


def _div(i, steps: int):
  """Floor division of a number that is not negative."""
  return jax.lax.div(i, jnp.int32(steps))


def _rem(i, steps: int):
  return jax.lax.rem(i, jnp.int32(steps))


def _dot(a, b, a_axis: int, b_axis: int):
  """A product, accumulated in float32, that contracts these axes."""
  return jax.lax.dot_general(
      a, b, (((a_axis,), (b_axis,)), ((), ())),
      preferred_element_type=jnp.float32)


def _scores(query, key, keys: int, start):
  """Scores of Eq. (1), `k q`; -inf for keys that only fill up a block."""
  scores = _dot(key, query, 0, 0)
  block = key.shape[1]
  if keys % block:
    position = start * block + jax.lax.broadcasted_iota(
        jnp.int32, scores.shape, 0)
    scores = jnp.where(position < keys, scores, -jnp.inf)
  return scores


def _ends(walk, steps: int):
  """Whether this is the first step for the output's block, and the last."""
  j = pl.program_id(2)
  pair, step = _div(j, steps), _rem(j, steps)
  first = (walk[2, pair] == 1) & (step == 0)
  last = (walk[3, pair] == 1) & (step == steps - 1)
  return first, last


def _forward_kernel(
    walk, q, k, v, out, logsum, total, peak, norm, *, steps: int, keys: int):
  first, last = _ends(walk, steps)

  @pl.when(first)
  def _():
    total[:] = jnp.zeros_like(total)
    peak[:] = jnp.full_like(peak, -jnp.inf)
    norm[:] = jnp.zeros_like(norm)

  scores = _scores(q[0, 0], k[0, 0], keys, _rem(pl.program_id(2), steps))
  new = jnp.maximum(peak[:], jnp.max(scores, axis=0, keepdims=True))
  weights = jnp.exp2(scores - new)
  shrink = jnp.exp2(peak[:] - new)
  peak[:] = new
  norm[:] = norm[:] * shrink + jnp.sum(weights, axis=0, keepdims=True)
  total[:] = total[:] * shrink + _dot(v[0, 0], weights.astype(v.dtype), 1, 0)

  @pl.when(last)
  def _():
    out[0, 0] = (total[:] / norm[:]).astype(out.dtype)
    logsum[0, 0] = peak[:] + jnp.log2(norm[:])


def _weights_and_grads(q, k, v, do, logsum, delta, keys: int, start):
  """Softmax p and ds of Eq. (2), `k q`."""
  weights = jnp.exp2(_scores(q[0, 0], k[0, 0], keys, start) - logsum[0, 0])
  return weights, weights * (_dot(v[0, 0], do[0, 0], 0, 0) - delta[0, 0])


def _dq_kernel(
    walk, q, k, v, do, logsum, delta, dq, total, *, steps: int, keys: int,
    width: int):
  first, last = _ends(walk, steps)

  @pl.when(first)
  def _():
    total[:] = jnp.zeros_like(total)

  _, ds = _weights_and_grads(
      q, k, v, do, logsum, delta, keys, _rem(pl.program_id(2), steps))
  total[:] += _dot(k[0, 0], ds.astype(k.dtype), 1, 0)

  @pl.when(last)
  def _():
    # `attention` scaled the query by log2(e) / sqrt(d), and its gradient has
    # that factor, too; here scores in units of log 2 leave a factor ln 2.
    dq[0, 0] = (total[:] / _LOG2_E).astype(dq.dtype)


def _dkv_kernel(
    walk, q, k, v, do, logsum, delta, dk, dv, dk_total, dv_total, *,
    steps: int, keys: int):
  first, last = _ends(walk, steps)
  start = pl.program_id(1)

  @pl.when(first)
  def _():
    dk_total[:] = jnp.zeros_like(dk_total)
    dv_total[:] = jnp.zeros_like(dv_total)

  @pl.when(walk[1, _div(pl.program_id(2), steps)] >= 0)
  def _():
    weights, ds = _weights_and_grads(
        q, k, v, do, logsum, delta, keys, start)
    dv_total[:] += _dot(do[0, 0], weights.astype(do.dtype), 1, 1)
    dk_total[:] += _dot(q[0, 0], ds.astype(q.dtype), 1, 1)

  @pl.when(last)
  def _():
    dk[0, 0] = (dk_total[:] / _LOG2_E).astype(dk.dtype)
    dv[0, 0] = dv_total[:].astype(dv.dtype)
