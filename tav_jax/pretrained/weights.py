"""Reads the weights of one part of a checkpoint, in whichever file they are.

A directory (`unet/`, `vae/`, `text_encoder/`, a CLIP) holds its weights in one
of `_FORMS`, which are tried in that order. Pickles are never opened.
"""

from collections.abc import Collection, Iterable
import json
import pathlib
from typing import Any

from flax import serialization
import jax.numpy as jnp
import numpy as np
import safetensors

from tav_jax.errors import InputError
from tav_jax.pretrained import foreign, foreign_files, names
from tav_jax.pretrained.reader import shown
from tav_jax.types import FlatParams

_STEMS = (
    "diffusion_pytorch_model", "model", "diffusion_flax_model", "flax_model")
# What people save beside the plain file, or alone.
_VARIANTS = ("", "fp16", "bf16", "fp32", "non_ema", "fp8", "ema")
_FORMS = tuple(
    form.format(stem, f".{variant}" if variant else "")
    for variant in _VARIANTS
    for form in ("{0}{1}.safetensors", "{0}.safetensors.index{1}.json")
    for stem in _STEMS) + tuple(f"{stem}.msgpack" for stem in _STEMS)
_PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".bin.index.json")
_FP8 = {
    "F8_E4M3": jnp.dtype(jnp.float8_e4m3fn),
    "F8_E5M2": jnp.dtype(jnp.float8_e5m2)}
_AGAIN = "copy or download it again"


def choose(files: Collection[str], source: str) -> str:
  """The weight file, or the index of its shards, to read among `files`.

  Raises:
    InputError: If there is none; it says why, if there are only others.
  """
  for form in _FORMS:
    if form in files:
      return form
  pickles = sorted(f for f in files if f.endswith(_PICKLES))
  if pickles and not any(f.startswith("openvino") for f in pickles):
    root, _, part = source.rpartition("/")
    advice = (foreign.CONVERT.format(root) if part in foreign.PARTS
              else foreign.CONVERT_CLIP.format(source))
    raise InputError(
        f"{source}: only pickled weights ({pickles[0]}), which can run any "
        f"code when opened and are never loaded here; {advice}")
  foreign_files.refuse_formats(source, files)
  others = sorted(f for f in files if f.endswith((".safetensors", ".msgpack")))
  there = f" (there is {others[0]})" if others else ""
  raise InputError(
      f"{source}: no weights; expected a file such as {_FORMS[0]} "
      f"there{there}")


def shards(chosen: str, files: Iterable[str]) -> list[str]:
  """The files that belong to a chosen index, by their names."""
  if not chosen.endswith(".json"):
    return []
  stem, _, variant = chosen.removesuffix(".json").partition(
      ".safetensors.index")
  return [f for f in files if f.startswith(f"{stem}{variant}-")]


def read_weights(directory: pathlib.Path) -> FlatParams:
  """The parameters of one part, flat, as stored (float16 stays float16)."""
  here = [f.name for f in directory.iterdir()]
  file = directory / choose(here, str(directory))
  foreign_files.refuse_pointer(file)
  if file.suffix == ".msgpack":
    return names.flat_from_flax(_read_msgpack(file))
  arrays = (_read_index(file) if file.suffix == ".json"
            else read_safetensors([file]))
  foreign_files.refuse_weights(arrays, str(file))
  return names.flat_from_torch(arrays)


def _read_index(file: pathlib.Path) -> dict[str, np.ndarray]:
  """All arrays of the shards that an index names."""
  index = read_json(file).get("weight_map")
  if not isinstance(index, dict) or not index or not all(
      isinstance(shard, str) for shard in index.values()):
    raise InputError(
        f"{file}: weight_map is none; expected an object that has the name of "
        f"a file for each weight; {_AGAIN}")
  here = {other.name for other in file.parent.iterdir()}
  for shard in sorted(set(index.values())):
    if "/" in shard or "\\" in shard:
      raise InputError(
          f"{file}: weight_map names {shown(shard)}; expected files beside it, "
          "without a directory")
    if shard not in here:
      raise InputError(
          f"{file}: weight_map names {shown(shard)}, which is not there; "
          f"{_AGAIN.replace('it', 'that file')}")
  arrays = read_safetensors(
      file.parent / shard for shard in sorted(set(index.values())))
  for name, shard in index.items():
    if name not in arrays:
      raise InputError(
          f"{file}: weight_map says that {shard} has {shown(name)}, which it "
          f"does not; {_AGAIN}")
  return arrays


