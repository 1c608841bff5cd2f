"""Commands in forked processes, so that each need not import everything."""

from collections.abc import Callable
import os
import pathlib
import runpy
import signal
import sys
import time
import traceback

# What entry points import, so that a fork has it. JAX must not have started.
import tav_jax.evaluation.scoring
import tav_jax.pretraining.autoencoder
import tav_jax.pretraining.diffusion
import tav_jax.runs.manifest
import tav_jax.runs.many

_ = tav_jax
_SECONDS = 900  # A run that takes longer hangs.


class Fork:
  """A function in a process of its own.

  Attributes:
    pid: The process.
    hangs: Whether it had to be killed after a quarter of an hour.
  """

  def __init__(self, call: Callable[[], object], output: pathlib.Path):
    """Starts it; what it prints goes to the file `output`."""
    self._output, self.hangs = output, False
    self._code: int | None = None
    sys.stdout.flush()
    self.pid = os.fork()
    if not self.pid:
      _become(call, output)

  def code(self) -> int | None:
    """Its exit code, the negative signal that ended it, or None."""
    if self._code is None:
      pid, status = os.waitpid(self.pid, os.WNOHANG)
      if pid:
        self._code = os.waitstatus_to_exitcode(status)
    return self._code

  def send(self, number: int) -> None:
    """Sends a signal, unless it has ended."""
    if self.code() is None:
      os.kill(self.pid, number)

  def until(self, moment: Callable[[], bool]) -> bool:
    """Waits for a moment; whether it came before the end."""
    ends = time.monotonic() + _SECONDS
    while self.code() is None:
      try:
        if moment():
          return True
      except (OSError, ValueError):
        pass  # Something has just been renamed, or is half written.
      if time.monotonic() > ends:
        self.hangs = True
        self.send(signal.SIGKILL)
      time.sleep(0.001)
    return False

  def end(self) -> tuple[int, list[str]]:
    """Waits for the end: the exit code, and the lines that are no progress."""
    self.until(lambda: False)
    text = self._output.read_text(errors="replace")
    lines = [line.rpartition("\r")[2].strip() for line in text.split("\n")]
    code = self.code()
    assert code is not None
    return code, [line for line in lines if line]


def entry(name: str, *flags: str) -> Callable[[], None]:
  """An entry point of tav_jax with its flags."""
  def call():
    sys.argv = [f"{name}.py", *flags]
    runpy.run_module(f"tav_jax.{name}", run_name="__main__", alter_sys=True)
  return call


def _become(call: Callable[[], object], output: pathlib.Path) -> None:
  file = os.open(output, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o666)
  os.dup2(file, 1)
  os.dup2(file, 2)
  code = 0
  try:
    call()
  except SystemExit as error:
    code = int(error.code or 0)
  except BaseException:
    traceback.print_exc()
    code = 1
  finally:
    sys.stderr.flush()
    sys.stdout.flush()
    os._exit(code)
