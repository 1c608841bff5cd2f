"""Scores of the videos of one or more systems, side by side."""

from collections.abc import Mapping, Sequence
import functools
import logging
import pathlib
from typing import Any

from ml_collections import ConfigDict
import numpy as np
import tqdm

from tav_jax import pretrained
from tav_jax.errors import InputError
from tav_jax.evaluation import edit_scores, systems
from tav_jax.measures import intervals
from tav_jax.measures.clip_score import Scorer
from tav_jax.reports import report, table

log = logging.getLogger(__name__)

RANGES = (("fps", 0.1, 100),)


def run(config: ConfigDict, workdir: pathlib.Path) -> None:
  """Writes a row for every video, the means of every system, and the report.

  For two or more systems, it also writes how the others differ from the first,
  prompt by prompt. Intervals are over source videos: the edits of one video are
  one draw.

  Args:
    config: `systems` (folders, as for `systems.read`), `clip` and
      `pick_score` (checkpoints; "" for no PickScore), `fps` of the report.
    workdir: Where `scores`, `differences` and `videos` (.md, .csv, .json) and
      `report.html` go.

  Raises:
    InputError: If there is nothing to score, no CLIP to score with, or systems
      have no prompt in common.
  """
  if not config.systems:
    raise InputError(
        "systems=(): expected one folder of videos or more, such as "
        "--config.systems=\"('runs/demo',)\"")
  found = {str(path): systems.read(path) for path in config.systems}
  differences(  # Says what cannot be compared before the work.
      [{"system": name, "prompt": result.prompt}
       for name, results in found.items() for result in results], ("prompt",))
  scorers = {"": Scorer(pretrained.load_clip(config.clip))}
  if config.pick_score:
    scorers["PickScore"] = Scorer(pretrained.load_clip(config.pick_score))
  source_of = functools.lru_cache(maxsize=1)(_source)
  rows, entries = [], {}
  with tqdm.tqdm(
      total=sum(map(len, found.values())), desc="scoring", unit="video",
      leave=False, dynamic_ncols=True) as bar:
    for name, results in found.items():
      for result in results:
        frames = result.frames()
        source = None if result.source is None else source_of(
            result.source, result.caption)
        check_source(result, frames, source)
        scores = edit_scores.scores(
            scorers[""], frames, result.prompt, source)
        if config.pick_score:
          scores["PickScore"] = scorers["PickScore"].pick_score(
              frames, result.prompt)
        rows.append({
            "system": name, "prompt": result.prompt,
            # Edits of one source are no independent draws.
            "source": str(result.source or result.path)} | scores)
        if result.prompt not in entries:
          entries[result.prompt] = [] if source is None else [
              report.show("the source", source.frames, config.fps)]
        entries[result.prompt].append(
            report.show(name, frames, config.fps, scores))
        bar.update()
  table.write(workdir, "videos", rows, "{:.2f}".format)
  summarise = lambda rows: summary(rows, ("system",), unit=("source",))
  means = summarise(rows)
  table.write(workdir, "scores", means)
  apart = []
  if len(found) > 1:
    apart = summarise(differences(rows, ("prompt",)))
    table.write(workdir, "differences", apart)
  report.write(
      workdir / "report.html", "Scores", means, apart,
      [report.Entry(*entry) for entry in entries.items()])
  log.info("%s%s", table.markdown(means), workdir / "report.html")


def _source(path: pathlib.Path, caption: str | None) -> edit_scores.Source:
  return edit_scores.Source(systems.frames(path), caption)


def check_source(
    result: systems.Result, frames: np.ndarray,
    source: edit_scores.Source | None,
) -> None:
  """Raises an InputError unless the source is as long and as large."""
  describe = lambda video: (
      f"{len(video)} frames of {video.shape[2]}x{video.shape[1]}")
  if source is not None and source.frames.shape != frames.shape:
    raise InputError(
        f"{result.path}: {describe(frames)}; expected "
        f"{describe(source.frames)} as its source, {result.source}, has")


Row = Mapping[str, str | float | None]


def summary(
    rows: Sequence[Row], by: Sequence[str], unit: Sequence[str]
) -> list[dict[str, str | intervals.Mean]]:
  """The mean and 95 % interval of every score, for each kind of row.

  Args:
    rows: All with the same keys. Numbers are scores; None is left out.
    by: Keys whose values define a kind.
    unit: Keys whose values define an independent draw, such as the source video
      of several edits: scores of the same draw are averaged first.
  """
  kinds = dict.fromkeys(_values(row, by) for row in rows)
  scores = [
      key for key in rows[0]
      if any(isinstance(row[key], float) for row in rows)]

  def values(kind: tuple, score: str) -> list[float]:
    units: dict[tuple, list] = {}
    for row in rows:
      if _values(row, by) == kind and row[score] is not None:
        units.setdefault(_values(row, unit), []).append(row[score])
    return [float(np.mean(unit)) for unit in units.values()]

  return [
      dict(zip(by, kind, strict=True)) | {
          score: intervals.mean(values(kind, score)) for score in scores}
      for kind in kinds]


def differences(rows: Sequence[Row], match: Sequence[str]) -> list[Row]:
  """Scores of the systems minus those of the first, on the same work.

  Args:
    rows: Scores; each row has a key "system".
    match: Keys by which a row is matched with one of the first system. Several
      rows with the same values are matched in order.

  Returns:
    A row for every row that has a partner; a score is None where one of the two
    is None.

  Raises:
    InputError: If a system has nothing in common with the first.
  """
  systems: dict[Any, dict[tuple, Row]] = {}
  for row in rows:
    found = systems.setdefault(row["system"], {})
    same = sum(key[:-1] == _values(row, match) for key in found)
    found[*_values(row, match), same] = row
  first, *others = systems
  apart = []
  for name in others:
    common = systems[name].keys() & systems[first].keys()
    if not common:
      raise InputError(
          f"systems: {name} and {first} have no {' and '.join(match)} in "
          "common")
    apart += [
        _minus(row, systems[first][key])
        for key, row in systems[name].items() if key in common]
  return apart


def _minus(row: Row, other: Row) -> Row:
  def minus(value, other):
    if value is None or other is None:
      return None
    return value - other if isinstance(value, float) else value

  return {key: minus(value, other[key]) for key, value in row.items()}


def _values(row: Row, keys: Sequence[str]) -> tuple:
  return tuple(row[key] for key in keys)
