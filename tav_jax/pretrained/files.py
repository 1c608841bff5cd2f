"""Finds and reads a checkpoint's files.

A part of a checkpoint (`unet/`, `vae/`, `text_encoder/`) holds its weights in
one of `_FORMS`, which are tried in that order. Pickles are never opened.
"""

from collections.abc import Callable, Collection, Iterable
import importlib.resources
import json
import pathlib

from flax import serialization
import huggingface_hub
from huggingface_hub import errors as hub_errors
import numpy as np
import safetensors

from tav_jax.errors import InputError
from tav_jax.pretrained import names
from tav_jax.types import FlatParams

STORYBOOK = "storybook"  # Names the embedded checkpoint.
PARTS = ("unet", "vae", "text_encoder")
_DIFFUSERS = (
    "a diffusers directory with unet/, vae/, text_encoder/, tokenizer/, "
    "scheduler/")
_SETTINGS = ("model_index.json", "config.json", "scheduler_config.json")
_FORMS = tuple(
    stem + ending
    for ending in (
        ".safetensors", ".safetensors.index.json",
        ".fp16.safetensors", ".safetensors.index.fp16.json",
        ".msgpack")
    for stem in ("diffusion_pytorch_model", "model", "diffusion_flax_model",
                 "flax_model"))
_PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".bin.index.json")
_CONVERT = (
    "convert it once where PyTorch is installed: StableDiffusionPipeline (or "
    "CLIPModel) .from_pretrained(DIR).save_pretrained(NEW_DIR, "
    "safe_serialization=True)")


def diffusion_files(listed: Collection[str], repo: str) -> list[str]:
  """The files of a diffusers repository to download."""
  wanted = [f for f in listed
            if f.endswith(_SETTINGS) or f.startswith("tokenizer/")]
  for part in PARTS:
    wanted += _weight_files(f"{part}/", listed, repo)
  return wanted


def diffusion_configs(listed: Collection[str], repo: str) -> list[str]:
  """The config files of a diffusers repository, without weights."""
  del repo
  return [f for f in listed if f.endswith(_SETTINGS)]


def clip_files(listed: Collection[str], repo: str) -> list[str]:
  """The files of a CLIP's transformers repository to download."""
  settings = [f for f in listed
              if "/" not in f and f.endswith((".json", ".txt"))]
  return settings + _weight_files("", listed, repo)


def locate(
    path_or_hub_id: str,
    revision: str | None = None,
    choose: Callable[[Collection[str], str], list[str]] = diffusion_files,
    expected: str = _DIFFUSERS,
) -> pathlib.Path:
  """The local directory of a checkpoint, downloaded into the cache if need be.

  Args:
    path_or_hub_id: "storybook" (embedded), a directory, or `owner/name`.
    revision: Branch, tag or commit on the hub.
    choose: Picks the files to download from all files and the repository's
      name.
    expected: What the directory should be, for the error message.

  Raises:
    InputError: If there is no such checkpoint, or it cannot be read here.
  """
  if path_or_hub_id == STORYBOOK:
    root = importlib.resources.files("tav_jax") / "storybook/checkpoint"
    return pathlib.Path(str(root))
  path = pathlib.Path(path_or_hub_id).expanduser()
  if path.is_dir():
    return path
  if path.is_file():
    raise InputError(
        f"checkpoint {path}: this is a file; expected {expected}; {_CONVERT}")
  is_hub_id = (path_or_hub_id.count("/") == 1
               and not path_or_hub_id.startswith((".", "/", "~")))
  if not is_hub_id:
    raise InputError(
        f"checkpoint {path_or_hub_id}: no such directory; expected one, a hub "
        f"id such as CompVis/stable-diffusion-v1-4, or {STORYBOOK!r}")
  return _download(path_or_hub_id, revision, choose)


