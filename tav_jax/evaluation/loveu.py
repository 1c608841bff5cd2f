r"""LOVEU-TGVE-2023: 304 edits of 76 videos (arXiv 2310.16003).

`loveu_videos` reads the benchmark; this evaluation writes

  WORKDIR/runs/DAVIS_480p/VIDEO/         a run of tav_jax.tune for each video
  WORKDIR/submission/DAVIS_480p/VIDEO/style/00000.jpg
  WORKDIR/scored/DAVIS_480p/VIDEO.json   the scores of a video's edits
  WORKDIR/edits, scores (.md, .csv, .json)
  WORKDIR/report.html                    a page with all videos

`submission` is what the organisers ask for and what their `scripts/run_eval.py`
reads (github.com/showlab/loveu-tgve-2023).

Shards may share a workdir and run at once: each writes the scores of its own
videos, then the tables and the page of all videos that are scored by then.
"""

from collections.abc import Sequence
import json
import logging
import math
import pathlib
from typing import Any

from ml_collections import ConfigDict
import numpy as np
from PIL import Image
import tqdm

from tav_jax import pretrained
from tav_jax.data import atomic, locks, names
from tav_jax.data.video import frame_files
from tav_jax.errors import InputError
from tav_jax.evaluation import systems
from tav_jax.evaluation.loveu_videos import read, Video
from tav_jax.evaluation.scoring import Row, summary
from tav_jax.measures.clip_score import Scorer
from tav_jax.measures.intervals import Mean
from tav_jax.reports import report, table
from tav_jax.runs import many, settings
from tav_jax.runs.job import Job

log = logging.getLogger(__name__)

RANGES = ()

_SCORES = ("frame consistency", "adjacent consistency", "textual alignment")
_SIZE = 480  # Frames are scored at this height and width,
_SHOWN = 240  # and shown at this one, so that browsers can open the page,
_RATE = 8.0  # at this rate a second.


def run(config: ConfigDict, workdir: pathlib.Path) -> None:
  """Tunes on the shard's videos, renders their edits, scores them.

  Args:
    config: `root`, `shard` (of the videos), `run` (a config of tav_jax.tune,
      with the most frames of a video), `clip`, `pick_score` ("" for none).
    workdir: Directory of all results.

  Raises:
    InputError: If the benchmark is missing, a config is invalid, or the run of
      a video failed.
  """
  benchmark = read(names.at_home(config.root))
  videos = many.shard(benchmark, config.shard)
  if not videos:
    log.warning("shard=%s has none of the videos", config.shard)
    return
  jobs = [make_job(config, video, workdir) for video in videos]
  for job in jobs:
    job.check()
  fewer = sum(job.settings.video.stride > 1 for job in jobs)
  if fewer:
    log.warning(
        "%d of %d videos have more than run.video.frames=%d frames; the "
        "benchmark's edits have as many as the video", fewer, len(jobs),
        config.run.video.frames)
  many.run(jobs)
  for video, job in zip(videos, jobs, strict=True):
    _submit(workdir, video, job)
  _score(config, workdir, videos)
  _settle(config, workdir, benchmark)


def make_job(
    config: ConfigDict, video: Video, workdir: pathlib.Path
) -> Job:
  """The run of a video: all its frames, or as many as the config allows."""
  run = ConfigDict(config.run.to_dict())
  there = len(frame_files(video.frames))
  run.video.path, run.video.caption = str(video.frames), video.caption
  run.video.frames = min(run.video.frames, there)
  run.video.stride = _stride(there, run.video.frames)
  run.sampling.prompts = tuple(video.prompts.values())
  return Job(
      f"{video.split}/{video.name}", settings.of(run.to_dict()),
      workdir / "runs" / video.split / video.name)