def read_safetensors(files: Iterable[pathlib.Path]) -> dict[str, np.ndarray]:
  """All arrays of several safetensors files.

  Raises:
    InputError: If a file is missing, cut short, not safetensors, or of numbers
      that are no weights.
  """
  arrays: dict[str, np.ndarray] = {}
  for file in files:
    foreign_files.refuse_pointer(file)
    try:
      with safetensors.safe_open(file, framework="numpy") as opened:
        keys = opened.offset_keys()
        types = {key: opened.get_slice(key).get_dtype() for key in keys}
        if _FP8.keys() & types.values():
          arrays |= _with_fp8(file)
          continue
        for key in keys:
          arrays[key] = opened.get_tensor(key)
    except (OSError, safetensors.SafetensorError) as error:
      raise InputError(
          f"{file}: cannot be read as safetensors ({error}); "
          f"{_AGAIN}") from error
    except (AttributeError, KeyError, TypeError) as error:
      raise InputError(
          f"{file}: {key} is of type {types[key]}; expected floating-point "
          "numbers of 8 bits or more") from error
  return arrays


def _with_fp8(file: pathlib.Path) -> dict[str, np.ndarray]:
  """All arrays of a file that safetensors alone reads without 8-bit floats."""
  kinds = _FP8 | {
      "F16": np.dtype(np.float16), "BF16": jnp.dtype(jnp.bfloat16),
      "F32": np.dtype(np.float32), "F64": np.dtype(np.float64),
      "I64": np.dtype(np.int64)}
  return {
      key: np.frombuffer(x["data"], kinds[x["dtype"]]).reshape(x["shape"])
      for key, x in safetensors.deserialize(file.read_bytes())}


def check_numbers(flat: FlatParams, source: str) -> None:
  """Checks that parameters are finite floating-point numbers.

  Raises:
    InputError: If they are not; it names the first that is not.
  """
  for path, array in flat.items():
    if not jnp.issubdtype(array.dtype, jnp.floating):
      raise InputError(
          f"{source}: {path} is of type {array.dtype}; expected floating-point "
          "numbers; quantized weights cannot be tuned: take the model's fp16 "
          "weights")
    if not _is_finite(array):
      raise InputError(
          f"{source}: {path} has values that are not finite; expected numbers: "
          "the file is damaged, or the training that made it had failed")


def _is_finite(array: np.ndarray) -> bool:
  """Without a second copy of a large array, and without a pass of slow ones."""
  if array.itemsize >= 4:
    with np.errstate(invalid="ignore"):
      return bool(np.isfinite(array.sum(dtype=np.float64)))
  # Without the sign, what is not finite has the largest bits.
  bits = np.dtype(f"u{array.itemsize}")
  limit = np.array(np.inf).astype(array.dtype).view(bits)
  sign = bits.type(1 << (8 * array.itemsize - 1))
  return not array.size or bool((array.view(bits) & ~sign).max() < limit)


def _read_msgpack(file: pathlib.Path) -> dict:
  try:
    tree = serialization.msgpack_restore(file.read_bytes())
    _check_tree(tree)
  except Exception as error:  # Of as many kinds as there are flipped bits.
    reason = str(error).splitlines()[:1]
    raise InputError(
        f"{file}: cannot be read as Flax msgpack "
        f"({type(error).__name__}: {' '.join(reason)}); {_AGAIN}") from error
  return tree


def _check_tree(tree: Any) -> None:
  if not isinstance(tree, dict) or not tree:
    raise ValueError("expected names with arrays below them")
  for name, value in tree.items():
    if not isinstance(name, str):
      raise ValueError(f"{name!r} is no name")
    if not isinstance(value, np.ndarray):
      _check_tree(value)


def read_json(file: pathlib.Path) -> dict:
  """The object in a JSON file.

  Raises:
    InputError: If it cannot be read, or holds something else.
  """
  foreign_files.refuse_pointer(file)
  try:
    values = json.loads(file.read_bytes())
  except (OSError, ValueError, RecursionError) as error:
    raise InputError(f"{file}: not valid JSON ({error})") from error
  if not isinstance(values, dict):
    raise InputError(
        f"{file}: holds a {type(values).__name__}; expected an object {{...}}")
  return values
