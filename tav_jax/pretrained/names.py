"""Parameter names: diffusers' PyTorch and Flax files <-> this project's paths.

A path is diffusers' module name with `/` for `.` and with list items joined;
torch's `weight` becomes `kernel`, `scale` or `embedding`, as Flax calls it:

  down_blocks.0.attentions.1.transformer_blocks.0.attn1.to_out.0.weight
  down_blocks_0/attentions_1/transformer_blocks_0/attn1/to_out_0/kernel

Arrays turn with their names: linear layers (out, in) -> (in, out), convolutions
(out, in, h, w) -> (h, w, in, out). Names of older diffusers versions are
rewritten to today's; everything else must match to the letter (`check`). From a
file to where they lie in the end, parameters are flat: one path for each array.
"""

from collections.abc import Callable, Mapping
import re
from typing import Any

from flax import traverse_util
import numpy as np

from tav_jax.errors import InputError
from tav_jax.types import FlatParams, Params

# Modules that are lists in torch.
_LISTS = (
    "down_blocks|up_blocks|resnets|attentions|transformer_blocks|downsamplers|"
    "upsamplers|to_out|net|layers")
_EMBEDDINGS = ("token_embedding", "position_embedding")
# The autoencoder's attention before diffusers 0.17.
_OLD_ATTENTION = {
    "query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out_0"}
_MAX_LISTED = 12


def read_torch_names(arrays: Mapping[str, Any]) -> Params:
  """Nested parameters from arrays under PyTorch diffusers' names.

  Args:
    arrays: `{"conv_in.weight": array, ...}` in torch's layout, under today's
      or older names. A text encoder may have the prefix `text_model.`, which a
      whole CLIP keeps.

  Returns:
    `{"conv_in": {"kernel": array, ...}, ...}` in Flax's layout.
  """
  return unflatten(flat_from_torch(arrays))


def flat_from_torch(arrays: Mapping[str, Any]) -> FlatParams:
  """Like `read_torch_names`, `{"conv_in/kernel": array, ...}`."""
  flat = {}
  for name, array in arrays.items():
    if name.endswith("embeddings.position_ids"):
      continue  # A buffer that counts 0, 1, 2, ...
    array = np.asarray(array)
    path, _, leaf = _modern(name.replace(".", "/")).rpartition("/")
    if leaf == "weight":
      leaf, array = _from_torch_weight(path, array)
    flat[f"{path}/{leaf}".lstrip("/")] = array
  return _without_prefix(flat)


def write_torch_names(params: Params) -> dict[str, np.ndarray]:
  """The inverse of `read_torch_names`, with today's names."""
  arrays = {}
  for path, array in flatten(params).items():
    array = np.asarray(array)
    *modules, leaf = path.split("/")
    if leaf == "kernel":
      array = array.transpose(_TO_TORCH[array.ndim])
    if leaf in ("kernel", "scale", "embedding"):
      leaf = "weight"
    name = re.sub(rf"\b({_LISTS})_(\d+)", r"\1.\2", ".".join(modules))
    # `ascontiguousarray` alone would give scalars an axis.
    arrays[f"{name}.{leaf}".lstrip(".")] = np.ascontiguousarray(
        array).reshape(array.shape)
  return arrays


def flat_from_flax(tree: Params) -> FlatParams:
  """Flat parameters from a Flax checkpoint of diffusers or transformers."""
  return _without_prefix({
      _modern(path): np.asarray(array) for path, array in flatten(tree).items()
      if not path.endswith("embeddings/position_ids")})


def check(expected: FlatParams, loaded: FlatParams, source: str) -> None:
  """Checks that parameters have exactly the expected paths and shapes.

  Args:
    expected: Flat arrays or `jax.ShapeDtypeStruct`s.
    loaded: Flat arrays.
    source: Where they were read from, for the error message.

  Raises:
    InputError: If they differ. It lists the paths: `-` missing, `+` not known,
      `~` of another shape.
  """
  lines = [f"- {p} {x.shape}" for p, x in expected.items() if p not in loaded]
  lines += [f"+ {p} {x.shape}" for p, x in loaded.items() if p not in expected]
  lines += [
      f"~ {p} {x.shape}, expected {expected[p].shape}"
      for p, x in loaded.items()
      if p in expected and x.shape != expected[p].shape]
  if lines:
    more = len(lines) - _MAX_LISTED
    listed = lines[:_MAX_LISTED] + ([f"... {more} more"] if more > 0 else [])
    raise InputError(
        f"{source}: the weights are not those of the network that its config "
        "describes (- missing, + not known, ~ other shape); check that config "
        "and weights belong together:\n  " + "\n  ".join(listed))


def _modern(path: str) -> str:
  """A parameter's path in today's names."""
  path = re.sub(rf"\b({_LISTS})/(\d+)", r"\1_\2", path)
  return re.sub(
      rf"(mid_block/attentions_0)/({'|'.join(_OLD_ATTENTION)})/",
      lambda match: f"{match[1]}/{_OLD_ATTENTION[match[2]]}/", path)


def _without_prefix(flat: FlatParams) -> FlatParams:
  """A text encoder alone loses its prefix; a whole CLIP's keeps it."""
  if any(path.startswith("vision_model/") for path in flat):
    return flat
  return {k.removeprefix("text_model/"): v for k, v in flat.items()}


_TO_TORCH = {2: (1, 0), 3: (2, 1, 0), 4: (3, 2, 0, 1)}
_FROM_TORCH = {2: (1, 0), 3: (2, 1, 0), 4: (2, 3, 1, 0)}


def _from_torch_weight(path: str, array: np.ndarray):
  """Flax's name and layout of a torch `weight`."""
  if path.rsplit("/", 1)[-1] in _EMBEDDINGS:
    return "embedding", array
  if array.ndim == 1:
    return "scale", array
  if "mid_block/attentions_0/to_" in path and array.ndim == 4:
    array = array[:, :, 0, 0]  # The autoencoder's were 1x1 convolutions once.
  return "kernel", array.transpose(_FROM_TORCH.get(array.ndim))


def flatten(params: Params) -> FlatParams:
  """Nested parameters as flat ones: a path `a/b/c` for each leaf."""
  return traverse_util.flatten_dict(params, sep="/")


def unflatten(flat: FlatParams) -> Params:
  """The nested dict that `flatten` came from."""
  return traverse_util.unflatten_dict(flat, sep="/")


def nest(flat: FlatParams, convert: Callable[[str, Any], Any]) -> Params:
  """Nested parameters from flat ones, converted one by one.

  Args:
    flat: The parameters; empty afterwards, so that there are never two copies
      of more than one.
    convert: Gives a parameter its type and place: `(path, array) -> array`.
  """
  return unflatten({
      path: convert(path, flat.pop(path)) for path in list(flat)})
