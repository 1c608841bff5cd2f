"""The transformer of which both CLIP towers consist (arXiv 2103.00020).

Submodules carry the names of transformers' `CLIPModel`.
"""

import dataclasses
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Float

from tav_jax.types import Array

_ACTIVATIONS = {
    "quick_gelu": lambda x: x * jax.nn.sigmoid(1.702 * x),
    "gelu": lambda x: nn.gelu(x, approximate=False),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TransformerConfig:
  """The settings that both towers have.

  Attributes:
    width: Width of the hidden states.
    mlp_width: Width inside the perceptrons.
    layers: Number of transformer layers.
    heads: Attention heads.
    activation: "quick_gelu" (OpenAI's, SD 1) or "gelu" (OpenCLIP's, SD 2).
    norm_eps: Epsilon of every LayerNorm.
    dtype: Type of activations.
  """

  width: int = 768
  mlp_width: int = 3072
  layers: int = 12
  heads: int = 12
  activation: str = "quick_gelu"
  norm_eps: float = 1e-5
  dtype: Any = jnp.float32

  def norm(self, name: str) -> nn.LayerNorm:
    """A LayerNorm with the epsilon and type of this config."""
    return nn.LayerNorm(epsilon=self.norm_eps, dtype=self.dtype, name=name)


class Attention(nn.Module):
  """Self-attention, causal or not."""

  config: TransformerConfig
  causal: bool

  @nn.compact
  def __call__(self, x: Float[Array, "b l c"]) -> Float[Array, "b l c"]:
    config = self.config
    dense = lambda name: nn.Dense(config.width, dtype=config.dtype, name=name)
    heads = lambda y: y.reshape(*y.shape[:2], config.heads, -1)
    q, k, v = (heads(dense(f"{name}_proj")(x)) for name in "qkv")
    scores = jnp.einsum(
        "bqnd,bknd->bnqk", q * q.shape[-1] ** -0.5, k,
        preferred_element_type=jnp.float32)
    if self.causal:
      past = jnp.tril(jnp.ones(scores.shape[-2:], bool))
      scores = jnp.where(past, scores, -jnp.inf)
    weights = jax.nn.softmax(scores)
    y = jnp.einsum("bnqk,bknd->bqnd", weights.astype(v.dtype), v)
    return dense("out_proj")(y.reshape(x.shape))


class MLP(nn.Module):
  """Two linear layers around the activation."""

  config: TransformerConfig

  @nn.compact
  def __call__(self, x: Float[Array, "b l c"]) -> Float[Array, "b l c"]:
    config = self.config
    y = nn.Dense(config.mlp_width, dtype=config.dtype, name="fc1")(x)
    y = _ACTIVATIONS[config.activation](y)
    return nn.Dense(config.width, dtype=config.dtype, name="fc2")(y)


class Layer(nn.Module):
  """Attention and perceptron, each on a LayerNorm and with a residual."""

  config: TransformerConfig
  causal: bool

  @nn.compact
  def __call__(self, x: Float[Array, "b l c"]) -> Float[Array, "b l c"]:
    norm = self.config.norm
    x += Attention(self.config, self.causal, name="self_attn")(
        norm("layer_norm1")(x))
    return x + MLP(self.config, name="mlp")(norm("layer_norm2")(x))


class Encoder(nn.Module):
  """The transformer's layers, one after another."""

  config: TransformerConfig
  causal: bool

  @nn.compact
  def __call__(self, x: Float[Array, "b l c"]) -> Float[Array, "b l c"]:
    for i in range(self.config.layers):
      x = Layer(self.config, self.causal, name=f"layers_{i}")(x)
    return x
