"""diffusers' and transformers' config files <-> this project's configs."""

from collections.abc import Mapping
from typing import Any

from tav_jax.models.clip import CLIPTextConfig
from tav_jax.models.unet import UNetConfig, VARIANTS
from tav_jax.models.vae import VAEConfig
from tav_jax.pretrained import clip_config, foreign
from tav_jax.pretrained.reader import (
  all_of,
  choice,
  either,
  EPSILON,
  FLAG,
  integer,
  listed,
  number,
  Reader,
  SIZE,
  TEXT,
)

# At most; of hundreds of blocks not even the shapes come fast.
_LEVELS = 8
_LAYERS = integer(1, 8)
_WIDTHS = listed(SIZE, 1, _LEVELS)
_SILU = choice("silu", "swish")  # Two names of one function.
# Settings that the networks implement in one way only.
_UNET_FIXED = {
    "act_fn": _SILU,
    "attention_type": choice("default"),
    "center_input_sample": choice(False),
    "conv_in_kernel": choice(3),
    "conv_out_kernel": choice(3),
    "downsample_padding": choice(1),
    "mid_block_scale_factor": choice(1),
    "only_cross_attention": all_of(False),
    "resnet_out_scale_factor": choice(1.0),
    "resnet_time_scale_shift": choice("default"),
    "time_embedding_type": choice("positional"),
    "transformer_layers_per_block": all_of(1),
}
_VAE_FIXED = {
    "act_fn": _SILU,
    "mid_block_add_attention": choice(True),
    "use_post_quant_conv": choice(True),
    "use_quant_conv": choice(True),
}
# Settings without an effect on what is computed here.
_UNET_IGNORED = (
    "addition_embed_type_num_heads", "dropout", "upcast_attention")
_VAE_IGNORED = ("force_upcast",)
_MODELS = "Stable Diffusion 1.x and 2.x"
_MID_BLOCKS = ("UNetMidBlock2DCrossAttn", "UNetMidBlock3DCrossAttn")


def read_unet(values: Mapping[str, Any], source: str) -> UNetConfig:
  """Reads a `UNet2DConditionModel` (or the authors' `UNet3D...`) config.

  Raises:
    InputError: If it asks for something that the network does not implement,
      or a value is none of the kind that its key has.
  """
  foreign.refuse_unet(values, source)
  read = Reader(values, source)
  channels = tuple(
      read.get("block_out_channels", _WIDTHS, UNetConfig.channels))
  levels = len(channels)
  down = _attends(read, "down_block_types", "DownBlock", levels)
  up = _attends(read, "up_block_types", "UpBlock", levels)
  read.get("mid_block_type", choice(*_MID_BLOCKS), None)
  # SD 1 calls the number of heads attention_head_dim; diffusers kept that.
  heads = _each_level(read, "attention_head_dim", SIZE, 8, levels)
  heads = _each_level(read, "num_attention_heads", SIZE, heads, levels)
  for width, n in zip(channels, heads, strict=True):
    read.check(
        "attention_head_dim", n, width % n == 0, f"heads that divide {width}")
  config = UNetConfig(
      in_channels=read.get("in_channels", SIZE, 4),
      out_channels=read.get("out_channels", SIZE, 4),
      channels=channels,
      layers=_each_level(read, "layers_per_block", _LAYERS, 2, levels),
      heads=heads,
      down_attention=down,
      up_attention=up,
      text_width=_text_width(read, levels),
      groups=_groups(read, channels),
      norm_eps=read.get("norm_eps", EPSILON, 1e-5),
      linear_projection=read.get("use_linear_projection", FLAG, False),
      flip_sin_to_cos=read.get("flip_sin_to_cos", FLAG, True),
      freq_shift=float(read.get("freq_shift", number(0, 1), 0)),
      **{name: read.get(name, choice(*known), getattr(UNetConfig, name))
         for name, known in VARIANTS.items()},
      scalars=tuple(read.get("scalars", listed(TEXT, 0, 8), ())),
      sample_size=_sample_size(read),
  )
  read.check(
      "block_out_channels", channels[0], channels[0] % 2 == 0,
      "an even width first")
  read.fixed(_UNET_FIXED)
  read.finish(_UNET_IGNORED, _MODELS)
  return config


def _each_level(read: Reader, key: str, kind, default, levels: int) -> tuple:
  """A setting of each level, which may be given once for all."""
  value = read.get(key, either(kind, listed(kind, levels, levels)), default)
  return tuple(value) if isinstance(value, list | tuple) else (value,) * levels


def _text_width(read: Reader, levels: int) -> int | None:
  key = "cross_attention_dim"
  value = read.nullable(
      key, either(SIZE, listed(SIZE, levels, levels)), 1280)
  widths = value if isinstance(value, list | tuple) else [value]
  read.check(key, value, len(set(widths)) == 1, "the same for every level")
  return widths[0]


def _groups(read: Reader, channels: tuple[int, ...]) -> int:
  groups = read.nullable("norm_num_groups", SIZE, 32)
  read.check(
      "norm_num_groups", groups,
      groups is not None and all(width % groups == 0 for width in channels),
      f"groups that divide {', '.join(map(str, channels))}")
  return groups


def _sample_size(read: Reader) -> int | None:
  size = read.get("sample_size", either(SIZE, listed(SIZE, 2, 2)), None)
  return size if isinstance(size, int) else None


def _attends(read: Reader, key: str, kind: str, levels: int) -> tuple:
  default = [f"CrossAttn{kind}2D"] * levels
  default[-1 if kind == "DownBlock" else 0] = f"{kind}2D"
  known = {
      f"{attends}{kind}{n}D": bool(attends)
      for n in (2, 3) for attends in ("", "CrossAttn")}
  types = read.get(key, listed(choice(*known), levels, levels), default)
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
      name: getattr(config, name) for name in (*VARIANTS, "scalars")
      if getattr(config, name) != getattr(UNetConfig, name)}


def read_vae(values: Mapping[str, Any], source: str) -> VAEConfig:
  """Reads an `AutoencoderKL` config; raises as `read_unet`."""
  foreign.refuse_vae(values, source)
  read = Reader(values, source)
  channels = tuple(read.get("block_out_channels", _WIDTHS, (64,)))
  for key, kind in (("down_block_types", "DownEncoderBlock2D"),
                    ("up_block_types", "UpDecoderBlock2D")):
    read.get(key, listed(choice(kind), len(channels), len(channels)), None)
  config = VAEConfig(
      in_channels=read.get("in_channels", SIZE, 3),
      out_channels=read.get("out_channels", SIZE, 3),
      latent_channels=read.get("latent_channels", SIZE, 4),
      channels=channels,
      layers=read.get("layers_per_block", _LAYERS, 1),
      groups=_groups(read, channels),
      scaling_factor=float(
          read.get("scaling_factor", number(1e-3, 1e3), 0.18215)),
      sample_size=_sample_size(read),
  )
  read.fixed(_VAE_FIXED)
  read.finish(_VAE_IGNORED, _MODELS)
  return config


def read_text_encoder(values: Mapping[str, Any], source: str) -> CLIPTextConfig:
  """Reads a `CLIPTextModel` config; raises as `read_unet`."""
  read = Reader(values, source)
  read.fixed({"model_type": choice("clip_text_model")})
  return clip_config.read_text_tower(read)
