"""diffusers' and transformers' config files <-> this project's configs."""

from collections.abc import Mapping
from typing import Any

from tav_jax.models.clip import CLIPTextConfig
from tav_jax.models.unet import UNetConfig, VARIANTS
from tav_jax.models.vae import VAEConfig
from tav_jax.pretrained.reader import Reader

# Settings that the networks implement with one value only.
_UNET_FIXED = {
    "act_fn": "silu",
    "attention_type": "default",
    "center_input_sample": False,
    "conv_in_kernel": 3,
    "conv_out_kernel": 3,
    "downsample_padding": 1,
    "mid_block_scale_factor": 1,
    "resnet_out_scale_factor": 1.0,
    "resnet_time_scale_shift": "default",
    "time_embedding_type": "positional",
    "transformer_layers_per_block": 1,
}
_VAE_FIXED = {
    "act_fn": "silu",
    "mid_block_add_attention": True,
    "use_post_quant_conv": True,
    "use_quant_conv": True,
}
# Settings without an effect on what is computed here.
_UNET_IGNORED = (
    "addition_embed_type_num_heads", "dropout", "upcast_attention",
    "sample_size")
_VAE_IGNORED = ("force_upcast", "sample_size")
_MODELS = "Stable Diffusion 1.x and 2.x"
_MID_BLOCKS = ("UNetMidBlock2DCrossAttn", "UNetMidBlock3DCrossAttn")


def read_unet(values: Mapping[str, Any], source: str) -> UNetConfig:
  """Reads a `UNet2DConditionModel` (or the authors' `UNet3D...`) config.

  Raises:
    InputError: If it asks for something that the network does not implement.
  """
  sample_size = values.get("sample_size")
  read = Reader(values, source)
  channels = tuple(read.get("block_out_channels", UNetConfig.channels))
  levels = len(channels)
  per_level = lambda x: (
      tuple(x) if isinstance(x, (list, tuple)) else (x,) * levels)

  down = _attends(read, "down_block_types", "DownBlock", levels)
  up = _attends(read, "up_block_types", "UpBlock", levels)
  mid = read.get("mid_block_type", _MID_BLOCKS[0])
  read.check("mid_block_type", mid in _MID_BLOCKS, _MID_BLOCKS[0])
  # SD 1 calls the number of heads attention_head_dim; diffusers kept that.
  head_dim = read.get("attention_head_dim", 8)
  heads = per_level(read.get("num_attention_heads", head_dim))
  layers = per_level(read.get("layers_per_block", 2))
  read.check("attention_head_dim", len(heads) == levels, f"{levels} values")
  read.check("layers_per_block", len(layers) == levels, f"{levels} values")
  for width, n in zip(channels, heads, strict=True):
    read.check(
        "attention_head_dim", n > 0 and width % n == 0,
        f"heads that divide {width}")

  config = UNetConfig(
      in_channels=read.get("in_channels", 4),
      out_channels=read.get("out_channels", 4),
      channels=channels,
      layers=layers,
      heads=heads,
      down_attention=down,
      up_attention=up,
      text_width=read.nullable("cross_attention_dim", 1280),
      groups=read.get("norm_num_groups", 32),
      norm_eps=read.get("norm_eps", 1e-5),
      linear_projection=read.get("use_linear_projection", False),
      flip_sin_to_cos=read.get("flip_sin_to_cos", True),
      freq_shift=float(read.get("freq_shift", 0)),
      **{name: read.get(name, getattr(UNetConfig, name)) for name in VARIANTS},
      sample_size=sample_size if isinstance(sample_size, int) else None,
  )
  read.fixed(_UNET_FIXED)
  read.finish(_UNET_IGNORED, _MODELS)
  return config


def _attends(read: Reader, key: str, kind: str, levels: int) -> tuple:
  default = [f"CrossAttn{kind}2D"] * levels
  default[-1 if kind == "DownBlock" else 0] = f"{kind}2D"
  plain = {f"{kind}{n}D": False for n in (2, 3)}
  cross = {f"CrossAttn{kind}{n}D": True for n in (2, 3)}
  known = plain | cross
  types = read.get(key, default)
  read.check(
      key, len(types) == levels and all(t in known for t in types),
      f"{levels} of {kind}2D and CrossAttn{kind}2D")
  return tuple(known[t] for t in types)


