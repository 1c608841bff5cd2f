"""Runs each framework in a process of its own, which waits without computing.

So neither one's memory or threads are mixed with the other's.
"""

import importlib
import multiprocessing
import os
import resource
import signal
import sys
import time

from bench.peer.case import Case


class Worker:
  """A process that runs one program of one framework.

  Attributes:
    start: Seconds from the start of the process to the first result.
  """

  def __init__(self, framework: str, program: str, case: Case, cache: str):
    """Starts the process and waits for its first result.

    Args:
      framework: The module of its programs, "ours" or "theirs".
      program: A key of that module's `PROGRAMS`.
      case: Checkpoint and sizes to run it on.
      cache: Directory of JAX's compiled programs.
    """
    context = multiprocessing.get_context("spawn")
    self._pipe, there = context.Pipe()
    started = time.perf_counter()
    self._process = context.Process(
        target=_serve, args=(there, framework, program, case, cache),
        daemon=True)  # Ends when this process fails at another worker.
    self._process.start()
    there.close()
    self._receive()
    self.start = time.perf_counter() - started

  def time(self) -> tuple[float, float]:
    """Seconds of one more run: by the clock, and of all threads together."""
    return self._ask("time")

  def memory(self) -> float:
    """The most memory the process has had so far, in GiB."""
    return self._ask("memory")

  def result(self) -> dict:
    """Arrays that the last run computed."""
    return self._ask("result")

  def flags(self) -> str:
    """The process's XLA_FLAGS."""
    return self._ask("flags")

  def stop(self) -> None:
    """Ends the process."""
    self._pipe.send("stop")
    self._process.join()

  def _ask(self, what: str):
    try:
      self._pipe.send(what)
    except ConnectionError:
      self._ended()
    return self._receive()

  def _receive(self):
    try:
      return self._pipe.recv()
    except (EOFError, ConnectionError):
      self._ended()

  def _ended(self):
    self._process.join()
    code = self._process.exitcode
    sys.exit(
        f"a process of the comparison ended with {code}, expected to go on: "
        + ("out of memory? Give fewer --frames or a smaller --size"
           if code == -signal.SIGKILL else "its error is above"))


def _serve(pipe, framework: str, program: str, case: Case, cache: str) -> None:
  """Runs in the process: the program once, then whatever is asked for."""
  os.environ["JAX_PLATFORMS"] = "cpu"
  os.environ["JAX_COMPILATION_CACHE_DIR"] = cache
  # OpenMP's threads would else spin, which takes many times as long when
  # anything else runs, and would disturb the others' turns.
  os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
  # transformers imports every framework that is installed.
  os.environ["USE_TORCH" if framework == "ours" else "USE_FLAX"] = "0"
  module = importlib.import_module(f"bench.peer.{framework}")
  module.set_up()
  run, result = module.PROGRAMS[program](case)
  run()
  pipe.send("ran")

  def timed() -> tuple[float, float]:
    started, computed = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - started, time.process_time() - computed

  # In KiB on Linux.
  memory = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
  answers = {
      "time": timed, "memory": memory, "result": result,
      "flags": lambda: os.environ.get("XLA_FLAGS", "none")}
  for what in iter(pipe.recv, "stop"):
    pipe.send(answers[what]())
