"""Checks every shape annotation of the package while the tests run."""

import gc
import importlib.metadata
import os
import pathlib

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Most of the time goes into compiling programs that run but once, which costs
# most where each is split into 32. The parity tests have the flags of users.
if "--xla_backend_optimization_level" not in os.environ.get("XLA_FLAGS", ""):
  os.environ["XLA_FLAGS"] = (
      os.environ.get("XLA_FLAGS", "") + " --xla_backend_optimization_level=0"
      " --xla_cpu_use_fusion_emitters=false"
      " --xla_cpu_parallel_codegen_split_count=1")

import jaxtyping

jaxtyping.install_import_hook("tav_jax", "beartype.beartype")

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

ROOT = pathlib.Path(__file__).parents[1]
DATA = ROOT / "tests/data"
CACHE = pathlib.Path("~/.cache/tav_jax/tests").expanduser()

# Tests compile the same small programs again and again.
jax.config.update("jax_compilation_cache_dir", str(CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def channels_last(array: np.ndarray) -> np.ndarray:
  """torch's `b c ...` as `b ... c`."""
  return np.moveaxis(array, 1, -1)


# Only the old transformers and diffusers have the Flax models that ours are
# compared with; launch/test.sh has both versions.
_FLAX = importlib.metadata.version("transformers").startswith("4.")
collect_ignore = [] if _FLAX else ["oracle_test.py"]


def pytest_ignore_collect(collection_path):
  """With the old, files that have none of its tests are not even imported."""
  if "TAV_JAX_OLD" in os.environ and collection_path.name.endswith("_test.py"):
    text = collection_path.read_text()
    return ("mark.oracle" not in text and "mark.versions" not in text) or None
  return None


def pytest_collection_modifyitems(config, items):
  """With the newest, all but the oracles; with the old, these and `versions`.
  """
  has = lambda item, *names: any(map(item.get_closest_marker, names))
  dropped = [item for item in items if (
      not has(item, "oracle", "versions") if "TAV_JAX_OLD" in os.environ
      else has(item, "oracle") and not _FLAX)]
  items[:] = [item for item in items if item not in dropped]
  config.hook.pytest_deselected(items=dropped)


def pytest_collection_finish():
  """What was imported stays: it need not be searched for garbage."""
  gc.freeze()
  gc.set_threshold(50_000)


@pytest.fixture(scope="session")
def sd1() -> pathlib.Path:
  """A tiny Stable Diffusion v1 with reference arrays (torch order)."""
  return DATA / "sd1"


@pytest.fixture(scope="session")
def expected(sd1) -> dict[str, np.ndarray]:
  """What the authors' code computes from it."""
  return (load_file(sd1 / "expected.safetensors")
          | load_file(sd1 / "expected_frozen.safetensors"))
