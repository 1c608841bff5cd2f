r"""Times the tuning of many videos together, and one after another.

  python -m bench.together --out=runs/together [--steps=40]

The embedded model on eight videos: the four that come with it, with two seeds
each. `python -m tav_jax.tune_many` with --together=8 and --together=1 (one
process in both cases), and `python -m tav_jax.tune` eight times, take turns.
A first round, which does not count, fills the cache of compiled programs.
Prints a table of wall times, and how far the losses of these ways are apart.
"""

import csv
import json
import pathlib
import shutil
import subprocess
import sys
import time

from absl import app, flags
import numpy as np
import tqdm

from tav_jax.reports import table

_OUT = flags.DEFINE_string("out", None, "Directory to write.", required=True)
_STEPS = flags.DEFINE_integer("steps", 40, "Tuning steps.", 1)
_SAMPLING = flags.DEFINE_integer("sampling_steps", 10, "DDIM steps.", 1)
_ROUNDS = flags.DEFINE_integer("rounds", 2, "Rounds that count.", 1)

_DIRECTORY = pathlib.Path("tav_jax/storybook/videos").resolve()
_VIDEOS = {  # With caption and prompt.
    "man-skiing": (
        "a man is skiing on the snow", "a panda is skiing on the snow"),
    "penguin-surfing": (
        "a penguin is surfing on the beach",
        "a rabbit is surfing on the beach"),
    "rabbit-jumping": (
        "a rabbit is jumping on the grass", "a robot is jumping on the grass"),
    "robot-dancing": (
        "a robot is dancing in the city", "a woman is dancing in the city"),
}
_WAYS = ("eight together", "one after another", "eight commands")


def main(argv):
  """Runs all ways in turns."""
  del argv
  out = pathlib.Path(_OUT.value)
  shutil.rmtree(out, ignore_errors=True)
  out.mkdir(parents=True)
  rows = _write_list(out / "videos.csv")
  seconds: dict[str, list[float]] = {way: [] for way in _WAYS}
  for i in tqdm.trange(1 + _ROUNDS.value, desc="rounds"):
    for way in _WAYS:
      shutil.rmtree(out / way, ignore_errors=True)
      started = time.monotonic()
      # The first command compiles for all of them.
      _run(way, out, rows if i else rows[:1])
      if i:
        seconds[way].append(time.monotonic() - started)
  medians = {way: float(np.median(times)) for way, times in seconds.items()}
  print(table.markdown([
      {"way": way, "seconds": f"{medians[way]:.0f}",
       "ratio": f"{medians[way] / medians[_WAYS[0]]:.2f}"} for way in _WAYS]))
  apart = max(
      abs(a / b - 1) for row in rows
      for a, b in zip(*(_losses(out / way / row["name"]) for way in _WAYS[:2]),
                      strict=True))
  print(f"losses differ by {apart:.1e} of themselves, at most")


def _write_list(path: pathlib.Path) -> list[dict[str, str]]:
  rows = [
      {"name": f"{name}-{seed}", "video": str(_DIRECTORY / f"{name}.mp4"),
       "caption": caption, "prompts": prompt, "seed": str(seed)}
      for name, (caption, prompt) in _VIDEOS.items() for seed in (1, 2)]
  with path.open("w", newline="") as file:
    writer = csv.DictWriter(file, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
  return rows


def _run(way: str, out: pathlib.Path, rows: list[dict[str, str]]) -> None:
  shared = (
      "--config=configs/storybook.py",
      f"--config.optimizer.steps={_STEPS.value}",
      f"--config.sampling.steps={_SAMPLING.value}")
  if way != "eight commands":
    together = 8 if way == "eight together" else 1
    _command("tune_many", *shared, f"--videos={out / 'videos.csv'}",
             f"--together={together}", f"--workdir={out / way}")
    return
  for row in rows:
    _command("tune", *shared, f"--workdir={out / way / row['name']}",
             f"--config.video.path={row['video']}",
             f"--config.video.caption={row['caption']}",
             f"--config.sampling.prompts={(row['prompts'],)!r}",
             f"--config.seed={row['seed']}")


def _command(entry: str, *args: str) -> None:
  subprocess.run(
      [sys.executable, "-m", f"tav_jax.{entry}", *args], check=True,
      stderr=subprocess.DEVNULL)


def _losses(workdir: pathlib.Path) -> list[float]:
  lines = (workdir / "metrics.jsonl").read_text().splitlines()
  return [json.loads(line)["loss"] for line in lines]


if __name__ == "__main__":
  app.run(main)
