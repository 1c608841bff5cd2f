r"""CLIP (arXiv 2103.00020): a text tower, an image tower and a shared space.

With the towers' features f of a text and g of an image (Sec. 2.4, Fig. 3),

  text  = W_t f / |W_t f|,   image = W_i g / |W_i g|                    (1)
  logits = exp(s) image . text                                          (2)

f is read where the text ends, g at the class token. Stable Diffusion uses the
text tower alone: its hidden states, before W_t. Submodules carry the names of
transformers' `CLIPModel`.
"""

import dataclasses
import math

from einops import rearrange, repeat
from flax import linen as nn
import jax.numpy as jnp
from jaxtyping import Float, Int

from tav_jax.models.clip_layers import Encoder, TransformerConfig
from tav_jax.types import Array


@dataclasses.dataclass(frozen=True, kw_only=True)
class CLIPTextConfig(TransformerConfig):
  """The settings of a transformers `CLIPTextConfig`.

  Attributes:
    vocab_size: Number of different tokens.
    positions: Tokens of a text at most (`max_position_embeddings`).
  """

  vocab_size: int = 49408
  positions: int = 77


@dataclasses.dataclass(frozen=True, kw_only=True)
class CLIPVisionConfig(TransformerConfig):
  """The settings of a transformers `CLIPVisionConfig`.

  Attributes:
    image_size: Height and width of the images, in pixels.
    patch_size: Height and width of a patch, in pixels.
    channels: Channels of the images.
  """

  image_size: int = 224
  patch_size: int = 32
  channels: int = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class CLIPConfig:
  """The settings of a transformers `CLIPConfig`; by default ViT-B/32.

  Attributes:
    text: Config of the text tower.
    vision: Config of the image tower.
    embed_width: Width of the shared space (`projection_dim`).
    eos_token: The text ends at the first token with this id. Old configs have a
      wrong 2 here; with 2, the text ends at its largest id.
  """

  text: CLIPTextConfig = CLIPTextConfig(width=512, mlp_width=2048, heads=8)
  vision: CLIPVisionConfig = CLIPVisionConfig()
  embed_width: int = 512
  eos_token: int = 49407


class TextEmbeddings(nn.Module):
  """Token plus learned position embeddings."""

  config: CLIPTextConfig

  @nn.compact
  def __call__(self, tokens: Int[Array, "b l"]) -> Float[Array, "b l c"]:
    config = self.config
    positions = jnp.arange(tokens.shape[-1])
    return (_embed(config, config.vocab_size, "token_embedding")(tokens)
            + _embed(config, config.positions, "position_embedding")(positions))


class VisionEmbeddings(nn.Module):
  """A class token and a token a patch, plus learned position embeddings."""

  config: CLIPVisionConfig

  @nn.compact
  def __call__(self, pixels: Float[Array, "b h w c"]) -> Float[Array, "b l e"]:
    config = self.config
    patch = (config.patch_size, config.patch_size)
    x = nn.Conv(
        config.width, patch, patch, padding="VALID", use_bias=False,
        dtype=config.dtype, kernel_init=nn.initializers.normal(0.02),
        name="patch_embedding")(pixels)
    first = self.param(
        "class_embedding", nn.initializers.normal(config.width ** -0.5),
        (config.width,))
    x = jnp.concatenate([
        repeat(first.astype(x.dtype), "c -> b 1 c", b=len(x)),
        rearrange(x, "b h w c -> b (h w) c")], axis=1)
    count = 1 + (config.image_size // config.patch_size) ** 2
    return x + _embed(config, count, "position_embedding")(jnp.arange(count))


def _embed(config: TransformerConfig, count: int, name: str) -> nn.Embed:
  return nn.Embed(
      count, config.width, dtype=config.dtype,
      embedding_init=nn.initializers.normal(0.02), name=name)


class CLIPTextModel(nn.Module):
  """Tokens to the last hidden states, after the final LayerNorm.

  SD 2 reads its encoder's last layer but one; its published config already has
  no last layer (23 of 24), so the same code serves SD 1 and 2.
  """

  config: CLIPTextConfig

  @nn.compact
  def __call__(self, tokens: Int[Array, "b l"]) -> Float[Array, "b l c"]:
    config = self.config
    x = TextEmbeddings(config, name="embeddings")(tokens)
    x = Encoder(config, causal=True, name="encoder")(x)
    return config.norm("final_layer_norm")(x).astype(jnp.float32)


class CLIPVisionModel(nn.Module):
  """Normalised pixels to the class token, after the final LayerNorm."""

  config: CLIPVisionConfig

  @nn.compact
  def __call__(self, pixels: Float[Array, "b h w c"]) -> Float[Array, "b e"]:
    config = self.config
    x = VisionEmbeddings(config, name="embeddings")(pixels)
    x = config.norm("pre_layrnorm")(x)
    x = Encoder(config, causal=False, name="encoder")(x)
    return config.norm("post_layernorm")(x[:, 0]).astype(jnp.float32)


class CLIP(nn.Module):
  """Both towers and their projections into the shared space."""

  config: CLIPConfig

  def setup(self):
    config = self.config
    self.text_model = CLIPTextModel(config.text)
    self.vision_model = CLIPVisionModel(config.vision)
    project = lambda: nn.Dense(config.embed_width, use_bias=False)
    self.text_projection, self.visual_projection = project(), project()
    # The paper's start, a temperature of 0.07 (Sec. 2.5).
    self.logit_scale = self.param(
        "logit_scale", nn.initializers.constant(math.log(1 / 0.07)), ())

  def embed_images(
      self, pixels: Float[Array, "b h w c"]
  ) -> Float[Array, "b e"]:
    """Unit vectors of images, Eq. (1), in float32.

    Args:
      pixels: Images of the config's size, normalised with the checkpoint's
        mean and standard deviation.
    """
    return _unit(self.visual_projection(self.vision_model(pixels)))

  def embed_texts(self, tokens: Int[Array, "b l"]) -> Float[Array, "b e"]:
    """Unit vectors of tokenized texts, Eq. (1), in float32."""
    eos = self.config.eos_token
    ends = jnp.argmax(tokens if eos == 2 else tokens == eos, axis=-1)
    hidden = jnp.take_along_axis(
        self.text_model(tokens), ends[:, None, None], axis=1)[:, 0]
    return _unit(self.text_projection(hidden))

  def __call__(
      self, pixels: Float[Array, "b h w c"], tokens: Int[Array, "t l"]
  ) -> tuple[Float[Array, "b e"], Float[Array, "t e"], Float[Array, ""]]:
    """Unit vectors of images and of texts, and exp(s) of Eq. (2)."""
    return (self.embed_images(pixels), self.embed_texts(tokens),
            jnp.exp(self.logit_scale))


def _unit(x: Float[Array, "b e"]) -> Float[Array, "b e"]:
  return x / jnp.linalg.norm(x, axis=-1, keepdims=True)
