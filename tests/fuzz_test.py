"""Mutated files: every reader gives a result or a line, soon and in little.

Seconds by default; a table of 10,000 inputs and more, in minutes, with

  ./launch/test.sh -n 0 -s -m fuzz
"""

import collections
from collections.abc import Iterator
import contextlib
import pathlib
import random
import resource
import signal
import time
import traceback

import av
import mutations
import pytest
from readers import READERS

from tav_jax.errors import InputError

SOME, MANY = 8, 250  # Inputs of each reader.
SECONDS = 5  # Of the processor, for each input.
WAITED = 60  # Seconds on the clock: others may be at work, too.
MEMORY = 2**30  # Bytes that may be asked for beyond what the process has.

Tally = collections.Counter[str]


class TooLong(BaseException):
  """No Exception, which a reader may catch."""


@contextlib.contextmanager
def bounded() -> Iterator[None]:
  """Ends the block after its time, and lets it have no more than its memory."""

  def ended(number: int, _) -> None:
    raise TooLong(signal.Signals(number).name)

  timers = {signal.ITIMER_PROF: (signal.SIGPROF, SECONDS),
            signal.ITIMER_REAL: (signal.SIGALRM, WAITED)}
  before = {number: signal.signal(number, ended) for number, _ in
            timers.values()}
  limits = resource.getrlimit(resource.RLIMIT_AS)
  pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
  try:
    resource.setrlimit(resource.RLIMIT_AS, (
        pages * resource.getpagesize() + MEMORY, limits[1]))
    for timer, (_, seconds) in timers.items():
      signal.setitimer(timer, seconds)
    yield
  finally:
    for timer in timers:
      signal.setitimer(timer, 0)
    resource.setrlimit(resource.RLIMIT_AS, limits)
    for number, handler in before.items():
      signal.signal(number, handler)


def outcome(read, directory: pathlib.Path) -> str:
  """"result", "InputError", or what is wrong with what came out."""
  try:
    with bounded():
      read(directory)
  except InputError as error:
    cause: BaseException | None = error
    while cause := cause.__cause__ or cause.__context__:
      # FFmpeg's is its own: it refuses absurd sizes before it asks for them.
      if isinstance(cause, MemoryError) and not isinstance(
          cause, av.FFmpegError):
        return f"memory: {error}"
    return "InputError"
  except KeyboardInterrupt:
    raise
  except BaseException as error:  # Some panics are no Exceptions.
    where = traceback.extract_tb(error.__traceback__)
    ours = [f"{frame.filename.rpartition('/')[2]}:{frame.lineno}"
            for frame in where if "tav_jax" in frame.filename]
    return f"{type(error).__name__}: {error} ({' '.join(ours)})"
  return "result"


def attempt(
    name: str, directory: pathlib.Path, numbers: range
) -> tuple[Tally, list[str]]:
  """Reads mutated inputs of a reader.

  Args:
    name: One of `READERS`.
    directory: An empty directory, in which the input stays that ends the
      process.
    numbers: Seeds of the inputs.

  Returns:
    How often what came out, and what was wrong.
  """
  reader = READERS[name]
  reader.make(directory)
  assert outcome(reader.read, directory) == "result", name
  files = sorted(p for p in directory.rglob(reader.mutated) if p.is_file())
  whole = {file: file.read_bytes() for file in files}
  tally, wrong = Tally(), []
  for number in numbers:
    rng = random.Random(f"{name} {number}")
    file = rng.choice(files)
    file.write_bytes(mutations.mutate(whole[file], file.suffix, rng))
    began = time.process_time()
    found = outcome(reader.read, directory)
    if (taken := time.process_time() - began) > SECONDS:
      found = f"{taken:.0f} s: {found}"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(whole[file])
    if found not in ("result", "InputError"):
      wrong.append(f"{name} {number} {file.name}: {found[:300]}")
      found = "mishandled"
    tally[found] += 1
  return tally, wrong


@pytest.mark.parametrize("name", READERS)
def test_some_mutated_inputs(tmp_path, name):
  _, wrong = attempt(name, tmp_path, range(max(2, int(
      SOME * READERS[name].share))))
  assert not wrong


@pytest.mark.fuzz
@pytest.mark.slow  # So that -m "not slow" leaves it out, too.
def test_many_mutated_inputs(tmp_path):
  print("\n| reader | inputs | results | InputErrors | mishandled | seconds |"
        "\n| --- | --- | --- | --- | --- | --- |")
  total, all_wrong, began = Tally(), [], time.process_time()
  for number, (name, reader) in enumerate(READERS.items()):
    directory = tmp_path / str(number)
    directory.mkdir()
    start = time.process_time()
    tally, wrong = attempt(name, directory, range(int(MANY * reader.share)))
    _show(name, tally, time.process_time() - start)
    total += tally
    all_wrong += wrong
  _show("all", total, time.process_time() - began)
  assert total.total() >= 10_000
  assert not all_wrong, "\n".join(all_wrong)


def _show(name: str, tally: Tally, seconds: float) -> None:
  print(f"| {name} | {tally.total():,} | {tally['result']:,} | "
        f"{tally['InputError']:,} | {tally['mishandled']} | {seconds:.1f} |",
        flush=True)
