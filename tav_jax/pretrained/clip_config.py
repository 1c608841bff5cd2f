"""transformers' config files of a CLIP <-> this project's."""

from collections.abc import Mapping
import dataclasses
from typing import Any

from tav_jax.models.clip import CLIPConfig, CLIPTextConfig
from tav_jax.pretrained.reader import (
  choice,
  EPSILON,
  integer,
  Kind,
  listed,
  number,
  OBJECT,
  Reader,
  SIZE,
)

_MODELS = "CLIP models"
# transformers' bookkeeping (4.57's and 5's `PretrainedConfig().to_dict()`),
_IGNORED = frozenset((
    "add_cross_attention", "architectures", "bad_words_ids",
    "begin_suppress_tokens", "bos_token_id", "chunk_size_feed_forward",
    "cross_attention_hidden_size", "decoder_start_token_id",
    "diversity_penalty", "do_sample", "dtype", "early_stopping",
    "encoder_no_repeat_ngram_size", "eos_token_id",
    "exponential_decay_length_penalty", "finetuning_task",
    "forced_bos_token_id", "forced_eos_token_id", "id2label", "is_decoder",
    "is_encoder_decoder", "label2id", "length_penalty", "max_length",
    "min_length", "model_type", "no_repeat_ngram_size", "num_beam_groups",
    "num_beams", "num_return_sequences", "output_attentions",
    "output_hidden_states", "output_scores", "pad_token_id", "prefix",
    "problem_type", "pruned_heads", "remove_invalid_values",
    "repetition_penalty", "return_dict", "return_dict_in_generate",
    "sep_token_id", "suppress_tokens", "task_specific_params", "temperature",
    "tf_legacy_loss", "tie_encoder_decoder", "tie_word_embeddings",
    "tokenizer_class", "top_k", "top_p", "torchscript", "transformers_version",
    "typical_p", "use_bfloat16",
    # and its settings for training from scratch.
    "attention_dropout", "dropout", "gradient_checkpointing",
    "initializer_factor", "initializer_range", "logit_scale_init_value",
    "torch_dtype"))
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
    "hidden_size": ("width", SIZE),
    "intermediate_size": ("mlp_width", integer(1, 4 * 16384)),
    "num_hidden_layers": ("layers", integer(1, 64)),
    "num_attention_heads": ("heads", SIZE),
    "hidden_act": ("activation", choice("quick_gelu", "gelu")),
    "layer_norm_eps": ("norm_eps", EPSILON),
}
_TEXT = _TOWER | {
    "vocab_size": ("vocab_size", integer(1, 1_000_000)),
    "max_position_embeddings": ("positions", integer(2, 4096))}
_VISION = _TOWER | {
    "image_size": ("image_size", SIZE), "patch_size": ("patch_size", SIZE),
    "num_channels": ("channels", choice(3))}
_TOKEN = integer(0, 1_000_000)


def read_clip(values: Mapping[str, Any], source: str) -> CLIPConfig:
  """Reads a `CLIPModel` config.

  Raises:
    InputError: If it asks for something that the towers do not implement, or a
      value is none of the kind that its key has.
  """
  read, default = Reader(values, source), CLIPConfig()
  read.fixed({"model_type": choice("clip")})
  text, vision = (_tower(read, source, name) for name in ("text", "vision"))
  eos_token = text.get("eos_token_id", _TOKEN, default.eos_token)
  image = _read(vision, default.vision, _VISION)
  vision.check(
      "patch_size", image.patch_size, image.patch_size <= image.image_size,
      f"{image.image_size}, the image_size, at most")
  config = CLIPConfig(
      text=_read(text, default.text, _TEXT), vision=image,
      embed_width=read.get("projection_dim", SIZE, default.embed_width),
      eos_token=eos_token)
  read.finish(_IGNORED, _MODELS)
  return config


def read_text_tower(read: Reader) -> CLIPTextConfig:
  """Reads the config of a text tower alone, which a `CLIPTextModel` has."""
  return _read(read, CLIPTextConfig(width=512, mlp_width=2048, heads=8), _TEXT)


def _tower(read: Reader, source: str, name: str) -> Reader:
  # Old files describe a tower twice; transformers reads the second alone.
  said = read.get(f"{name}_config", OBJECT, {})
  return Reader(
      read.get(f"{name}_config_dict", OBJECT, said),
      f"{source}: {name}_config")


def _read(read: Reader, default, keys: Mapping):
  tower = dataclasses.replace(default, **{
      field: read.get(key, kind, getattr(default, field))
      for key, (field, kind) in keys.items()})
  read.check(
      "num_attention_heads", tower.heads, tower.width % tower.heads == 0,
      f"a number that divides {tower.width}")
  read.finish(_IGNORED_IN_TOWERS, _MODELS)
  return tower


def write_clip(config: CLIPConfig, dtype: str) -> dict[str, Any]:
  """The config of a `CLIPModel` with weights of type `dtype`."""
  tower = lambda tower, keys, kind: {
      key: getattr(tower, field) for key, (field, _) in keys.items()} | {
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
    "data_format", "device", "feature_extractor_type", "image_processor_type",
    "input_data_format", "processor_class", "return_tensors")
_SHORT_EDGE = Kind(
    "a number of pixels, or {'shortest_edge': pixels}",
    lambda x: SIZE.accepts(_side(x, ("shortest_edge",))))
_SQUARE = Kind(
    "a number of pixels, or equal height and width",
    lambda x: SIZE.accepts(_side(x, ("height", "width"))))


def _side(value: Any, sides: tuple[str, ...]) -> Any:
  """The one number of pixels that a setting says; None, if it does not."""
  if not isinstance(value, Mapping):
    return value  # Old files give plain numbers.
  same = set(value) == set(sides) and all(
      value[side] == value[sides[0]] for side in sides)
  return value[sides[0]] if same else None


def read_preprocessing(values: Mapping[str, Any], source: str) -> Preprocessing:
  """Reads a `CLIPImageProcessor` config; raises as `read_clip`."""
  read, default = Reader(values, source), Preprocessing()
  size = _side(
      read.get("size", _SHORT_EDGE, default.resize), ("shortest_edge",))
  crop = _side(
      read.get("crop_size", _SQUARE, default.crop), ("height", "width"))
  read.check(
      "size", size, crop <= size <= 4 * crop,
      f"{crop}, the crop_size, or up to four times that")
  colours = lambda key, low, default: tuple(map(float, read.get(
      key, listed(number(low, 10), 3, 3), default)))
  preprocessing = Preprocessing(
      resize=size,
      crop=crop,
      mean=colours("image_mean", -10, default.mean),
      std=colours("image_std", 1e-3, default.std),
      resample=read.get("resample", integer(0, 5), default.resample))
  for key, value in _FIXED.items():
    close = number(0.0039215, 0.0039216) if key == "rescale_factor" else None
    read.get(key, close or choice(value), None)
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
