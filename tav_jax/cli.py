"""What all entry points share: flags, the config, one-line errors.

An entry point is a function `main(config, workdir)` and `cli.run(main)`.
"""

from collections.abc import Callable
import contextlib
import difflib
import os
import select
import signal
import sys
from typing import Any, NoReturn

from absl import app, flags
import jax
from ml_collections import config_dict, config_flags

from tav_jax import startup
from tav_jax.data import names
from tav_jax.errors import from_system, InputError, one_line, printable
from tav_jax.parallel import processes
from tav_jax.runs import config_files
from tav_jax.runs.settings import with_defaults
from tav_jax.runs.workdir import flatten, read_config

_WORKDIR = flags.DEFINE_string(
    "workdir", "", "Directory of the run: checkpoints, samples, metrics.")
_MULTI_HOST = flags.DEFINE_bool(
    "multi_host", False, "This is one of several processes that run the same "
    "command; JAX finds the others, or JAX_COORDINATOR_ADDRESS, "
    "JAX_NUM_PROCESSES and JAX_PROCESS_ID say where they are.")

OUT_OF_MEMORY = (
    "out of device memory; set model.memory=fit and sampling.batch_size=1, "
    "with which the same command goes on where it was, or take more devices; "
    "else, in another workdir if this one has a checkpoint, lower "
    "video.frames, video.width and video.height")
_OUT_OF_HOST_MEMORY = (
    "out of this machine's memory; end other programs or take a larger "
    "machine, and the same command goes on where it was")


def run(
    main: Callable, *, config_from_workdir: bool = False,
    needs_workdir: bool = True, multi_host: bool = False,
) -> None:
  """Parses flags, runs `main(config, workdir)` and exits.

  Args:
    main: The entry point.
    config_from_workdir: Whether `--config` is the workdir's `config.json`
      rather than a config file.
    needs_workdir: Whether `--workdir` is required.
    multi_host: Whether several processes may run it together. Then one of them
      writes, and decisions that depend on files are made by that one.
  """
  base = _workdir_config if config_from_workdir else config_files.read
  app.run(
      lambda config: _guard(main, config),
      flags_parser=lambda argv: _parse(argv, base, needs_workdir, multi_host))


def _parse(
    argv: list[str], base: Callable[[str], config_dict.ConfigDict],
    needs_workdir: bool, multi_host: bool,
) -> config_dict.ConfigDict:
  """What `base` of --config makes, with --config.key=value of the flags."""
  file, argv = _config_file(argv)
  known: dict[str, Any] = {}
  flags.FLAGS.set_gnu_getopt(True)
  try:
    flags.FLAGS(argv, known_only=True)  # All but the config's, or shows help.
    if needs_workdir and not _WORKDIR.value:
      raise InputError(
          "--workdir= is missing; expected --workdir=DIR, the directory of a "
          "run, such as --workdir=runs/mine")
    if _MULTI_HOST.value and not multi_host:
      raise InputError(
          "--multi_host: this command runs in one process; expected it of "
          "tav_jax.tune, tune_many and sample; leave it out")
    config = base(file)
    known = dict(flatten(config.to_dict()))
    flag = config_flags.DEFINE_config_dict(
        "config", config, "Config file.", sys_argv=argv)
    rest = flags.FLAGS(argv)
    if rest[1:]:
      raise InputError(
          f"{rest[1]!r} is not a flag; expected --config.key=value")
    return flag.value
  except (AttributeError, KeyError) as error:
    _fail(_unknown_key(argv, list(known)) or one_line(error))
  except (flags.Error, TypeError, ValueError) as error:
    message = config_files.quoted(error, known) or one_line(error)
    for python, plain in (
        ("invalid literal for int() with base 10:", "expected an int, not"),
        ("could not convert string to float:", "expected a float, not")):
      message = message.replace(python, plain)
    _fail(message)


def _config_file(argv: list[str]) -> tuple[str, list[str]]:
  """The value of --config, which says what other flags there are; the rest."""
  alone = flags.FlagValues()
  flags.DEFINE_string("config", "", "Config file.", alone)
  alone.set_gnu_getopt(True)
  rest = alone(argv, known_only=True)
  return alone["config"].value or "", rest


def _unknown_key(argv: list[str], known: list[str]) -> str:
  """Says which `--config.key` the config does not have, and the nearest."""
  for arg in argv:
    key = arg.partition("=")[0].lstrip("-")
    if key.startswith("config.") and key[len("config."):] not in known:
      key = key[len("config."):]
      near = difflib.get_close_matches(key, known, 1, 0)
      return f"unknown config key {key!r}; the nearest known one is {near[0]!r}"
  return ""


def _workdir_config(file: str) -> config_dict.ConfigDict:
  """The config of the run in `--workdir=DIR`."""
  if file:
    raise InputError(
        "--config=FILE is not for sampling, which has the workdir's own "
        "config; leave it out and change keys with --config.sampling.key=value")
  try:
    values = read_config(names.at_home(_WORKDIR.value))
  except InputError as error:
    raise InputError(
        f"{error}; expected the directory of a run of tav_jax.tune or "
        "tav_jax.pretrain") from error
  if "stages" not in values:  # Which runs of pretraining have.
    values = with_defaults(values)
  return config_dict.ConfigDict(_tuples(values)).lock()


def _tuples(value):
  """JSON's lists as the tuples that configs have."""
  if isinstance(value, dict):
    return {k: _tuples(v) for k, v in value.items()}
  return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _guard(main: Callable, config: config_dict.ConfigDict) -> None:
  startup.set_up()
  if _MULTI_HOST.value:
    processes.join()
    if not processes.is_first():
      startup.be_quiet()
  signal.signal(signal.SIGTERM, _terminate)
  workdir = names.at_home(_WORKDIR.value)
  try:
    main(config, workdir)
  except InputError as error:
    _fail(str(error))
  except KeyboardInterrupt as error:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # A second one ends at once.
    told = str(error)
    _say(f"{told or 'interrupted'}; the same command resumes")
    sys.exit(128 + (signal.SIGTERM if told else signal.SIGINT))
  except MemoryError as error:
    _fail(f"{_OUT_OF_HOST_MEMORY} ({one_line(error)[:200]})")
  except jax.errors.JaxRuntimeError as error:
    if "RESOURCE_EXHAUSTED" not in str(error):
      raise
    _fail(f"{OUT_OF_MEMORY} ({one_line(error)[:200]})")
  except Exception as error:
    if isinstance(error, BrokenPipeError) and _nobody_reads():
      _leave_quietly()
    refused = from_system(error, workdir)
    if not refused:
      raise
    _fail(str(refused))


def _terminate(*_) -> NoReturn:
  raise KeyboardInterrupt("ended by SIGTERM")


def _nobody_reads() -> bool:
  """Whether what reads our output, such as `head`, has ended."""
  poll = select.poll()
  for stream in (1, 2):
    poll.register(stream, 0)
  return any(event & select.POLLERR for _, event in poll.poll(0))


def _leave_quietly() -> NoReturn:
  """Ends as a program that a closed pipe ends, without a word."""
  nowhere = os.open(os.devnull, os.O_WRONLY)
  for stream in (1, 2):
    os.dup2(nowhere, stream)  # Or Python would complain as it flushes them.
  sys.exit(128 + signal.SIGPIPE)


def _say(message: str) -> None:
  with contextlib.suppress(OSError):  # Where nobody can hear it.
    print(message, file=sys.stderr)


def _fail(message: str) -> NoReturn:
  """Prints the message and exits."""
  _say(f"error: {printable(message)}")
  sys.exit(2)
