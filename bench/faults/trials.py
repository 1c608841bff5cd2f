"""The trials: each yields rows of a table."""

from collections.abc import Callable, Iterator, Mapping, Sequence
import dataclasses
import functools
import os
import pathlib
import re
import resource
import shlex
import shutil
import signal
import sys

from bench.faults import forks, runs
from bench.faults.runs import Tiny

Row = dict[str, str]
Moment = Callable[[pathlib.Path], bool]


def there(pattern: str) -> Moment:
  """When a file of the workdir exists."""
  return lambda workdir: any(workdir.glob(pattern))


def logged(lines: int) -> Moment:
  """When so many steps have been logged."""
  return lambda run: (run / "metrics.jsonl").read_bytes().count(b"\n") >= lines


# In the order in which a run comes to them; a run goes on after each kill.
MOMENTS: Mapping[str, Mapping[str, Moment]] = {
    "tune": {
        "loading": there(".lock"), "before a step": there("config.json"),
        "step 1": logged(1), "saving step 2": there("checkpoints/2.partial/*"),
        "step 2 saved": there("checkpoints/2"),
        "writing samples of step 3": there("samples/step_000003.partial/*.mp4"),
        "saving step 4": there("checkpoints/4.partial/default*"),
        "step 5": logged(5),
        "writing samples of step 6": there("samples/step_000006.partial/*")},
    "tune_many": {
        "both loaded": there("config.json"),
        "saving step 2": there("checkpoints/2.partial"), "step 3": logged(3),
        "writing samples": there("samples/*.partial")},
    "pretrain": {
        "step 1": logged(1), "saving step 2": there("checkpoints/2.partial"),
        "a look at step 3": there("samples/step_000003"),
        "writing the model": there("../model/vae*")},
    "evaluate": {
        "loading": there(".lock"), "writing tables": there("*.json"),
        "writing the report": there("report*")},
}