def _stride(there: int, frames: int) -> int:
  """Distance between the frames that a run takes of those that are there."""
  return max(1, there // max(1, frames))


def _resize(frames: np.ndarray, size: int) -> np.ndarray:
  return np.stack([
      np.asarray(Image.fromarray(frame).resize(
          (size, size), Image.Resampling.BICUBIC)) for frame in frames])


def _submission(
    workdir: pathlib.Path, video: Video, kind: str
) -> pathlib.Path:
  return workdir / "submission" / video.split / video.name / kind


def _submit(workdir: pathlib.Path, video: Video, job: Job) -> None:
  """Copies samples to where the benchmark expects them."""
  found = {result.prompt: result for result in systems.read(job.samples)}
  for kind, prompt in video.prompts.items():
    with atomic.replacing(_submission(workdir, video, kind)) as partial:
      partial.mkdir()
      for i, frame in enumerate(found[prompt].frames()):
        Image.fromarray(frame).save(partial / f"{i:05}.jpg", quality=95)


def _score(
    config: ConfigDict, workdir: pathlib.Path, videos: Sequence[Video]
) -> None:
  """Writes the scores of every video's edits, and what the page shows."""
  scorer = Scorer(pretrained.load_clip(config.clip))
  pick = config.pick_score and Scorer(pretrained.load_clip(config.pick_score))
  for video in tqdm.tqdm(
      videos, desc="scoring", unit="video", leave=False, dynamic_ncols=True):
    rows, entries = [], []
    for kind, prompt in video.prompts.items():
      frames = systems.frames(_submission(workdir, video, kind))
      scored = _resize(frames, _SIZE)
      scores = scorer.paper_scores(scored, prompt)
      if pick:
        scores["PickScore"] = pick.pick_score(scored, prompt)
      rows.append({
          "split": video.split, "video": video.name, "kind": kind,
          "prompt": prompt} | scores)
      source = systems.frames(video.frames)
      source = source[::_stride(len(source), len(frames))][:len(frames)]
      entries.append(report.Entry(
          f"{video.split}/{video.name}, {kind}: {prompt}", [
              report.show("the source", _resize(source, _SHOWN), _RATE),
              report.show("the edit", _resize(frames, _SHOWN), _RATE,
                          scores)]))
    with atomic.replacing(_scored(workdir, video)) as partial:
      partial.write_text(json.dumps(
          {"scorers": _scorers(config), "rows": rows, "entries": entries}))


def _scored(workdir: pathlib.Path, video: Video) -> pathlib.Path:
  return workdir / "scored" / video.split / f"{video.name}.json"


def _scorers(config: ConfigDict) -> list[str]:
  """The CLIPs that score; scores of other CLIPs cannot be compared."""
  return [config.clip, config.pick_score]


def _read_scored(file: pathlib.Path) -> dict[str, Any]:
  """What `_score` wrote of a video."""
  try:
    found = json.loads(file.read_bytes())
    scored = {name: found[name] for name in ("scorers", "rows", "entries")}
    _check_scored(**scored)
    return scored
  except (OSError, ValueError, KeyError, TypeError, AttributeError,
          RecursionError) as error:
    raise InputError(
        f"{file}: cannot be read ({error!r}); delete it, and the command of "
        "its video's shard writes it again") from error


def _check_scored(scorers: Any, rows: Any, entries: Any) -> None:
  """Raises an error unless these are what `_score` writes."""
  _, pick = scorers
  texts = {"split", "video", "kind", "prompt"}
  scores = {*_SCORES} | ({"PickScore"} if pick else set())
  if not rows:
    raise ValueError("no rows")
  for row in rows:
    if row.keys() != texts | scores or not all(
        isinstance(row[key], str) for key in texts) or not all(
            isinstance(row[key], float) and math.isfinite(row[key])
            for key in scores):
      raise ValueError(f"the row {row}")
  for prompt, videos in entries:
    if not isinstance(prompt, str) or not all(
        list(map(type, video)) == [str, str, int, str] for video in videos):
      raise ValueError(f"the entry {prompt!r}")


def _settle(
    config: ConfigDict, workdir: pathlib.Path, videos: Sequence[Video]
) -> None:
  """Writes the tables and the page of all videos that are scored so far."""
  with locks.locked(workdir / "scored", wait=True):
    files = [_scored(workdir, video) for video in videos]
    scored = [_read_scored(file) for file in files if file.exists()]
    scored = [x for x in scored if x["scorers"] == _scorers(config)]
    rows = [row for video in scored for row in video["rows"]]
    means = summarise(rows)
    table.write(workdir, "edits", rows, "{:.2f}".format)
    table.write(workdir, "scores", means)
    report.write(
        workdir / "report.html", "LOVEU-TGVE-2023", means, [], [
            report.Entry(prompt, [report.Shown(*shown) for shown in videos])
            for video in scored for prompt, videos in video["entries"]])
  log.info("%s%d of %d videos are scored", table.markdown(means), len(scored),
           len(videos))


def summarise(rows: Sequence[Row]) -> list[dict[str, str | Mean]]:
  """Means over videos for every kind of edit and for all of them."""
  return summary(
      [*rows, *({**row, "kind": "all"} for row in rows)], ("kind",),
      unit=("split", "video"))
