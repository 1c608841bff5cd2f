r"""StorybookEdit: variants of the method on videos whose true edits are known.

  WORKDIR/videos/00-man-skiing.mkv   the sources, lossless
  WORKDIR/vdm_baseline/00-man-skiing/ a run of tav_jax.tune each
  WORKDIR/edits.{md,csv,json}        a row for every edit
  WORKDIR/scores.{md,csv,json}       means of every variant, and of two bounds:
      the source itself, and the true edit through the autoencoder
  WORKDIR/differences.{md,csv,json}  from the first variant, edit by edit
  WORKDIR/report.html                all of it to look at
"""

import logging
import pathlib
import time
from typing import NamedTuple

from ml_collections import ConfigDict
import numpy as np
import tqdm

from tav_jax import pretrained
from tav_jax.data import video
from tav_jax.errors import InputError
from tav_jax.evaluation import systems
from tav_jax.evaluation.scoring import differences, summary
from tav_jax.measures import fidelity
from tav_jax.measures.clip_score import Scorer
from tav_jax.pretrained import files
from tav_jax.pretrained.load import load_vae
from tav_jax.reports import report, table
from tav_jax.runs import settings, tuning
from tav_jax.runs import workdir as workdirs
from tav_jax.storybook import edits, judge
from tav_jax.storybook.world.scene import caption, labels

log = logging.getLogger(__name__)

_RATE = 8.0


class Job(NamedTuple):
  """One source video."""

  name: str
  source: edits.Source
  frames: np.ndarray
  path: pathlib.Path


def check(config: ConfigDict) -> None:
  """Raises an InputError that names the first value that will not do."""
  for name in config.only:
    if name not in config.variants:
      raise InputError(
          f"only={tuple(config.only)}: {name!r} is none of the variants, "
          f"{', '.join(config.variants)}")
  if config.run.video.width != config.run.video.height:
    raise InputError(
        f"run.video.width={config.run.video.width}: expected "
        f"run.video.height={config.run.video.height}; drawings are square")


def run(config: ConfigDict, workdir: pathlib.Path) -> None:
  """Tunes, samples and scores every variant, going on where it was left.

  Args:
    config: `videos` (how many), `variants` (what each changes in `run`), `only`
      (which of them), `run` (a config of tav_jax.tune), `clip`, `seed`.
    workdir: Where to.

  Raises:
    InputError: If a variant's config will not do.
  """
  check(config)
  videos = workdir / "videos"
  jobs = _jobs(config, videos)
  plans = [
      (name, job, _config(config, config.variants[name], job))
      for name in config.only for job in jobs]
  for name, job, plan in plans:
    settings.check(plan)
    workdirs.check(workdir / name / job.name, plan)
  videos.mkdir(parents=True, exist_ok=True)
  for job in jobs:
    video.write_lossless(job.path, video.Clip(job.frames, _RATE))
  started, done = time.monotonic(), 0
  for i, (name, job, plan) in enumerate(plans):
    at = workdir / name / job.name
    if workdirs.samples(at, plan.optimizer.steps).exists():
      continue
    left = (time.monotonic() - started) / done * (len(plans) - i) if done else 0
    log.info(
        "%s, %s: run %d of %d%s", name, job.name, i + 1, len(plans),
        f", about {left / 60:.0f} min left" if done else "")
    tuning.run(plan, at)
    done += 1
  rows, entries = _score(config, workdir, jobs)
  table.write(workdir, "edits", rows, "{:.2f}".format)
  summarise = lambda rows: summary(rows, ("system",), unit=("video",))
  means = summarise(rows)
  table.write(workdir, "scores", means)
  apart = summarise(differences(
      [row for row in rows if row["system"] in config.only],
      ("video", "kind"))) if len(config.only) > 1 else []
  if apart:
    table.write(workdir, "differences", apart)
  report.write(workdir / "report.html", "StorybookEdit", means, apart, entries)
  log.info("%s%s", table.markdown(means), workdir / "report.html")


def _jobs(config: ConfigDict, directory: pathlib.Path) -> list[Job]:
  """Draws the sources."""
  jobs = []
  shape = config.run.video
  for i, source in enumerate(edits.sources(config.videos, config.seed)):
    name = f"{i:02}-{source.scene.subject}-{source.scene.verb}"
    frames = edits.draw(source.scene, shape.frames, shape.height)
    jobs.append(Job(name, source, frames, directory / f"{name}.mkv"))
  return jobs


def _config(config: ConfigDict, changes: ConfigDict, job: Job) -> ConfigDict:
  """A run of one variant on one video."""
  run = ConfigDict(config.run.to_dict())
  run.update(changes.to_dict())
  run.video.path = str(job.path)
  run.video.caption = caption(job.source.scene)
  run.video.start, run.video.stride = 0, 1
  run.sampling.prompts = tuple(
      caption(edit.scene) for edit in job.source.edits)
  return run.lock()


def _score(config: ConfigDict, workdir: pathlib.Path, jobs: list[Job]):
  """Rows and the report's entries: every edit of every video by every system.
  """
  scorer = Scorer(pretrained.load_clip(config.clip))
  referee = judge.load(files.locate(files.STORYBOOK) / "judge")
  model = config.run.model
  vae = load_vae(
      files.locate(model.checkpoint, model.revision or None) / "vae")
  bounds = {
      "the source": lambda job, truth: job.frames,
      "the true edit": lambda job, truth: video.to_pixels(
          vae.decode(vae.encode(video.to_model(truth)[None])[0]))[0]}
  rows, entries = [], []
  with tqdm.tqdm(
      total=len(jobs) * len(edits.KINDS) * (len(config.only) + len(bounds)),
      desc="scoring", unit="video", leave=False, dynamic_ncols=True) as bar:
    for job in jobs:
      found = {
          name: {r.prompt: r for r in systems.read(workdir / name / job.name)}
          for name in config.only}
      for edit in job.source.edits:
        truth = edits.draw(edit.scene, *job.frames.shape[:2])
        prompt = caption(edit.scene)
        videos = {
            name: read(job, truth) for name, read in bounds.items()} | {
                name: found[name][prompt].frames() for name in config.only}
        shown = []
        for name, frames in videos.items():
          scores = scorer.paper_scores(frames, prompt)
          to_truth = fidelity.scores(frames, truth, job.frames) | _shown(
              referee, frames, job.source, edit)
          if name == "the source":
            to_truth["preservation"] = None  # Of itself.
          rows.append({
              "system": name, "video": job.name, "kind": edit.kind,
              "prompt": prompt} | scores | to_truth)
          shown.append(report.show(name, frames, _RATE, {
              "PSNR": to_truth["PSNR"],
              "change %": to_truth["change shown"]}))
          bar.update()
        entries.append(report.Entry(f"{edit.kind}: {prompt}", shown))
  return rows, entries


def _shown(
    referee: judge.Judge, frames: np.ndarray, source: edits.Source,
    edit: edits.Edit,
) -> dict[str, float]:
  """What the judge sees, in per cent of frames and of groups of the world.

  "change shown" is of the groups that the edit changes, "rest shown" of those
  that it leaves.
  """
  before, after = labels(source.scene), labels(edit.scene)
  right = referee.accuracy(frames, [after] * len(frames))
  mean = lambda changes: 100 * float(np.mean([
      right[group] for group in right
      if (before[group] != after[group]) == changes]))
  return {"change shown": mean(True), "rest shown": mean(False)}