@dataclasses.dataclass
class Trials:
  """The trials.

  Attributes:
    root: Scratch directory.
    tiny: The commands.
    straight: What each leaves if nothing happens to it.
    small: A small file system.
  """

  root: pathlib.Path
  tiny: Mapping[str, Tiny]
  straight: Mapping[str, dict[str, str]]
  small: pathlib.Path

  def new(self, name: str, root: pathlib.Path | None = None) -> pathlib.Path:
    """A workdir that does not exist yet."""
    workdir = (root or self.root / "trials") / name
    shutil.rmtree(workdir, ignore_errors=True)
    return workdir

  def goes_on(self, workdir: pathlib.Path, name: str = "tune") -> str:
    """What comes of the same command when nothing happens any more."""
    code, lines = self.tiny[name].start(workdir).end()
    if code:
      return f"no: {lines[-1]}"
    found = runs.result(workdir, self.root / "result.output")
    straight = self.straight[name]
    apart = [
        key for key in sorted(found | straight)
        if found.get(key) != straight.get(key)]
    return f"no: {len(apart)} differ, as {apart[0]}" if apart else "yes"

  def kill(self, commands: Sequence[str]) -> Iterator[Row]:
    """Kill -9 at twenty moments, of the same run one after the other."""
    for name in commands:
      moments = MOMENTS[name]
      workdir = self.new(name)
      rows = []
      for said, moment in moments.items():
        run = self.tiny[name].start(workdir)
        place = workdir / self.tiny[name].place
        came = run.until(functools.partial(moment, place))
        run.send(signal.SIGKILL)
        code, _ = run.end()
        rows.append({
            "command": name, "killed": said,
            "exit": str(code) if came else f"{code}, ended before"})
      result = self.goes_on(workdir, name)
      yield from (row | {"same result": result} for row in rows)

  def flip(self) -> Iterator[Row]:
    """A bit flipped in each of ten files, of the last checkpoint and beside."""
    source = self.root / "straight/tune"
    kept = sorted(
        (p for p in (source / "checkpoints/6").rglob("*") if p.is_file()),
        key=lambda path: -path.stat().st_size)[:8]
    beside = [source / "checkpoints/4/SHA256SUMS", source / "config.json"]
    for i, path in enumerate([*kept, *beside]):
      workdir = runs.copy(source, self.root / "trials/flip")
      file = workdir / path.relative_to(source)
      content = bytearray(file.read_bytes())
      content[len(content) // 2] ^= 1 << i % 8
      file.write_bytes(content)
      code, lines = self.tiny["tune"].start(workdir).end()
      row = {"file": re.sub(r"[0-9a-f]{32}", "...", str(
          path.relative_to(source))), "exit": str(code),
             "said": self._words(lines[-1]) if code else ""}
      if advice := re.search(r"\(rm -r (.+?)\) and", lines[-1]):
        for name in shlex.split(advice[1]):
          shutil.rmtree(name)
      elif code:
        shutil.copy(path, file)  # As the message says: restore that file.
      yield row | {"same result": self.goes_on(workdir)}

  def limit(self) -> Iterator[Row]:
    """No file may become larger than so many bytes (ulimit -f)."""
    for size in (2000, 20_000):
      workdir = self.new("limit")
      run = self.tiny["tune"].start(workdir, functools.partial(
          resource.setrlimit, resource.RLIMIT_FSIZE, (size, size)))
      yield self._row({"limit": f"{size} bytes"}, workdir, run)

  def disk(self) -> Iterator[Row]:
    """The file system of the workdir is full from a moment on."""
    for name in ("step 1", "saving step 4", "writing samples of step 6"):
      workdir = self.new("disk", self.small)
      filler = self.small / "filler"
      yield self._at(
          name, workdir, functools.partial(_fill, filler), filler.unlink)

  def deleted(self) -> Iterator[Row]:
    """The workdir is deleted, or moved away and back, at a moment."""
    for name in ("step 1", "saving step 4", "writing samples of step 6"):
      workdir = self.new("deleted")
      yield {"what": "deleted"} | self._at(
          name, workdir, functools.partial(shutil.rmtree, workdir),
          lambda: None)
    workdir, away = self.new("deleted"), self.new("elsewhere")
    yield {"what": "moved, and back"} | self._at(
        "step 5", workdir, lambda: workdir.rename(away),
        functools.partial(_back, away, workdir))

  def read_only(self) -> Iterator[Row]:
    """Permission is taken away, of a user who is not root."""
    os.chmod(self.root, 0o755)
    workdir = self.new("read_only/run")
    workdir.mkdir(parents=True)
    run = self.tiny["tune"].start(workdir, _nobody)
    yield self._row({"at": "the workdir is root's"}, workdir, run)
    for name, taken in (
        ("step 1", "metrics.jsonl"), ("step 5", "checkpoints"),
        ("step 5", "samples")):
      workdir = self.new("read_only/run")
      workdir.mkdir(parents=True)
      os.chmod(workdir, 0o777)
      place = workdir / taken
      run = self._stopped(name, workdir, _nobody)
      mode = place.stat().st_mode
      os.chown(place, 0, 0)
      os.chmod(place, 0o555 if place.is_dir() else 0o444)
      run.send(signal.SIGCONT)
      run.until(lambda: False)
      os.chmod(place, mode)
      yield self._row({"at": f"{name}: {taken}"}, workdir, run)

  def two(self) -> Iterator[Row]:
    """A second process in the workdir of a run."""
    for second, name in (("tune", "before a step"), ("tune", "saving step 4"),
                         ("sample", "step 5")):
      workdir = self.new("two")
      run = self._stopped(name, workdir)
      if second == "sample":  # Reads while the other goes on.
        run.send(signal.SIGCONT)
      other = self.tiny[second].start(workdir)
      if second == "tune":
        assert other.end()[0]
        run.send(signal.SIGCONT)
      code, lines = other.end()
      first, _ = run.end()
      extra = workdir / "samples"
      rendered = [*extra.glob("step_*_1")]
      for path in rendered:
        shutil.rmtree(path)
      yield {"second": second, "at": name, "exit": f"{first} and {code}",
             "second said": self._words(lines[-1]) if code else (
                 f"(wrote {rendered[0].name})"),
             "same result": self.goes_on(workdir)}

  def signal(self) -> Iterator[Row]:
    """Ctrl-C, SIGTERM, and a pipe whose reader has ended, at moments."""
    for number in (signal.SIGINT, signal.SIGTERM):
      for name in ("loading", "saving step 4", "writing samples of step 6"):
        workdir = self.new("signal")
        run = self._stopped(name, workdir)
        run.send(number)
        run.send(signal.SIGCONT)
        yield {"signal": number.name} | self._row({"at": name}, workdir, run)
    workdir = self.new("signal")
    read, write = os.pipe()

    def pipe():
      os.dup2(write, 1)
      os.dup2(write, 2)
      for end in (read, write):
        os.close(end)
    run = self.tiny["tune"].start(workdir, pipe)
    os.close(write)
    os.read(read, 100)
    os.close(read)
    yield {"signal": "2>&1 | head"} | self._row(
        {"at": "100 bytes"}, workdir, run)

  def nan(self) -> Iterator[Row]:
    """Latents of the last video are NaN, so that its loss is."""
    for name in ("tune", "tune_many"):
      workdir = self.new("nan")
      run = self.tiny[name].start(workdir, _spoil)
      yield self._row({"command": name}, workdir, run, name)

  def _stopped(
      self, name: str, workdir: pathlib.Path,
      before: Callable[[], object] = lambda: None
  ) -> forks.Fork:
    """A run that is stopped at a moment."""
    run = self.tiny["tune"].start(workdir, before)
    came = run.until(lambda: MOMENTS["tune"][name](workdir))
    assert came, run.end()
    run.send(signal.SIGSTOP)
    return run

  def _at(
      self, name: str, workdir: pathlib.Path, begin: Callable[[], object],
      end: Callable[[], object],
  ) -> Row:
    """What comes of a change at a moment, which is undone after the run."""
    run = self._stopped(name, workdir)
    begin()
    run.send(signal.SIGCONT)
    run.until(lambda: False)
    end()
    return self._row({"at": name}, workdir, run)

  def _row(
      self, row: Row, workdir: pathlib.Path, run: forks.Fork,
      name: str = "tune",
  ) -> Row:
    """What came of a run, and of the same command afterwards."""
    code, lines = run.end()
    return row | {
        "exit": str(code), "lines": str(_errors(lines)),
        "said": self._words(lines[-1]) if lines else "(nothing)",
        "same result": self.goes_on(workdir, name)}

  def _words(self, line: str) -> str:
    """A line without this machine's paths."""
    line = re.sub("[0-9a-f]{32}", "...", line)
    for place in (self.root / "trials", self.small.absolute()):
      line = re.sub(rf"{re.escape(str(place))}/[a-z_]+(/run)?", "DIR", line)
    return line.replace("|", "/")


def _errors(lines: list[str]) -> int:
  """Lines that are no news of a run: errors, warnings and tracebacks."""
  return sum(
      bool(re.match("(error|warning): |Traceback|[A-Z]+:absl|Exception", x))
      or "ended by" in x or "interrupted" in x for x in lines)


def _back(away: pathlib.Path, workdir: pathlib.Path) -> None:
  shutil.rmtree(workdir, ignore_errors=True)
  away.rename(workdir)


def _fill(file: pathlib.Path) -> None:
  """Takes all space that is left."""
  with file.open("wb", buffering=0) as taken:
    for size in (1 << 16, 1 << 10, 1):
      try:
        while True:
          taken.write(bytes(size))
      except OSError:
        pass


def _spoil() -> None:
  from tav_jax.runs import build
  encode, left = build.encode, [2 if "tune_many.py" in sys.argv[0] else 1]

  def spoilt(*args):
    latents = encode(*args)
    left[0] -= 1
    return latents if left[0] else latents._replace(
        mean=latents.mean * float("nan"))
  build.encode = spoilt


def _nobody() -> None:
  """Goes on as a user without rights, with a home that is not writable."""
  os.environ["HOME"] = "/nonexistent"
  os.setgid(65534)
  os.setuid(65534)
