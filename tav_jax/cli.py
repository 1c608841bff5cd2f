"""What all entry points share: flags, one-line errors, the compilation cache.

An entry point is a function `main(config, workdir)` and `cli.run(main)`.
"""

from collections.abc import Callable
import difflib
import functools
import glob
import importlib.util
import logging
import os
import pathlib
import runpy
import sys

from absl import app, flags
from absl import logging as absl_logging
import jax
from ml_collections import config_dict, config_flags
import tqdm

from tav_jax.errors import InputError
from tav_jax.parallel import processes
from tav_jax.runs.workdir import flatten, read_config

_WORKDIR = flags.DEFINE_string(
    "workdir", "", "Directory of the run: checkpoints, samples, metrics.")
_MULTI_HOST = flags.DEFINE_bool(
    "multi_host", False, "This is one of several processes that run the same "
    "command; JAX finds the others, or JAX_COORDINATOR_ADDRESS, "
    "JAX_NUM_PROCESSES and JAX_PROCESS_ID say where they are.")
_CACHE = pathlib.Path("~/.cache/tav_jax/xla").expanduser()
# On CPU. The last puts convolutions, products and sums into YNNPACK's kernels.
# Else XLA removes the barriers of `remat`, finds that the same things are
# computed twice, and keeps them instead; and orders what is left for the sake
# of parallelism, not of memory. bench/memory.py and bench/peer show what they
# are worth.
_CPU_FLAGS = (
    "--xla_disable_hlo_passes=cse_barrier_expander "
    "--xla_cpu_enable_concurrency_optimized_scheduler=false "
    "--xla_cpu_experimental_ynn_fusion_type=dot,reduce")
_FLAGS_OF = (0, 10)  # XLA stops at flags it does not know, as another's may be.


def run(
    main: Callable, *, config_from_workdir: bool = False,
    needs_workdir: bool = True,
) -> None:
  """Parses flags, runs `main(config, workdir)` and exits.

  Args:
    main: The entry point.
    config_from_workdir: Whether `--config` is the workdir's `config.json`
      rather than a config file.
    needs_workdir: Whether it is an error to give none.
  """
  base = _workdir_config if config_from_workdir else _file_config

  def parse(argv: list[str]):
    if any(a in ("--help", "-help", "--helpfull") for a in argv):
      flags.FLAGS(argv)  # Shows the help and exits.
    joined = _join_values(argv)
    if needs_workdir and not _value_of("--workdir=", joined):
      _fail(
          "--workdir= is missing; expected --workdir=DIR, the directory of a "
          "run, such as --workdir=runs/mine")
    return _parse(joined, base(joined))

  app.run(lambda config: _guard(main, config), flags_parser=parse)


def _join_values(argv: list[str]) -> list[str]:
  """`--config FILE` and `--workdir DIR` as `--config=FILE`, `--workdir=DIR`."""
  joined = []
  for arg in argv:
    if joined and joined[-1] in ("--config", "--workdir"):
      joined[-1] += f"={arg}"
    else:
      joined.append(arg)
  return joined


def _parse(argv: list[str], base: config_dict.ConfigDict):
  """The config that `base` becomes with the flags' `--config.key=value`."""
  own = [a for a in argv if not a.startswith("--config=")]
  try:
    config = config_flags.DEFINE_config_dict(
        "config", base, "Config file.", sys_argv=own)
    rest = flags.FLAGS(own)
    if rest[1:]:
      raise InputError(
          f"{rest[1]!r} is not a flag; expected --config.key=value")
    return config.value
  except (AttributeError, KeyError) as error:
    _fail(_unknown_key(own, base) or _one_line(error))
  except (flags.Error, TypeError, ValueError) as error:
    message = _one_line(error)
    for python, plain in (
        ("invalid literal for int() with base 10:", "expected an int, not"),
        ("could not convert string to float:", "expected a float, not")):
      message = message.replace(python, plain)
    _fail(message)


def _unknown_key(argv: list[str], base: config_dict.ConfigDict) -> str:
  """Says which `--config.key` the config does not have, and the nearest."""
  known = [path for path, _ in flatten(base.to_dict())]
  for arg in argv:
    key = arg.partition("=")[0].lstrip("-")
    if key.startswith("config.") and key[len("config."):] not in known:
      key = key[len("config."):]
      near = difflib.get_close_matches(key, known, 1, 0)
      return f"unknown config key {key!r}; the nearest known one is {near[0]!r}"
  return ""


