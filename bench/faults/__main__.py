r"""What comes of runs that are killed, starved, damaged or shared.

  python -m bench.faults --scratch=runs/faults
  mount -t tmpfs -o size=8m none /mnt/small  # As root.
  python -m bench.faults --scratch=runs/faults --small=/mnt/small --trials=disk

Tunes, tunes many, pretrains and evaluates, all tiny, while something happens to
the run; prints what the run said, and whether the next command went on to the
same result as a run that nothing happened to: all files, pixels, losses and
arrays of checkpoints, bit by bit. Takes about ten minutes on two cores.
"""

from collections.abc import Callable, Iterator
import os
import pathlib
import shutil

from absl import app, flags

from bench.faults import forks, runs, trials
from tav_jax.reports import table

_SCRATCH = flags.DEFINE_string("scratch", "runs/faults", "Where the runs go.")
_SMALL = flags.DEFINE_string(
    "small", "", "An empty file system of a few MB, for the trials of full "
    "disks.")
_COMMANDS = flags.DEFINE_list(
    "commands", list(trials.MOMENTS), "Which commands are killed.")
_TRIALS = flags.DEFINE_list("trials", [
    "kill", "flip", "limit", "two", "deleted", "read_only", "signal", "nan"],
    "Which to run; beside these, disk.")


def main(argv):
  """Runs the trials and prints a table of each kind."""
  del argv
  os.environ.setdefault("JAX_PLATFORMS", "cpu")
  root = pathlib.Path(_SCRATCH.value).absolute()
  root.mkdir(parents=True, exist_ok=True)
  tiny = runs.prepare(root)
  made = forks.Fork(lambda: runs.write_model(root), root / "model.output")
  assert made.end()[0] == 0, made.end()
  needed = {"tune"}  # Which evaluation reads, too.
  needed |= set(_COMMANDS.value) if "kill" in _TRIALS.value else set()
  needed |= {"tune_many"} if "nan" in _TRIALS.value else set()
  straight = {}
  for name in (name for name in trials.MOMENTS if name in needed):
    workdir = root / "straight" / name
    shutil.rmtree(workdir, ignore_errors=True)
    code, lines = tiny[name].start(workdir).end()
    assert code == 0, lines
    straight[name] = runs.result(workdir, root / "straight.output")
  bench = trials.Trials(root, tiny, straight, pathlib.Path(_SMALL.value))
  for name in _TRIALS.value:
    kinds: dict[str, Callable[[], Iterator[dict[str, str]]]] = {
        "kill": lambda: bench.kill(_COMMANDS.value), "flip": bench.flip,
        "limit": bench.limit, "disk": bench.disk, "two": bench.two,
        "deleted": bench.deleted, "read_only": bench.read_only,
        "nan": bench.nan, "signal": bench.signal}
    rows = []
    for row in kinds[name]():
      rows.append(row)
      print(name, *row.values(), sep=" | ", flush=True)
    text = table.markdown(rows)
    (root / f"{name}.md").write_text(text)
    print(f"\n{text}", flush=True)


if __name__ == "__main__":
  app.run(main)
