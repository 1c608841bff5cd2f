"""CLIP checkpoints in transformers' layout: reading and writing."""

import dataclasses
import json
import os
import pathlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import numpy as safetensors

from tav_jax.errors import InputError
from tav_jax.models.clip import CLIP, CLIPConfig
from tav_jax.pretrained import (
  clip_config,
  files,
  foreign,
  load,
  names,
  shapes,
  vocabulary,
)
from tav_jax.pretrained.clip_config import Preprocessing
from tav_jax.pretrained.tokenizer import Tokenizer
from tav_jax.types import Params

_EXPECTED = (
    "a directory of a transformers CLIPModel with config.json, "
    "preprocessor_config.json, weights and the tokenizer's files")


class PretrainedCLIP(NamedTuple):
  """A CLIP with what prepares its inputs.

  Attributes:
    config: Config of both towers.
    params: Parameters of both, arrays of the host.
    tokenizer: CLIP's tokenizer with the checkpoint's words.
    preprocessing: The numbers that images are prepared with.
  """

  config: CLIPConfig
  params: Params
  tokenizer: Tokenizer
  preprocessing: Preprocessing


def load_clip(
    path_or_hub_id: str | os.PathLike,
    *,
    revision: str | None = None,
    dtype: Any = None,
) -> PretrainedCLIP:
  """Loads a CLIP, such as openai/clip-vit-large-patch14.

  Args:
    path_or_hub_id: A directory of a CLIP, or one that holds a CLIP in `clip/`;
      a hub id; or "storybook", the CLIP that comes with the package.
    revision: Branch, tag or commit on the hub.
    dtype: Type of parameters and arithmetic; float32 by default.

  Raises:
    InputError: If the checkpoint cannot be found, read or understood.
  """
  dtype = jnp.dtype(dtype or jnp.float32)
  root = files.locate(
      os.fspath(path_or_hub_id), revision, files.clip_files, _EXPECTED)
  if (root / "clip").is_dir():
    root = root / "clip"
  foreign.refuse_clip_directory(root)
  config = clip_config.read_clip(
      files.read_config(root, expected=_EXPECTED), f"{root}/config.json")
  preprocessing = clip_config.read_preprocessing(
      files.read_config(root, "preprocessor_config.json", _EXPECTED),
      f"{root}/preprocessor_config.json")
  tokenizer = vocabulary.load_tokenizer(root)
  vocabulary.check_text(
      tokenizer, config.text, {"eos_token_id": config.eos_token}, root)
  if config.eos_token >= config.text.vocab_size:
    raise InputError(
        f"{root}/config.json: text_config: eos_token_id is {config.eos_token}, "
        f"no word; expected {tokenizer.eos_token_id}, the tokenizer's")
  size = config.vision.image_size
  if preprocessing.crop != size:
    raise InputError(
        f"{root}/preprocessor_config.json: crop_size is {preprocessing.crop}; "
        f"expected {size}, the image_size of config.json")
  expected = shapes.of(
      CLIP(config),
      jax.ShapeDtypeStruct((1, size, size, config.vision.channels), dtype),
      jax.ShapeDtypeStruct((1, config.text.positions), jnp.int32))
  params = load.load_weights(root, expected, dtype)
  config = dataclasses.replace(
      config,
      text=dataclasses.replace(config.text, dtype=dtype),
      vision=dataclasses.replace(config.vision, dtype=dtype))
  return PretrainedCLIP(config, params, tokenizer, preprocessing)


def export_clip(
    directory: str | os.PathLike,
    config: CLIPConfig,
    params: Params,
    tokenizer: Tokenizer,
    preprocessing: Preprocessing,
    dtype: Any = np.float32,
) -> None:
  """Writes a directory that transformers' `CLIPModel` and `load_clip` load.

  Args:
    directory: Where the files go; made if need be.
    config: Config of both towers.
    params: Parameters of both.
    tokenizer: The tokenizer of its texts.
    preprocessing: The numbers that images are prepared with.
    dtype: Type of the stored weights.
  """
  directory = pathlib.Path(directory)
  directory.mkdir(parents=True, exist_ok=True)
  dtype = np.dtype(dtype)
  for name, values in (
      ("config.json", clip_config.write_clip(config, dtype.name)),
      ("preprocessor_config.json",
       clip_config.write_preprocessing(preprocessing))):
    text = json.dumps(values, indent=2, sort_keys=True)
    (directory / name).write_text(text + "\n")
  tokenizer.save_pretrained(directory)
  arrays = jax.tree.map(lambda x: np.asarray(x).astype(dtype), dict(params))
  safetensors.save_file(
      names.write_torch_names(arrays), directory / "model.safetensors",
      metadata={"format": "pt"})
