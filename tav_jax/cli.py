"""What all entry points share: flags, one-line errors, the compilation cache.

An entry point is a function `main(config, workdir)` and `cli.run(main)`.
"""

from collections.abc import Callable
import json
import logging
import os
import pathlib
import sys

from absl import app, flags
from absl import logging as absl_logging
import jax
from ml_collections import config_dict, config_flags
import tqdm

from tav_jax.errors import InputError

_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Directory of the run: checkpoints, samples, metrics.",
    required=True)
_CACHE = pathlib.Path("~/.cache/tav_jax/xla").expanduser()


def run(main: Callable, *, config_from_workdir: bool = False) -> None:
  """Parses flags, runs `main(config, workdir)` and exits.

  Args:
    main: The entry point.
    config_from_workdir: Whether `--config` is the workdir's `config.json`
      rather than a config file.
  """
  if config_from_workdir:
    define = _define_workdir_config
  else:
    define = _define_config_file
  app.run(lambda config: _guard(main, config), flags_parser=define)


def _define_config_file(argv: list[str]):
  config = config_flags.DEFINE_config_file(
      "config", help_string="Config file.", lock_config=True)
  flags.mark_flag_as_required("config")
  return _parse(argv, config)


def _define_workdir_config(argv: list[str]):
  config = config_flags.DEFINE_config_dict(
      "config", _read_workdir_config(argv), "The workdir's config.")
  return _parse(argv, config)


def _parse(argv: list[str], config: flags.FlagHolder):
  try:
    rest = flags.FLAGS(argv)
    if rest[1:]:
      raise InputError(
          f"{rest[1]!r} is not a flag; expected --config.key=value")
    return config.value
  except (flags.Error, AttributeError, KeyError, TypeError, ValueError,
          OSError) as error:
    _fail(_one_line(error))


def _read_workdir_config(argv: list[str]) -> config_dict.ConfigDict:
  """The config of `--workdir`, which has to be known before flags are."""
  names = ("--workdir", "-workdir")
  found = [arg.partition("=")[2] for arg in argv
           if arg.partition("=")[0] in names and "=" in arg]
  found += [argv[i + 1] for i, arg in enumerate(argv[:-1]) if arg in names]
  if not found:
    return config_dict.ConfigDict()  # Parsing will ask for the flag.
  try:
    return config_dict.ConfigDict(
        _tuples(json.loads((pathlib.Path(found[-1]) / "config.json")
                           .read_text()))).lock()
  except (OSError, ValueError) as error:
    _fail(
        f"--workdir={found[-1]}: its config.json cannot be read ({error}); "
        "expected the directory of a run of tav_jax.tune")


def _tuples(value):
  """JSON's lists as the tuples that configs have."""
  if isinstance(value, dict):
    return {k: _tuples(v) for k, v in value.items()}
  return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _guard(main: Callable, config: config_dict.ConfigDict) -> None:
  _set_up_logging()
  _set_up_compilation_cache()
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


def _set_up_compilation_cache() -> None:
  """Compiled programs survive the process, unless the user chose otherwise."""
  if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    jax.config.update("jax_compilation_cache_dir", str(_CACHE))
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def _one_line(error: BaseException) -> str:
  text = error.args[0] if isinstance(error, KeyError) else error
  return " ".join(str(text).split())


def _fail(message: str) -> None:
  print(f"error: {message}", file=sys.stderr)
  sys.exit(2)
