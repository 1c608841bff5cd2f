"""The authors' config files, YAML of github.com/showlab/Tune-A-Video.

Also those of LOVEU-TGVE-2023 (github.com/showlab/loveu-tgve-2023). What a file
leaves out has the default of their `train_tuneavideo.py` and its dataset.
"""

from collections.abc import Mapping
import dataclasses
import difflib
import pathlib
from typing import Any

from ml_collections import ConfigDict
import yaml

from tav_jax.data import texts
from tav_jax.errors import InputError
from tav_jax.runs.settings import Settings, typed
from tav_jax.runs.workdir import flatten

_EXPECTED = "a config file of Tune-A-Video"
_MOST = 1 << 18  # Bytes of a file.
_REQUIRED = (
    "pretrained_model_path", "train_data.video_path", "train_data.prompt",
    "validation_data.prompts")
_DEFAULTS = {  # Where theirs are not ours.
    "video.frames": 8, "video.stride": 1, "sampling.guidance": 7.5,
    "sampling.start": "random", "run.checkpoint_every": 500,
    "run.sample_every": 100}
_OURS = {
    "pretrained_model_path": "model.checkpoint",
    "train_data.video_path": "video.path",
    "train_data.prompt": "video.caption",
    "train_data.n_sample_frames": "video.frames",
    "train_data.num_frames": "video.frames",
    "train_data.sample_start_idx": "video.start",
    "train_data.sample_frame_rate": "video.stride",
    "train_data.width": "video.width",
    "train_data.height": "video.height",
    "validation_data.negative_prompt": "sampling.negative_prompt",
    "validation_data.num_inference_steps": "sampling.steps",
    "validation_data.guidance_scale": "sampling.guidance",
    "learning_rate": "optimizer.learning_rate",
    "lr_scheduler": "optimizer.schedule",
    "lr_warmup_steps": "optimizer.warmup_steps",
    "adam_beta1": "optimizer.b1",
    "adam_beta2": "optimizer.b2",
    "adam_epsilon": "optimizer.eps",
    "adam_weight_decay": "optimizer.weight_decay",
    "max_grad_norm": "optimizer.clip_norm",
    "gradient_accumulation_steps": "optimizer.accumulate",
    "max_train_steps": "optimizer.steps",
    "checkpointing_steps": "run.checkpoint_every",
    "validation_steps": "run.sample_every",
    "gradient_checkpointing": "model.remat",
    "seed": "seed",
}
_SAME = {  # Keys of sampling that say again what others say.
    "validation_data.video_length": "video.frames",
    "validation_data.width": "video.width",
    "validation_data.height": "video.height",
    "validation_data.num_inv_steps": "sampling.steps",
}
_DTYPES = {"bf16": "bfloat16", "no": "float32", False: "float32",
           None: "float32"}
_LEFT = {  # Not honoured: the value that would change nothing, and why not.
    "output_dir": (None, "--workdir says it"),
    "mixed_precision": (None, "model.dtype=auto chooses the type"),
    "enable_xformers_memory_efficient_attention": (
        False, "model.attention chooses the kernel"),
    "use_8bit_adam": (False, "the moments are float32"),
    "train_batch_size": (1, "a video is a batch of one"),
    "resume_from_checkpoint": (None, "the same command resumes"),
    "train_data.frame_rate": (1, "all frames in turn, as there"),
    "train_data.ext": (None, "pictures of any kind are frames"),
}


class _Loader(yaml.SafeLoader):
  """Reads no alias, which can grow without end, and each key once."""

  def compose_node(self, parent, index):
    if self.check_event(yaml.AliasEvent):
      raise yaml.MarkedYAMLError(
          problem="an alias (*)", problem_mark=self.peek_event().start_mark)
    return super().compose_node(parent, index)

  def construct_mapping(self, node, deep=False):
    keys = set()
    for key, _ in node.value:
      if (name := str(key.value)) in keys:
        raise yaml.MarkedYAMLError(
            problem=f"{name!r} is there twice", problem_mark=key.start_mark)
      keys.add(name)
    return super().construct_mapping(node, deep)


