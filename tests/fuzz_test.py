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

import mutations
import pytest
from readers import READERS

from tav_jax.errors import InputError

SOME, MANY = 8, 250  # Inputs of each reader.
SECONDS = 5  # Of the processor, for each input.
WAITED = 60  # Seconds on the clock: others may be at work, too.
MEMORY = 2**31  # Bytes beyond what the process has, as a whole video's.
ADDRESSES = 2**32  # Likewise; most that is asked for is never touched.

Tally = collections.Counter[str]


class TooLong(BaseException):
  """No Exception, which a reader may catch."""


@contextlib.contextmanager
def bounded() -> Iterator[None]:
  """Ends the block after its time, and gives it no more than address space."""

  def ended(number: int, _) -> None:
    raise TooLong(signal.Signals(number).name)

  timers = {signal.ITIMER_PROF: (signal.SIGPROF, SECONDS),
            signal.ITIMER_REAL: (signal.SIGALRM, WAITED)}
  before = {number: signal.signal(number, ended) for number, _ in
            timers.values()}
  limits = resource.getrlimit(resource.RLIMIT_AS)
  try:
    resource.setrlimit(
        resource.RLIMIT_AS, (memory("VmSize") + ADDRESSES, limits[1]))
    for timer, (_, seconds) in timers.items():
      signal.setitimer(timer, seconds)
    yield
  finally:
    for timer in timers:
      signal.setitimer(timer, 0)
    resource.setrlimit(resource.RLIMIT_AS, limits)
    for number, handler in before.items():
      signal.signal(number, handler)


def memory(kind: str) -> int:
  """Bytes of this process, such as VmRSS (now) and VmHWM (at most)."""
  status = pathlib.Path("/proc/self/status").read_text()
  return 1024 * int(status.partition(f"{kind}:")[2].split()[0])


def outcome(read, directory: pathlib.Path) -> tuple[str, int]:
  """"result", "InputError", or what is wrong; and the bytes it took."""
  pathlib.Path("/proc/self/clear_refs").write_text("5")  # VmHWM begins anew.
  there, began = memory("VmRSS"), time.process_time()
  found = _attempted(read, directory)
  seconds, more = time.process_time() - began, memory("VmHWM") - there
  if seconds > SECONDS or more > MEMORY:
    found = f"{seconds:.1f} s, {more:,} bytes: {found}"
  return found, more


def _attempted(read, directory: pathlib.Path) -> str:
  try:
    with bounded():
      read(directory)
  except InputError:
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
    How often what came out, with the most "bytes"; and what was wrong.
  """
  reader = READERS[name]
  reader.make(directory)
  assert outcome(reader.read, directory)[0] == "result", name
  files = sorted(p for p in directory.rglob(reader.mutated) if p.is_file())
  whole = {file: file.read_bytes() for file in files}
  tally, wrong = Tally(), []
  for number in numbers:
    rng = random.Random(f"{name} {number}")
    file = rng.choice(files)
    file.write_bytes(mutations.mutate(whole[file], file.suffix, rng))
    found, more = outcome(reader.read, directory)
    tally["bytes"] = max(more, tally["bytes"])
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
  print("\n| reader | inputs | results | InputErrors | mishandled | seconds "
        "| MB at most |\n| --- | --- | --- | --- | --- | --- | --- |")
  total, all_wrong, began = Tally(), [], time.process_time()
  for number, (name, reader) in enumerate(READERS.items()):
    directory = tmp_path / str(number)
    directory.mkdir()
    start = time.process_time()
    tally, wrong = attempt(name, directory, range(int(MANY * reader.share)))
    _show(name, tally, time.process_time() - start)
    most = max(total["bytes"], tally["bytes"])
    total = total + tally
    total["bytes"] = most
    all_wrong += wrong
  _show("all", total, time.process_time() - began)
  assert _inputs(total) >= 10_000
  assert not all_wrong, "\n".join(all_wrong)


def _inputs(tally: Tally) -> int:
  return tally["result"] + tally["InputError"] + tally["mishandled"]


def _show(name: str, tally: Tally, seconds: float) -> None:
  print(f"| {name} | {_inputs(tally):,} | {tally['result']:,} | "
        f"{tally['InputError']:,} | {tally['mishandled']} | {seconds:.1f} | "
        f"{tally['bytes'] / 1e6:,.0f} |", flush=True)
