"""First parameters of networks."""

from typing import Any

from flax import linen as nn
import jax
from jax.interpreters import partial_eval

from tav_jax.types import Params


def init(module: nn.Module, seed: int, *args: Any) -> Params:
  """What `jax.jit(module.init)` gives, of which less is compiled.

  `jax.jit` compiles the drawing of every parameter, and a network has many of
  the same shape. Here the same steps are taken one after another: what draws
  parameters of one shape is compiled once. The network itself is not computed.

  Args:
    module: The network.
    seed: Of its random numbers.
    args: What it is called with; the shapes are what counts.
  """
  def first(key: jax.Array) -> Params:
    return module.init(key, *args)["params"]

  key = jax.random.key(seed)
  steps, params = jax.make_jaxpr(first, return_shape=True)(key)
  drawing, _ = partial_eval.dce_jaxpr(
      steps.jaxpr, [True] * len(steps.jaxpr.outvars), instantiate=True)
  return jax.tree.unflatten(
      jax.tree.structure(params),
      jax.core.eval_jaxpr(drawing, steps.consts, key))
