"""What a process sets up before JAX starts: logging, XLA's flags, its cache."""

import functools
import glob
import importlib.util
import logging
import os
import pathlib
import sys

from absl import logging as absl_logging
import jax
import tqdm

log = logging.getLogger("tav_jax")

CACHE = pathlib.Path("~/.cache/tav_jax/xla").expanduser()
"""Compiled programs, unless JAX_COMPILATION_CACHE_DIR says where."""

# On CPU. The last puts convolutions, products and sums into YNNPACK's kernels.
# Else XLA removes the barriers of `remat`, finds that the same things are
# computed twice, and keeps them instead; and orders what is left for the sake
# of parallelism, not of memory. bench/memory.py and bench/peer show what they
# are worth.
CPU_FLAGS = (
    "--xla_disable_hlo_passes=cse_barrier_expander "
    "--xla_cpu_enable_concurrency_optimized_scheduler=false "
    "--xla_cpu_experimental_ynn_fusion_type=dot,reduce")
_FLAGS_OF = (0, 10)  # The JAX they were tried with; XLA aborts on unknown ones.


def set_up() -> None:
  """Sets up what every entry point has; call it before JAX is used."""
  _set_up_logging()
  if on_cpu():
    _set_up_cpu()
    # XLA for TPU, installed for plans, would stop at flags it does not know.
    jax.config.update("jax_platforms", "cpu")
  if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    jax.config.update("jax_compilation_cache_dir", str(CACHE))
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)


def be_quiet() -> None:
  """Leaves progress and messages to another process that does the same."""
  log.setLevel(logging.ERROR)
  tqdm.tqdm.__init__ = functools.partialmethod(
      tqdm.tqdm.__init__, disable=True)


class _Formatter(logging.Formatter):
  """Marks warnings."""

  def format(self, record: logging.LogRecord) -> str:
    mark = "warning: " if record.levelno >= logging.WARNING else ""
    return mark + super().format(record)


def _set_up_logging() -> None:
  absl_logging.set_verbosity(absl_logging.WARNING)  # orbax tells all at INFO.
  handler = logging.StreamHandler(sys.stderr)
  handler.setFormatter(_Formatter())
  log.setLevel(logging.INFO)
  log.addHandler(handler)
  log.propagate = False


def _set_up_cpu() -> None:
  """Flags for XLA, which it has not read yet."""
  if "XLA_FLAGS" in os.environ:
    return
  if jax.__version_info__[:2] == _FLAGS_OF:
    os.environ["XLA_FLAGS"] = CPU_FLAGS
  else:
    log.warning(
        "JAX %s: slower and larger on CPU than JAX %d.%d, whose flags for XLA "
        "it may not know", jax.__version__, *_FLAGS_OF)


def on_cpu() -> bool:
  """Whether JAX will be, as far as one can tell before it looks for devices."""
  platforms = jax.config.jax_platforms  # type: ignore[attr-defined]
  if platforms:
    return platforms == "cpu"
  return not _has_tpu() and not importlib.util.find_spec("jax_plugins")


def _has_tpu() -> bool:
  """Whether the system shows the device files that libtpu opens."""
  return any(
      glob.glob(files) for files in ("/dev/accel[0-9]*", "/dev/vfio/[0-9]*"))
