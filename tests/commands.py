"""The project's commands, run in this process or as a user starts them.

In this process a command costs a tenth of a second instead of several: nothing
is imported, and what JAX has compiled stays.
"""

import contextlib
import io
import logging
import os
import runpy
import shlex
import signal
import subprocess
import sys
from unittest import mock
import warnings

from absl import app, flags
from absl import logging as absl_logging
from absl.testing import flagsaver
from conftest import CACHE, ROOT
import jax

from tav_jax import cli

ENVIRONMENT = {
    "JAX_COMPILATION_CACHE_DIR": str(CACHE), "PYTHONPATH": str(ROOT)}


def run(command: str, *more: str, cwd=ROOT) -> tuple[int, str]:
  """What `python -m tav_jax.COMMAND MORE` does here: exit code, what it says.

  Args:
    command: Entry point and flags, as in a shell.
    more: Further flags, as they are.
    cwd: Working directory.

  Returns:
    The exit code, and what was written to stdout and stderr. An exception that
    would end the process with a traceback is raised.
  """
  entry, *words = shlex.split(command)
  code, said = 0, io.StringIO()
  with (
      _own_flags(), _own_settings(), warnings.catch_warnings(),
      contextlib.chdir(cwd),
      contextlib.redirect_stdout(said), contextlib.redirect_stderr(said),
      mock.patch.object(sys, "argv", [entry, *words, *more]),
      mock.patch.dict(os.environ, ENVIRONMENT),
      # runpy would leave the checks of conftest.py in the command's bytecode.
      mock.patch.object(sys, "dont_write_bytecode", True),
      # absl's own would change the process for good.
      mock.patch.object(
          app, "run", lambda main, flags_parser: main(flags_parser(sys.argv))),
  ):
    warnings.simplefilter("ignore")  # That the module is imported already.
    try:
      runpy.run_module(f"tav_jax.{entry}", run_name="__main__")
    except SystemExit as error:
      code = error.code or 0
  return code, said.getvalue()


def finish(command: str, *more: str) -> str:
  """What a command says that must succeed."""
  code, said = run(command, *more)
  assert code == 0, said
  return said


def start(command: str, *more: str, **options) -> subprocess.Popen:
  """The same in a process of its own; `options` are `Popen`'s."""
  entry, *words = shlex.split(command)
  return subprocess.Popen(
      [sys.executable, "-m", f"tav_jax.{entry}", *words, *more], text=True,
      stderr=subprocess.PIPE, **{
          "cwd": ROOT, "env": os.environ | ENVIRONMENT} | options)


@contextlib.contextmanager
def _own_flags():
  """Takes away flags of other programs, which tests have imported."""
  others = [
      (module, flag)
      for module, found in flags.FLAGS.flags_by_module_dict().items()
      if module.startswith(("tav_jax", "bench")) and module != cli.__name__
      for flag in found]
  for _, flag in others:
    delattr(flags.FLAGS, flag.name)
  before = flagsaver.save_flag_values()
  try:
    yield
  finally:
    # Libraries that the command imports define theirs but once.
    after = flagsaver.save_flag_values()
    flagsaver.restore_flag_values(before | {
        name: after[name] for name in after.keys() - before.keys()
        if flags.FLAGS.find_module_defining_flag(name) in sys.modules
        and name.partition(".")[0] != "config"})
    for module, flag in others:
      flags.FLAGS[flag.name] = flag
      flags.FLAGS.register_flag_by_module(module, flag)


@contextlib.contextmanager
def _own_settings():
  """Puts back what `startup.set_up` sets for the process."""
  log, of_absl = logging.getLogger("tav_jax"), absl_logging.get_absl_logger()
  before = log.handlers[:], log.propagate, of_absl.filters[:], log.level
  seconds = jax.config.jax_persistent_cache_min_compile_time_secs
  ends = {name: signal.getsignal(name) for name in (
      signal.SIGINT, signal.SIGTERM)}
  try:
    yield
  finally:
    log.handlers[:], log.propagate, of_absl.filters[:], level = before
    log.setLevel(level)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", seconds)
    for name, handler in ends.items():
      signal.signal(name, handler)