def read(path: pathlib.Path) -> tuple[ConfigDict, str]:
  """A config as of `configs/default.py`, and the keys not honoured, as text.

  Paths in it are relative to the working directory, as for the authors' script.

  Raises:
    InputError: If it cannot be read, or has a key that is not known or asks
      for what is not done here.
  """
  theirs = dict(flatten(_load(path)))
  prompts = _prompts(path, theirs)
  config = ConfigDict(dataclasses.asdict(Settings()))
  config.update_from_flattened_dict(_DEFAULTS)
  kinds = {key: type(value) for key, value in flatten(config.to_dict())}
  for key in _REQUIRED[:-1]:
    if not theirs.get(key):
      raise InputError(f"{path}: no {key}; expected {_EXPECTED}")
  left = []
  for key, value in theirs.items():
    if isinstance(value, str) and "${" in value:
      raise InputError(
          f"{path}: {key}={value!r}: expected a value, not a reference to one")
    if key in _OURS or key in _SAME:
      ours = (_OURS | _SAME)[key]
      value = typed(kinds[ours], f"{path}: {key}", value)
    if key in _OURS:
      config.update_from_flattened_dict({_OURS[key]: value})
    elif key == "validation_data.use_inv_latent":
      config.sampling.start = "inversion" if typed(
          bool, f"{path}: {key}", value) else "random"
    elif key == "trainable_modules":
      config.model.trainable = _modules(path, value)
    elif key == "mixed_precision" and (
        value is None or isinstance(value, str | bool)) and value in _DTYPES:
      config.model.dtype = _DTYPES[value]
    elif key in _LEFT:
      if value != _LEFT[key][0]:
        left.append(f"{key}={value} ({_LEFT[key][1]})")
    elif key not in _SAME and (key, value) != ("scale_lr", False):
      near = difflib.get_close_matches(
          key, [*_OURS, *_SAME, *_LEFT, "trainable_modules"], 1, 0)[0]
      raise InputError(
          f"{path}: {key}={value!r} is not known here; leave it out, or the "
          f"nearest known key is {near}")
  config.sampling.prompts = prompts
  _check_same(path, theirs, dict(flatten(config.to_dict())))
  return config.lock(), ", ".join(left)


def _load(path: pathlib.Path) -> Mapping[str, Any]:
  try:
    found = yaml.load(texts.read(path, _EXPECTED, _MOST), _Loader)
  except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
    if isinstance(error, InputError):
      raise
    mark = getattr(error, "problem_mark", None)
    why = getattr(error, "problem", None) or type(error).__name__
    raise InputError(
        f"{path}{f' line {mark.line + 1}' if mark else ''}: it cannot be read "
        f"as YAML ({why}); expected {_EXPECTED}") from error
  if not (isinstance(found, dict) and all(isinstance(k, str) for k in found)):
    raise InputError(f"{path}: it has no keys and values; expected {_EXPECTED}")
  return found


def _prompts(path: pathlib.Path, theirs: dict[str, Any]) -> tuple[str, ...]:
  """Takes the prompts, a text, a list or an object, out of `theirs`."""
  key = "validation_data.prompts"
  found = [
      value for name in list(theirs)
      if name == key or name.startswith(key + ".")
      for value in [theirs.pop(name)]]
  if len(found) == 1 and isinstance(found[0], list):
    found = found[0]
  if not found or not all(isinstance(x, str) and x.strip() for x in found):
    raise InputError(
        f"{path}: {key}={found!r}: expected texts; put one with marks of YAML "
        "into quotes")
  return tuple(found)


def _modules(path: pathlib.Path, value: Any) -> tuple[str, ...]:
  """Patterns of parameters: `attn1.to_q` there is `attn1/to_q` here."""
  if not isinstance(value, list) or not all(isinstance(x, str) for x in value):
    raise InputError(
        f"{path}: trainable_modules={value!r}: expected a list such as "
        "['attn1.to_q', 'attn_temp']")
  return tuple(module.replace(".", "/") for module in value)


def _check_same(
    path: pathlib.Path, theirs: Mapping[str, Any], ours: Mapping[str, Any]
) -> None:
  for key, name in _SAME.items():
    if key == "validation_data.num_inv_steps" and (
        ours["sampling.start"] != "inversion"):
      continue
    if key in theirs and typed(int, key, theirs[key]) != ours[name]:
      raise InputError(
          f"{path}: {key}={theirs[key]}: expected {ours[name]}, as {name} is; "
          "a video is rendered as it was tuned and inverted")