def write_unet3d(config: UNetConfig) -> dict[str, Any]:
  """The config of the authors' `UNet3DConditionModel`.

  Variants that their network does not have are written under keys of ours.
  """
  block = lambda kind, attends: f"CrossAttn{kind}3D" if attends else f"{kind}3D"
  same = lambda values: (
      values[0] if len(set(values)) == 1 else list(values))
  return {
      "_class_name": "UNet3DConditionModel",
      "_diffusers_version": "0.11.1",
      "act_fn": "silu",
      "attention_head_dim": same(config.heads),
      "block_out_channels": list(config.channels),
      "center_input_sample": False,
      "class_embed_type": None,
      "cross_attention_dim": config.text_width,
      "down_block_types": [
          block("DownBlock", x) for x in config.down_attention],
      "downsample_padding": 1,
      "dual_cross_attention": False,
      "flip_sin_to_cos": config.flip_sin_to_cos,
      "freq_shift": config.freq_shift,
      "in_channels": config.in_channels,
      "layers_per_block": same(config.layers),
      "mid_block_scale_factor": 1,
      "mid_block_type": "UNetMidBlock3DCrossAttn",
      "norm_eps": config.norm_eps,
      "norm_num_groups": config.groups,
      "num_class_embeds": None,
      "only_cross_attention": False,
      "out_channels": config.out_channels,
      "resnet_time_scale_shift": "default",
      "sample_size": config.sample_size,
      "up_block_types": [block("UpBlock", x) for x in config.up_attention],
      "upcast_attention": False,
      "use_linear_projection": config.linear_projection,
  } | {
      name: getattr(config, name) for name in VARIANTS
      if getattr(config, name) != getattr(UNetConfig, name)}


def read_vae(values: Mapping[str, Any], source: str) -> VAEConfig:
  """Reads an `AutoencoderKL` config; raises as `read_unet`."""
  sample_size = values.get("sample_size")
  read = Reader(values, source)
  channels = tuple(read.get("block_out_channels", (64,)))
  for key, kind in (("down_block_types", "DownEncoderBlock2D"),
                    ("up_block_types", "UpDecoderBlock2D")):
    expected = [kind] * len(channels)
    read.check(key, read.get(key, expected) == expected, f"{expected}")
  config = VAEConfig(
      in_channels=read.get("in_channels", 3),
      out_channels=read.get("out_channels", 3),
      latent_channels=read.get("latent_channels", 4),
      channels=channels,
      layers=read.get("layers_per_block", 1),
      groups=read.get("norm_num_groups", 32),
      scaling_factor=read.get("scaling_factor", 0.18215),
      sample_size=sample_size if isinstance(sample_size, int) else None,
  )
  read.fixed(_VAE_FIXED)
  read.finish(_VAE_IGNORED, _MODELS)
  return config


def read_text_encoder(values: Mapping[str, Any], source: str) -> CLIPTextConfig:
  """Reads a `CLIPTextModel` config; raises as `read_unet`."""
  read = Reader(values, source)
  model = read.get("model_type", "clip_text_model")
  read.check("model_type", model == "clip_text_model", "clip_text_model")
  activation = read.get("hidden_act", "quick_gelu")
  read.check(
      "hidden_act", activation in ("quick_gelu", "gelu"), "quick_gelu or gelu")
  # All other keys are transformers' bookkeeping.
  return CLIPTextConfig(
      vocab_size=read.get("vocab_size", 49408),
      positions=read.get("max_position_embeddings", 77),
      width=read.get("hidden_size", 512),
      mlp_width=read.get("intermediate_size", 2048),
      layers=read.get("num_hidden_layers", 12),
      heads=read.get("num_attention_heads", 8),
      activation=activation,
      norm_eps=read.get("layer_norm_eps", 1e-5),
  )
