r"""The video models that Tune-A-Video stands on, side by side.

  WORKDIR/clips/vdm/                a system's clips, as it made them
  WORKDIR/lineage.{md,csv,json}     a row for true clips and for every system
  WORKDIR/extension.{md,csv,json}   the same for clips made block after block
  WORKDIR/claims.{md,csv,json}      what the papers claim, and what is seen
  WORKDIR/report.html               a page that plays the clips in step

docs/lineage.md defines the columns.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import logging
import math
import pathlib
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from tav_jax import pretrained
from tav_jax.data import names
from tav_jax.errors import about, InputError
from tav_jax.evaluation import (
  lineage_claims,
  lineage_extension,
  lineage_scores,
  lineage_systems,
  lineage_tuned,
)
from tav_jax.evaluation.lineage_scores import Form, Measured, World
from tav_jax.evaluation.lineage_systems import Made, System
from tav_jax.measures import frechet, intervals
from tav_jax.measures.clip_score import Scorer
from tav_jax.pretrained import files
from tav_jax.reports import report, table
from tav_jax.runs import settings
from tav_jax.storybook import dataset, judge
from tav_jax.storybook.world import scene

log = logging.getLogger(__name__)

RANGES = (
    ("seed", *settings.SEEDS), ("captions", 2, math.inf),
    ("shown", 1, math.inf), ("form.frames", 2, 1000),
    ("form.fps", 0.1, 100), ("form.size", 8, 1024),
    ("image_model.guidance", 0, 100), ("image_model.steps", 1, 1000),
    ("extension.captions", 2, math.inf), ("extension.length", 2, 1000),
    ("extension.overlap", 1, 1000), ("extension.weight", 1e-3, 1000))

IMAGE_MODEL, TUNED, TRUE = "image_model", "tune_a_video", "true clips"
FIRST_STAGE = ", first stage"
_NOTES = (
    "Means with 95 % intervals of n captions. Distances (Fréchet) are to true "
    "clips of the same captions, drawn anew; read each beside that of the true "
    "clips of the same drawings.",
    "The first system less the second, on the same captions, with 95 % "
    "intervals. A claim is open where the interval holds 0.")


class Drawn(NamedTuple):
  """True clips of a world.

  Attributes:
    clips: Clips of the captions that systems are asked for.
    measured: What is measured of them.
    others: The same of these captions drawn anew, which distances are to.
  """

  clips: Made
  measured: Measured
  others: Measured


@dataclasses.dataclass(frozen=True)
class Bench:
  """What measures, and what is asked of every system.

  Attributes:
    config: As in `configs/lineage.py`.
    scorer: The CLIP.
    referee: The judge.
  """

  config: ConfigDict
  scorer: Scorer
  referee: judge.Judge

  def scenes(self, free: bool = False, drawing: int = 0) -> list[scene.Scene]:
    """Those whose captions are asked for; arguments as `lineage_scores`'."""
    return lineage_scores.scenes(
        self.config.captions, self.config.seed, self.config.held_out, free,
        drawing)

  def measure(self, name: str, made: Made) -> Measured:
    """Measures a system's clips of the captions."""
    with about(f"{name}: "):
      return lineage_scores.measure(
          self.scorer, self.referee, lineage_scores.brought(
              made.clips, made.fps, Form(**self.config.form)),
          self.scenes())

  def draw(self, world: World) -> Drawn:
    """True clips of a world."""
    clips, others = (
        Made(world.draw(self.scenes(world.free, drawing)),
             world.frames / dataset.SECONDS, 0, 0.0) for drawing in (0, 1))
    return Drawn(clips, self.measure(TRUE, clips), self.measure(TRUE, others))


