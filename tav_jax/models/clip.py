"""The text encoder of CLIP (arXiv 2103.00020), as Stable Diffusion reads it.

Submodules carry the names of transformers' `CLIPTextModel`.
"""

import dataclasses
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from tav_jax.types import Array

_ACTIVATIONS = {
    "quick_gelu": lambda x: x * jax.nn.sigmoid(1.702 * x),
    "gelu": lambda x: nn.gelu(x, approximate=False),
}


@dataclasses.dataclass(frozen=True)
class CLIPTextConfig:
  """What a transformers `CLIPTextConfig` says.

  Attributes:
    vocab_size: Number of tokens.
    positions: Tokens it reads at most (`max_position_embeddings`).
    width: Width of the hidden states.
    mlp_width: Width inside the perceptrons.
    layers: Number of transformer layers.
    heads: Attention heads.
    activation: "quick_gelu" (SD 1) or "gelu" (SD 2).
    norm_eps: Epsilon of every LayerNorm.
    dtype: Type of activations.
  """

  vocab_size: int = 49408
  positions: int = 77
  width: int = 768
  mlp_width: int = 3072
  layers: int = 12
  heads: int = 12
  activation: str = "quick_gelu"
  norm_eps: float = 1e-5
  dtype: Any = jnp.float32


class Embeddings(nn.Module):
  """Token plus learned position embeddings."""

  config: CLIPTextConfig

  @nn.compact
  def __call__(self, tokens):
    config = self.config
    embed = lambda n, name: nn.Embed(
        n, config.width, dtype=config.dtype,
        embedding_init=nn.initializers.normal(0.02), name=name)
    positions = jnp.arange(tokens.shape[-1])
    return (embed(config.vocab_size, "token_embedding")(tokens)
            + embed(config.positions, "position_embedding")(positions))


class Attention(nn.Module):
  """Causal self-attention over the tokens."""

  config: CLIPTextConfig

  @nn.compact
  def __call__(self, x):
    config = self.config
    dense = lambda name: nn.Dense(config.width, dtype=config.dtype, name=name)
    heads = lambda y: y.reshape(*y.shape[:2], config.heads, -1)
    q, k, v = (heads(dense(f"{name}_proj")(x)) for name in "qkv")
    scores = jnp.einsum(
        "bqnd,bknd->bnqk", q * q.shape[-1] ** -0.5, k,
        preferred_element_type=jnp.float32)
    causal = jnp.tril(jnp.ones(scores.shape[-2:], bool))
    weights = jax.nn.softmax(jnp.where(causal, scores, -jnp.inf))
    y = jnp.einsum("bnqk,bknd->bqnd", weights.astype(v.dtype), v)
    return dense("out_proj")(y.reshape(x.shape))


class MLP(nn.Module):
  """Two linear layers around the activation."""

  config: CLIPTextConfig

  @nn.compact
  def __call__(self, x):
    config = self.config
    y = nn.Dense(config.mlp_width, dtype=config.dtype, name="fc1")(x)
    y = _ACTIVATIONS[config.activation](y)
    return nn.Dense(config.width, dtype=config.dtype, name="fc2")(y)


class Layer(nn.Module):
  """Attention and perceptron, each on a LayerNorm and with a residual."""

  config: CLIPTextConfig

  @nn.compact
  def __call__(self, x):
    config = self.config
    norm = lambda name: nn.LayerNorm(
        epsilon=config.norm_eps, dtype=config.dtype, name=name)
    x += Attention(config, name="self_attn")(norm("layer_norm1")(x))
    return x + MLP(config, name="mlp")(norm("layer_norm2")(x))


class Encoder(nn.Module):
  """The layers."""

  config: CLIPTextConfig

  @nn.compact
  def __call__(self, x):
    for i in range(self.config.layers):
      x = Layer(self.config, name=f"layers_{i}")(x)
    return x


class CLIPTextModel(nn.Module):
  """Tokens to the last hidden states, after the final LayerNorm.

  SD 2 reads the last layer but one of its encoder; its published config already
  leaves the last layer out (23 of 24), so the same rule serves both.
  """

  config: CLIPTextConfig

  @nn.compact
  def __call__(self, tokens: Int[Array, "b l"]) -> Float[Array, "b l c"]:
    config = self.config
    x = Embeddings(config, name="embeddings")(tokens)
    x = Encoder(config, name="encoder")(x)
    x = nn.LayerNorm(
        epsilon=config.norm_eps, dtype=config.dtype,
        name="final_layer_norm")(x)
    return x.astype(jnp.float32)
