"""transformers' config files of a CLIP <-> this project's."""

from collections.abc import Mapping
import dataclasses
from typing import Any

import transformers

from tav_jax.models.clip import CLIPConfig
from tav_jax.pretrained.reader import Reader

_MODELS = "CLIP models"
# transformers' bookkeeping, and its settings for training from scratch.
_IGNORED = frozenset(transformers.PretrainedConfig().to_dict()) | {
    "attention_dropout", "dropout", "gradient_checkpointing",
    "initializer_factor", "initializer_range", "logit_scale_init_value",
    "torch_dtype"}
# The model's own projection_dim counts, not those of its towers.
_IGNORED_IN_TOWERS = _IGNORED | {"projection_dim"}


@dataclasses.dataclass(frozen=True)
class Preprocessing:
  """How a checkpoint wants its images prepared (`preprocessor_config.json`).

  An image's short edge is resized to `resize` pixels, the middle `crop` pixels
  are cut out, and pixels in [0, 1] become `(pixels - mean) / std`.

  Attributes:
    resize: Short edge after resizing.
    crop: Height and width of the cut.
    mean: Mean of each channel.
    std: Standard deviation of each channel.
    resample: Pillow's number of the interpolation; 3 is bicubic.
  """

  resize: int = 224
  crop: int = 224
  mean: tuple[float, ...] = (0.48145466, 0.4578275, 0.40821073)
  std: tuple[float, ...] = (0.26862954, 0.26130258, 0.27577711)
  resample: int = 3


# Our fields under transformers' keys.
_TOWER = {
    "hidden_size": "width",
    "intermediate_size": "mlp_width",
    "num_hidden_layers": "layers",
    "num_attention_heads": "heads",
    "hidden_act": "activation",
    "layer_norm_eps": "norm_eps",
}
_TEXT = _TOWER | {
    "vocab_size": "vocab_size", "max_position_embeddings": "positions"}
_VISION = _TOWER | {
    "image_size": "image_size", "patch_size": "patch_size",
    "num_channels": "channels"}


def read_clip(values: Mapping[str, Any], source: str) -> CLIPConfig:
  """Reads a `CLIPModel` config.

  Raises:
    InputError: If it asks for something that the towers do not implement.
  """
  read, default = Reader(values, source), CLIPConfig()
  read.fixed({"model_type": "clip"})
  text, vision = (_tower(read, source, name) for name in ("text", "vision"))
  config = CLIPConfig(
      text=_read(text, default.text, _TEXT),
      vision=_read(vision, default.vision, _VISION),
      embed_width=read.get("projection_dim", default.embed_width),
      eos_token=text.get("eos_token_id", default.eos_token))
  for reader, ignored in (
      (read, _IGNORED), (text, _IGNORED_IN_TOWERS),
      (vision, _IGNORED_IN_TOWERS)):
    reader.finish(ignored, _MODELS)
  return config


def _tower(read: Reader, source: str, name: str) -> Reader:
  # Old files describe a tower twice; transformers reads the second alone.
  said = read.get(f"{name}_config", {})
  return Reader(
      read.get(f"{name}_config_dict", said), f"{source}: {name}_config")


def _read(read: Reader, default, keys: Mapping[str, str]):
  tower = dataclasses.replace(default, **{
      field: read.get(key, getattr(default, field))
      for key, field in keys.items()})
  read.check(
      "hidden_act", tower.activation in ("quick_gelu", "gelu"),
      "quick_gelu or gelu")
  read.check(
      "num_attention_heads",
      tower.heads > 0 and tower.width % tower.heads == 0,
      f"a number that divides {tower.width}")
  return tower


def write_clip(config: CLIPConfig, dtype: str) -> dict[str, Any]:
  """The config of a `CLIPModel` with weights of type `dtype`."""
  tower = lambda tower, keys, kind: {
      key: getattr(tower, field) for key, field in keys.items()} | {
          "model_type": kind, "projection_dim": config.embed_width}
  return {
      "architectures": ["CLIPModel"],
      "logit_scale_init_value": 2.6592,
      "model_type": "clip",
      "projection_dim": config.embed_width,
      "text_config": tower(config.text, _TEXT, "clip_text_model") | {
          "eos_token_id": config.eos_token},
      "torch_dtype": dtype,
      "vision_config": tower(config.vision, _VISION, "clip_vision_model"),
  }


# Settings that every Preprocessing implies, and settings without an effect.
_FIXED = {
    "do_center_crop": True,
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "rescale_factor": 1 / 255,
}
_UNREAD = (
    "data_format", "feature_extractor_type", "image_processor_type",
    "input_data_format", "processor_class")


def read_preprocessing(values: Mapping[str, Any], source: str) -> Preprocessing:
  """Reads a `CLIPImageProcessor` config; raises as `read_clip`."""
  read, default = Reader(values, source), Preprocessing()
  # Old files give plain numbers.
  size = read.get("size", default.resize)
  crop = read.get("crop_size", default.crop)
  if isinstance(size, Mapping):
    read.check("size", set(size) == {"shortest_edge"}, "shortest_edge alone")
    size = size["shortest_edge"]
  if isinstance(crop, Mapping):
    read.check(
        "crop_size", crop.get("height") == crop.get("width") is not None,
        "equal height and width")
    crop = crop["height"]
  preprocessing = Preprocessing(
      resize=size,
      crop=crop,
      mean=tuple(read.get("image_mean", default.mean)),
      std=tuple(read.get("image_std", default.std)),
      resample=read.get("resample", default.resample))
  read.fixed(_FIXED)
  read.finish(_UNREAD, _MODELS)
  return preprocessing


def write_preprocessing(preprocessing: Preprocessing) -> dict[str, Any]:
  """The config of a `CLIPImageProcessor`."""
  crop = preprocessing.crop
  return _FIXED | {
      "crop_size": {"height": crop, "width": crop},
      "image_mean": list(preprocessing.mean),
      "image_processor_type": "CLIPImageProcessor",
      "image_std": list(preprocessing.std),
      "resample": preprocessing.resample,
      "size": {"shortest_edge": preprocessing.resize},
  }
