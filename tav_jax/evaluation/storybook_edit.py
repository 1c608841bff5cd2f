r"""StorybookEdit: variants of the method on videos whose true edits are known.

  WORKDIR/videos/00-man-skiing.mkv   the sources, lossless
  WORKDIR/vdm_baseline/00-man-skiing/ a run of tav_jax.tune for each
  WORKDIR/edits.{md,csv,json}        a row for every edit
  WORKDIR/scores.{md,csv,json}       means of every variant, and of what they
      lie between: the source itself, the true edit through the autoencoder, and
      that one's middle frame, standing still
  WORKDIR/differences.{md,csv,json}  from the first variant, edit by edit
  WORKDIR/report.html                a page with all videos
"""

from collections.abc import Mapping, Sequence
import logging
import math
import pathlib
from typing import NamedTuple

from ml_collections import ConfigDict
import numpy as np
import tqdm

from tav_jax import pretrained
from tav_jax.data import video
from tav_jax.errors import InputError
from tav_jax.evaluation import drawn_scores, edit_scores, systems
from tav_jax.evaluation.scoring import differences, summary
from tav_jax.measures.clip_score import Scorer
from tav_jax.pretrained import files
from tav_jax.pretrained.load import load_vae
from tav_jax.reports import report, table
from tav_jax.runs import many, settings
from tav_jax.runs.job import Job
from tav_jax.storybook import edits, judge, truth
from tav_jax.storybook.world import look
from tav_jax.storybook.world.scene import caption

log = logging.getLogger(__name__)

RANGES = (
    ("seed", *settings.SEEDS), ("videos", 1, math.inf),
    ("run.video.height", 16, 256), ("run.video.frames", 2, math.inf))
BOUNDS = "the source", "the true edit", "a still video"
_RATE = 8.0


class Drawn(NamedTuple):
  """One source video, drawn.

  Attributes:
    name: Name in directories and tables.
    source: First scene, and edits.
    clip: What is drawn.
    path: Its file.
  """

  name: str
  source: edits.Source
  clip: truth.Clip
  path: pathlib.Path


def check(config: ConfigDict) -> None:
  """Raises an InputError that names the first invalid value."""
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
  """Tunes, samples and scores every variant, from where it was left.

  Args:
    config: `videos` (how many), `free` (whether their looks and cameras are
      random), `variants` (what each changes in `run`), `only` (which of them),
      `run` (a config of tav_jax.tune), `clip`, `judge`, `seed`.
    workdir: Directory of all results.

  Raises:
    InputError: If a variant's config is invalid, the judge does not tell what
      is drawn, or the run of a video failed.
  """
  check(config)
  referee = _judge(config)
  videos = _draw(config, workdir / "videos")
  jobs = {
      (name, drawn.name): _job(config, name, drawn, workdir)
      for name in config.only for drawn in videos}
  for job in jobs.values():
    job.check()
  for drawn in videos:
    _write(drawn)
  many.run(list(jobs.values()))
  rows, entries = _score(config, referee, videos, jobs)
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


def _judge(config: ConfigDict) -> judge.Judge:
  """The judge, who tells the looks if these are random."""
  referee = judge.load(
      pathlib.Path(config.judge) if config.judge
      else files.locate(files.STORYBOOK) / "judge")
  if config.free and not look.FREE.keys() <= dict(referee.config.heads).keys():
    raise InputError(
        f"judge={config.judge!r}: it does not tell looks, which are random "
        "with free=True; expected a judge that does, or free=False")
  return referee


def _draw(config: ConfigDict, directory: pathlib.Path) -> list[Drawn]:
  """Draws the sources, which `_write` writes to the directory."""
  videos = []
  shape = config.run.video
  for i, source in enumerate(
      edits.sources(config.videos, config.seed, config.free)):
    name = f"{i:02}-{source.scene.subject}-{source.scene.verb}"
    clip = truth.clip(source.scene, shape.frames, shape.height)
    videos.append(Drawn(name, source, clip, directory / f"{name}.mkv"))
  return videos


def _write(drawn: Drawn) -> None:
  """Writes a source's file unless it exists.

  Raises:
    InputError: If another video is there, on which runs may have been tuned.
  """
  if not drawn.path.exists():
    drawn.path.parent.mkdir(parents=True, exist_ok=True)
    partial = drawn.path.with_suffix(".partial.mkv")
    video.write_lossless(partial, video.Clip(drawn.clip.frames, _RATE))
    partial.rename(drawn.path)
  elif not np.array_equal(video.read_all(drawn.path), drawn.clip.frames):
    raise InputError(
        f"{drawn.path}: another video than is drawn today for this seed, free, "
        "run.video.frames and size; use another workdir")


def _job(
    config: ConfigDict, variant: str, drawn: Drawn, workdir: pathlib.Path
) -> Job:
  """The run of one variant on one video."""
  run = ConfigDict(config.run.to_dict())
  run.update(config.variants[variant].to_dict())
  run.video.path = str(drawn.path)
  run.video.caption = caption(drawn.source.scene)
  run.video.start, run.video.stride = 0, 1
  run.sampling.prompts = tuple(
      caption(edit.scene) for edit in drawn.source.edits)
  return Job(
      f"{variant}/{drawn.name}", settings.of(run.to_dict()),
      workdir / variant / drawn.name)


def _score(
    config: ConfigDict, referee: judge.Judge, videos: Sequence[Drawn],
    jobs: Mapping[tuple[str, str], Job],
):
  """Rows of scores and entries of the report, for every edit by every system.
  """
  scorer = Scorer(pretrained.load_clip(config.clip))
  model = config.run.model
  vae = load_vae(
      files.locate(model.checkpoint, model.revision or None) / "vae")
  rows, entries = [], []
  with tqdm.tqdm(
      total=len(videos) * len(edits.KINDS) * (len(config.only) + len(BOUNDS)),
      desc="scoring", unit="video", leave=False, dynamic_ncols=True) as bar:
    for drawn in videos:
      source = edit_scores.Source(
          drawn.clip.frames, caption(drawn.source.scene))
      found = {
          name: {
              result.prompt: result
              for result in systems.read(jobs[name, drawn.name].samples)}
          for name in config.only}
      for edit in drawn.source.edits:
        true = truth.clip(edit.scene, *drawn.clip.frames.shape[:2])
        prompt = caption(edit.scene)
        shown = []
        for name, frames in (
            _bounds(vae, source.frames, true.frames) | {
                name: found[name][prompt].frames() for name in config.only}
        ).items():
          scores = edit_scores.scores(
              scorer, frames, prompt, source
          ) | drawn_scores.scores(referee, frames, drawn.clip, true)
          rows.append({
              "system": name, "video": drawn.name, "kind": edit.kind,
              "prompt": prompt} | scores)
          shown.append(report.show(name, frames, _RATE, {
              "unedited PSNR": scores["unedited PSNR"],
              "change %": scores["change shown"]}))
          bar.update()
        entries.append(report.Entry(f"{edit.kind}: {prompt}", shown))
  return rows, entries


def _bounds(
    vae, source: np.ndarray, true: np.ndarray
) -> dict[str, np.ndarray]:
  """What no edit should fall below, could be, and should not be."""
  coded = video.to_pixels(
      vae.decode(vae.encode(video.to_model(true)[None])[0]))[0]
  middle = coded[[len(coded) // 2] * len(coded)]
  return dict(zip(BOUNDS, (source, coded, middle), strict=True))
