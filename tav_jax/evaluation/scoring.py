"""Scores of the videos of one system or more, side by side."""

from collections.abc import Mapping, Sequence
import logging
import pathlib

from ml_collections import ConfigDict
import tqdm

from tav_jax import pretrained
from tav_jax.errors import InputError
from tav_jax.evaluation import intervals, report, systems, table
from tav_jax.evaluation.clip_score import Scorer

log = logging.getLogger(__name__)


def run(config: ConfigDict, workdir: pathlib.Path) -> None:
  """Writes a row for every video, the means of every system, and the report.

  Args:
    config: `systems` (folders, as for `systems.read`), `clip` and
      `pick_score` (checkpoints; "" for no PickScore), `fps` of the report.
    workdir: Where `scores` and `videos` (.md, .csv, .json) and `report.html`
      go.

  Raises:
    InputError: If there is nothing to score, or no CLIP to score with.
  """
  if not config.systems:
    raise InputError(
        "systems=(): expected one folder of videos or more, such as "
        "--config.systems=\"('runs/demo',)\"")
  found = {str(path): systems.read(path) for path in config.systems}
  scorers = {"": Scorer(pretrained.load_clip(config.clip))}
  if config.pick_score:
    scorers["PickScore"] = Scorer(pretrained.load_clip(config.pick_score))
  rows, entries = [], {}
  with tqdm.tqdm(
      total=sum(map(len, found.values())), desc="scoring", unit="video",
      leave=False, dynamic_ncols=True) as bar:
    for name, results in found.items():
      for result in results:
        frames = result.frames()
        scores = scorers[""].paper_scores(frames, result.prompt)
        if config.pick_score:
          scores["PickScore"] = scorers["PickScore"].pick_score(
              frames, result.prompt)
        rows.append({"system": name, "prompt": result.prompt} | scores)
        entries.setdefault(result.prompt, []).append(
            report.show(name, frames, config.fps, scores))
        bar.update()
  table.write(workdir, "videos", rows, "{:.2f}".format)
  means = summary(rows, ("system",), config.seed)
  table.write(workdir, "scores", means)
  report.write(
      workdir / "report.html", "Scores", means,
      [report.Entry(*entry) for entry in entries.items()])
  log.info("%s%s", table.markdown(means), workdir / "report.html")


Row = Mapping[str, str | float | None]


def summary(
    rows: Sequence[Row], by: Sequence[str], seed: int
) -> list[dict[str, str | intervals.Mean]]:
  """The mean and 95 % interval of every score, for each kind of row.

  Args:
    rows: All with the same keys. Numbers are scores; None is left out.
    by: Keys whose values make a kind.
    seed: Of the bootstrap.
  """
  kinds = dict.fromkeys(tuple(row[key] for key in by) for row in rows)
  scores = [
      key for key in rows[0]
      if any(isinstance(row[key], float) for row in rows)]
  values = lambda kind, score: [
      row[score] for row in rows
      if tuple(row[key] for key in by) == kind and row[score] is not None]
  return [
      dict(zip(by, kind, strict=True)) | {
          score: intervals.mean(values(kind, score), seed) for score in scores}
      for kind in kinds]