def _file_config(argv: list[str]) -> config_dict.ConfigDict:
  """What `get_config()` of `--config=FILE` returns, or of FILE:ARGUMENT."""
  file, *argument = _value_of("--config=", argv).rsplit(":", 1)
  if not file or not pathlib.Path(file).is_file():
    _fail(
        f"--config={file}: no such file; expected a config file such as "
        "--config=configs/storybook.py")
  try:
    get_config = runpy.run_path(file).get("get_config", lambda: None)
    config = get_config(*argument)
  except Exception as error:  # Whatever the user's file raises.
    _fail(f"--config={file}: {type(error).__name__}: {_one_line(error)}")
  if not isinstance(config, config_dict.ConfigDict):
    _fail(
        f"--config={file}: expected a get_config() in it that returns a "
        "ConfigDict, as in configs/storybook.py")
  return config.lock()


def _workdir_config(argv: list[str]) -> config_dict.ConfigDict:
  """The config of the run in `--workdir=DIR`."""
  if _value_of("--config=", argv):
    _fail(
        "--config=FILE is not for sampling, which has the workdir's own "
        "config; leave it out and change keys with --config.sampling.key=value")
  try:
    values = read_config(pathlib.Path(_value_of("--workdir=", argv)))
  except InputError as error:
    _fail(f"{error}; expected the directory of a run of tav_jax.tune")
  return config_dict.ConfigDict(_tuples(values)).lock()


def _value_of(flag: str, argv: list[str]) -> str:
  """The value of `--flag=value`, which is needed before flags are parsed."""
  values = [a.removeprefix(flag) for a in argv if a.startswith(flag)]
  return values[-1] if values else ""


def _tuples(value):
  """JSON's lists as the tuples that configs have."""
  if isinstance(value, dict):
    return {k: _tuples(v) for k, v in value.items()}
  return tuple(map(_tuples, value)) if isinstance(value, list) else value


def set_up() -> None:
  """Logging, XLA and its cache, as every entry point has them."""
  _set_up_logging()
  if _on_cpu():
    _set_up_cpu()
    # XLA for TPU, installed for plans, would stop at flags it does not know.
    jax.config.update("jax_platforms", "cpu")
  _set_up_compilation_cache()


def _set_up_cpu() -> None:
  """Flags for XLA, which it has not read yet."""
  if "XLA_FLAGS" in os.environ:
    return
  if jax.__version_info__[:2] == _FLAGS_OF:
    os.environ["XLA_FLAGS"] = _CPU_FLAGS
  else:
    logging.getLogger(__name__).warning(
        "JAX %s: slower and larger on CPU than JAX %d.%d, whose flags for XLA "
        "it may not know", jax.__version__, *_FLAGS_OF)


def _guard(main: Callable, config: config_dict.ConfigDict) -> None:
  set_up()
  if _MULTI_HOST.value:
    processes.join()
    if not processes.is_first():
      _be_quiet()
  try:
    main(config, pathlib.Path(_WORKDIR.value).expanduser())
  except InputError as error:
    _fail(str(error))
  except KeyboardInterrupt:
    print("interrupted; the same command resumes", file=sys.stderr)
    sys.exit(130)
  except jax.errors.JaxRuntimeError as error:
    if "RESOURCE_EXHAUSTED" not in str(error):
      raise
    _fail(
        "out of device memory; lower video.frames, video.width and "
        "video.height or sampling.batch_size, lower model.attention_block, or "
        "set model.remat=True and model.dtype=bfloat16 "
        f"({_one_line(error)[:200]})")


def _set_up_logging() -> None:
  absl_logging.set_verbosity(absl_logging.WARNING)  # orbax tells all at INFO.

  class Handler(logging.Handler):
    """Prints above the progress bar."""

    def emit(self, record):
      mark = "warning: " if record.levelno >= logging.WARNING else ""
      tqdm.tqdm.write(mark + record.getMessage(), file=sys.stderr)

  log = logging.getLogger("tav_jax")
  log.setLevel(logging.INFO)
  log.addHandler(Handler())
  log.propagate = False


def _on_cpu() -> bool:
  """Whether JAX will, as far as one can tell before it looks for devices."""
  if jax.config.jax_platforms:
    return jax.config.jax_platforms == "cpu"
  return not _has_tpu() and not importlib.util.find_spec("jax_plugins")


def _has_tpu() -> bool:
  """Whether the system shows the device files that libtpu opens."""
  return any(
      glob.glob(files) for files in ("/dev/accel[0-9]*", "/dev/vfio/[0-9]*"))


def _be_quiet() -> None:
  """One process tells what all of them do."""
  logging.getLogger("tav_jax").setLevel(logging.ERROR)
  tqdm.tqdm.__init__ = functools.partialmethod(
      tqdm.tqdm.__init__, disable=True)


def _set_up_compilation_cache() -> None:
  """Compiled programs survive the process, unless the user chose otherwise."""
  if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    jax.config.update("jax_compilation_cache_dir", str(_CACHE))
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)


def _one_line(error: BaseException) -> str:
  text = error.args[0] if isinstance(error, KeyError) else error
  return " ".join(str(text).split())


def _fail(message: str) -> None:
  print(f"error: {message}", file=sys.stderr)
  sys.exit(2)
