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
"""Directory of compiled programs, unless JAX_COMPILATION_CACHE_DIR is set."""

# On CPU. Without the first flag XLA removes the barriers of `remat`, finds that
# the same values are computed twice, and keeps them instead; without the second
# it orders operations for parallelism rather than memory. The third computes
# convolutions, products and sums with YNNPACK's kernels. bench/memory.py and
# bench/peer show what the flags are worth.
CPU_FLAGS = (
    "--xla_disable_hlo_passes=cse_barrier_expander "
    "--xla_cpu_enable_concurrency_optimized_scheduler=false "
    "--xla_cpu_experimental_ynn_fusion_type=dot,reduce")
_FLAGS_OF = (0, 10)  # The JAX of these flags; XLA aborts on unknown ones.


def set_up() -> None:
  """Sets up logging and XLA for an entry point; call it before JAX is used."""
  _set_up_logging()
  if on_cpu():
    _set_up_cpu()
    # XLA for TPU, if installed for plans, would abort on these flags.
    jax.config.update("jax_platforms", "cpu")
  if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    jax.config.update("jax_compilation_cache_dir", str(CACHE))
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)


def be_quiet() -> None:
  """Silences progress and messages, which another process of the run shows."""
  log.setLevel(logging.ERROR)
  tqdm.tqdm.__init__ = functools.partialmethod(
      tqdm.tqdm.__init__, disable=True)


class _Handler(logging.StreamHandler):
  """Writes above progress bars, and raises where nothing can be written.

  logging's own would go on without a word, as where `head` has closed a pipe.
  """

  def emit(self, record: logging.LogRecord) -> None:
    tqdm.tqdm.write(self.format(record), file=self.stream)


class _Formatter(logging.Formatter):
  """Puts "warning: " before warnings."""

  def format(self, record: logging.LogRecord) -> str:
    mark = "warning: " if record.levelno >= logging.WARNING else ""
    return mark + super().format(record)


def _set_up_logging() -> None:
  absl_logging.set_verbosity(absl_logging.WARNING)  # orbax tells all at INFO.
  # Errors of orbax's threads, which it logs with a traceback and then raises.
  absl_logging.get_absl_logger().addFilter(
      lambda record: "_SignalingThread" not in str(record.msg))
  handler = _Handler(sys.stderr)
  handler.setFormatter(_Formatter())
  log.setLevel(logging.INFO)
  log.addHandler(handler)
  log.propagate = False


def _set_up_cpu() -> None:
  """Sets XLA's flags, which it reads when JAX starts."""
  if "XLA_FLAGS" in os.environ:
    return
  if jax.__version_info__[:2] == _FLAGS_OF:
    os.environ["XLA_FLAGS"] = CPU_FLAGS
  else:
    log.warning(
        "JAX %s: slower and larger on CPU than JAX %d.%d, whose flags for XLA "
        "it may not know", jax.__version__, *_FLAGS_OF)


def on_cpu() -> bool:
  """Whether JAX will run on CPU, as far as can be told before it starts."""
  platforms = jax.config.jax_platforms  # type: ignore[attr-defined]
  if platforms:
    return platforms == "cpu"
  return not _has_tpu() and not importlib.util.find_spec("jax_plugins")


def _has_tpu() -> bool:
  """Whether the system shows the device files that libtpu opens."""
  return any(
      glob.glob(files) for files in ("/dev/accel[0-9]*", "/dev/vfio/[0-9]*"))
