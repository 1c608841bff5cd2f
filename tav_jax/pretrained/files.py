"""Finds a checkpoint's files: on this machine, or on the hub."""

from collections.abc import Callable, Collection
import importlib.resources
import importlib.util
import pathlib

import huggingface_hub
from huggingface_hub import errors as hub_errors

from tav_jax.data import names
from tav_jax.errors import InputError
from tav_jax.pretrained import foreign, weights

STORYBOOK = "storybook"  # Names the embedded checkpoint.
_DIFFUSERS = foreign.NEEDED
_SETTINGS = ("model_index.json", "config.json", "scheduler_config.json")
# What says that there is no network: requests' errors are OSErrors, those of
# httpx (huggingface_hub 1) and httpx2 (2) are not.
_UNREACHABLE = (OSError, *(
    importlib.import_module(name).TransportError
    for name in ("httpx", "httpx2") if importlib.util.find_spec(name)))


def diffusion_files(listed: Collection[str], repo: str) -> list[str]:
  """The files of a diffusers repository to download."""
  foreign.refuse_names({f.split("/")[0] for f in listed}, repo)
  wanted = [f for f in listed
            if f.endswith(_SETTINGS) or f.startswith("tokenizer/")]
  for part in foreign.PARTS:
    wanted += _weight_files(f"{part}/", listed, repo)
  return wanted


def diffusion_configs(listed: Collection[str], repo: str) -> list[str]:
  """The config files of a diffusers repository, without weights."""
  foreign.refuse_names({f.split("/")[0] for f in listed}, repo)
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
  path = names.at_home(path_or_hub_id)
  if path.is_dir():
    return _snapshot(path, revision)
  if path.is_file():
    foreign.refuse_file(path, expected)
  is_hub_id = (path_or_hub_id.count("/") == 1
               and not path_or_hub_id.startswith((".", "/", "~")))
  if not is_hub_id:
    raise InputError(
        f"checkpoint {path_or_hub_id}: no such directory; expected one, a hub "
        f"id such as CompVis/stable-diffusion-v1-4, or {STORYBOOK!r}")
  return _download(path_or_hub_id, revision, choose)


def _download(repo: str, revision: str | None, choose) -> pathlib.Path:
  try:
    info = huggingface_hub.HfApi().model_info(repo, revision=revision)
    listed = [file.rfilename for file in info.siblings or ()]
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
  except _UNREACHABLE as error:  # Or HF_HUB_OFFLINE is set.
    return _cached(repo, revision, error)


def _cached(repo: str, revision: str | None, error: Exception) -> pathlib.Path:
  try:
    # No patterns: the folder as it is, of which only some files were asked for.
    return pathlib.Path(huggingface_hub.snapshot_download(
        repo, revision=revision, local_files_only=True, allow_patterns=[]))
  except hub_errors.LocalEntryNotFoundError:
    raise InputError(
        f"checkpoint {repo} (revision {revision or 'main'}): not in the local "
        "cache, and the hub cannot be reached; connect once, or give a local "
        "directory") from error


def _snapshot(path: pathlib.Path, revision: str | None) -> pathlib.Path:
  """A directory, or the one that a repository in the hub's cache stands for.

  The cache has `models--owner--name/snapshots/COMMIT`, and the commit of a
  branch in `refs/`.
  """
  snapshots = path / "snapshots"
  if not (path.name.startswith("models--") and snapshots.is_dir()):
    return path
  there = sorted(f.name for f in snapshots.iterdir() if f.is_dir())
  name = revision or "main"
  reference = path / "refs" / name
  commit = name
  if reference.is_file():
    commit = reference.read_text(errors="replace").strip()
  if commit not in there and revision is None and len(there) == 1:
    commit = there[0]
  if commit not in there:
    raise InputError(
        f"checkpoint {path}: a repository in the hub's cache without revision "
        f"{name}; expected one of {', '.join(there) or 'none'} in {snapshots}")
  return snapshots / commit


def _weight_files(
    folder: str, listed: Collection[str], repo: str
) -> list[str]:
  """The files of one folder to download: weights, or an index and shards."""
  here = [f.removeprefix(folder) for f in listed if f.startswith(folder)]
  chosen = weights.choose(here, f"{repo}/{folder}".rstrip("/"))
  return [f"{folder}{f}" for f in [chosen, *weights.shards(chosen, here)]]


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
  return weights.read_json(file)