def _download(repo: str, revision: str | None, choose) -> pathlib.Path:
  try:
    listed = huggingface_hub.HfApi().list_repo_files(repo, revision=revision)
    return pathlib.Path(huggingface_hub.snapshot_download(
        repo, revision=revision, allow_patterns=choose(listed, repo)))
  except hub_errors.GatedRepoError as error:
    raise InputError(
        f"checkpoint {repo}: its licence must be accepted on the hub first, "
        "then log in with `hf auth login`") from error
  except (hub_errors.RepositoryNotFoundError, hub_errors.RevisionNotFoundError,
          hub_errors.HFValidationError) as error:
    raise InputError(
        f"checkpoint {repo} (revision {revision or 'main'}): neither a local "
        "directory nor found on the hub; check the spelling, or log in with "
        "`hf auth login` if it is private") from error
  except OSError as error:  # No network, or HF_HUB_OFFLINE is set.
    return _cached(repo, revision, error)


def _cached(repo: str, revision: str | None, error: OSError) -> pathlib.Path:
  try:
    return pathlib.Path(huggingface_hub.snapshot_download(
        repo, revision=revision, local_files_only=True))
  except hub_errors.LocalEntryNotFoundError:
    raise InputError(
        f"checkpoint {repo} (revision {revision or 'main'}): not in the local "
        "cache, and the hub cannot be reached; connect once, or give a local "
        "directory") from error


def _weight_files(
    folder: str, listed: Collection[str], repo: str
) -> list[str]:
  """The files of one folder to download: weights, or an index and shards."""
  here = [f.removeprefix(folder) for f in listed if f.startswith(folder)]
  chosen = choose_weights(here, f"{repo}/{folder}".rstrip("/"))
  shards = []
  if chosen.endswith(".json"):
    stem = chosen.split(".")[0] + (".fp16" if ".fp16." in chosen else "")
    shards = [f for f in here if f.startswith(f"{stem}-")]
  return [f"{folder}{f}" for f in [chosen, *shards]]


def choose_weights(files: Collection[str], source: str) -> str:
  """The weight file, or the index of its shards, to read among `files`.

  Raises:
    InputError: If there is none; it says why, if there are only pickles.
  """
  for form in _FORMS:
    if form in files:
      return form
  pickles = sorted(f for f in files if f.endswith(_PICKLES))
  if pickles:
    raise InputError(
        f"{source}: only pickled weights ({pickles[0]}), which can run any "
        f"code when opened and are never loaded here; {_CONVERT}")
  raise InputError(
      f"{source}: no weights; expected a file such as {_FORMS[0]} there")


def read_config(
    directory: pathlib.Path,
    name: str = "config.json",
    expected: str = _DIFFUSERS,
) -> dict:
  """A JSON config file.

  Raises:
    InputError: If it is missing or not JSON.
  """
  file = directory / name
  if not file.is_file():
    raise InputError(
        f"checkpoint part {directory}: {name} is missing; expected "
        f"{expected}")
  try:
    return json.loads(file.read_text())
  except ValueError as error:
    raise InputError(f"{file}: not valid JSON ({error})") from error


def read_weights(directory: pathlib.Path) -> FlatParams:
  """The parameters of one part, flat, as stored (float16 stays float16)."""
  names_here = [f.name for f in directory.iterdir()]
  file = directory / choose_weights(names_here, str(directory))
  if file.suffix == ".msgpack":
    return names.flat_from_flax(
        serialization.msgpack_restore(file.read_bytes()))
  if file.suffix == ".json":
    index = read_config(directory, file.name)["weight_map"]
    shards = sorted(set(index.values()))
    return names.flat_from_torch(
        read_safetensors(directory / shard for shard in shards))
  return names.flat_from_torch(read_safetensors([file]))


def read_safetensors(files: Iterable[pathlib.Path]) -> dict[str, np.ndarray]:
  """All arrays of several safetensors files.

  Raises:
    InputError: If a file is missing, cut short or not safetensors.
  """
  arrays = {}
  for file in files:
    try:
      with safetensors.safe_open(file, framework="numpy") as opened:
        for key in opened.offset_keys():
          arrays[key] = opened.get_tensor(key)
    except (OSError, safetensors.SafetensorError) as error:
      raise InputError(
          f"{file}: cannot be read as safetensors ({error}); copy or download "
          "it again") from error
  return arrays