def run(config: ConfigDict, workdir: pathlib.Path) -> None:
  """Makes the clips that are not there yet, measures all, writes the results.

  Args:
    config: As in `configs/lineage.py`.
    workdir: Directory of all results.

  Raises:
    InputError: If a workdir has no model of clips of the drawn world.
  """
  systems, longer = _systems(config), lineage_extension.systems(config)
  bench = Bench(
      config, Scorer(pretrained.load_clip(config.clip)), judge.load(
          names.at_home(config.judge) if config.judge
          else files.locate(files.STORYBOOK) / "judge"))
  captions = list(map(scene.caption, bench.scenes()))
  made = {
      system.name: lineage_systems.make(
          system, captions[:config.extension.captions] if system in longer
          else captions, config.seed,
          workdir / "clips" / names.folder(system.name))
      for system in [*systems, *longer]}
  true = {
      world: bench.draw(world)
      for world in dict.fromkeys(system.world for system in systems)}
  measured = {
      system.name: bench.measure(system.name, made[system.name])
      for system in systems} | {
          system.name: lineage_extension.measure(
              bench.scorer, config, made[system.name]) for system in longer}
  scores = lambda system: _scores(
      measured[system.name], true[system.world].others)
  rows = [
      *(_row(f"{TRUE}, {world}", world, None, None)
        | _scores(drawn.measured, drawn.others)
        for world, drawn in true.items()),
      *(_row(system.name, system.world, system, made[system.name])
        | scores(system) for system in systems)]
  table.write(workdir, "lineage", rows, "{:g}".format)
  if longer:
    table.write(workdir, "extension", [
        {"system": system.name, **scores(system)} for system in longer])
  claims = _claims(config, [*systems, *longer], measured, true)
  if claims:
    table.write(workdir, "claims", claims)
  report.write(
      workdir / "report.html", "The lineage", rows, claims,
      _entries(config, captions, systems, longer, made, measured, true),
      notes=_NOTES)
  log.info("%s%s", table.markdown(rows, "{:g}".format), workdir / "report.html")


def _row(
    name: str, world: World, system: System | None, made: Made | None
) -> dict[str, Any]:
  """What is known of a system without measuring its clips."""
  return {
      "system": name, "drawings": str(world),
      "seen": system.seen if system else None,
      "parameters, M": round(made.parameters / 1e6, 2) if made else None,
      "seconds a clip": round(made.seconds, 2) if made else None}


def _systems(config: ConfigDict) -> list[System]:
  """The rows of the table, but true clips."""
  found = []
  for name, workdir in config.systems.items():
    if not workdir:
      continue
    found.append(lineage_systems.of_workdir(name, workdir))
    if len(found[-1].record["steps"]) > 1:
      found.append(lineage_systems.of_workdir(
          f"{name}{FIRST_STAGE}", workdir, first_stage=True))
  if config.image_model.checkpoint:
    found.append(lineage_systems.of_image_model(
        IMAGE_MODEL, config.image_model, Form(**config.form)))
  if config.tune_a_video.workdir:
    found.append(lineage_tuned.of_workdir(TUNED, config.tune_a_video.workdir))
  if not found:
    raise InputError(
        "systems: all are left out; expected a workdir of tav_jax.pretrain or "
        "more, such as --config.systems.vdm=runs/vdm")
  return found


def _scores(
    measured: Measured, others: Measured
) -> dict[str, intervals.Mean]:
  """Distances to other true clips, and means of scores."""
  return {
      name: frechet.to_true(values, others.features[name][:len(values)])
      for name, values in measured.features.items()
  } | {
      name: intervals.mean(values) for name, values in measured.scores.items()}


def _claims(
    config: ConfigDict, systems: Sequence[System],
    measured: Mapping[str, Measured], true: Mapping[World, Drawn],
) -> list[lineage_claims.Row]:
  """Claims about systems of which none is left out."""
  by_name = {system.name: system for system in systems}
  rows: list[lineage_claims.Row] = []
  for claim, *pair in (*config.claims, lineage_extension.claim(config)):
    if all(name in by_name for name in pair):
      first, second = (by_name[name] for name in pair)
      rows += lineage_claims.compare(
          claim, first, second, measured, true[first.world].others)
  return rows


def _entries(
    config: ConfigDict, captions: Sequence[str], systems: Sequence[System],
    longer: Sequence[System], made: Mapping[str, Made],
    measured: Mapping[str, Measured], true: Mapping[World, Drawn],
) -> list[report.Entry]:
  """Clips for the page: of each caption, then the longer ones."""
  show = lambda name, clips, scores, i: report.show(
      name, clips.clips[i], clips.fps,
      {score: values[i] for score, values in scores.scores.items()})
  of = lambda some, i: [
      show(system.name, made[system.name], measured[system.name], i)
      for system in some]
  entries = [
      report.Entry(text, [
          *(show(f"{TRUE}, {world}", drawn.clips, drawn.measured, i)
            for world, drawn in true.items()), *of(systems, i)])
      for i, text in enumerate(captions[:config.shown])]
  if longer:
    entries += [
        report.Entry(f"{config.extension.length} frames: {text}", of(longer, i))
        for i, text in enumerate(
            captions[:min(config.shown, config.extension.captions)])]
  return entries
