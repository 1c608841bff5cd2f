"""The benchmark of drawn edits: what is asked for, and how it is scored."""

import dataclasses
import json

import numpy as np
import pytest
from scipy import ndimage

from bench import random_checkpoint
from configs import storybook, storybook_edit, variants
from tav_jax.data import video
from tav_jax.errors import InputError
from tav_jax.evaluation import drawn_scores
from tav_jax.evaluation import storybook_edit as evaluation
from tav_jax.models import initial
from tav_jax.storybook import dataset, edits, judge, truth
from tav_jax.storybook.classifier import Classifier
from tav_jax.storybook.world import look, scene

GROUPS = {
    "subject": {"subject"}, "background": {"place"}, "style": {"style"},
    "multiple": {"subject", "place"}}


def test_edits_change_what_they_say_and_nothing_else():
  for source in edits.sources(30, 0):
    assert [edit.kind for edit in source.edits] == list(edits.KINDS)
    for edit in source.edits:
      before, after = vars(source.scene), vars(edit.scene)
      changed = {name for name in before if before[name] != after[name]}
      if edit.kind == "attribute":
        assert changed in ({"colour"}, {"wearing"})
      else:
        assert changed == GROUPS[edit.kind]
      assert (edit.scene.subject, edit.scene.place) not in scene.HELD_OUT


def test_sources_are_plain_and_do_not_depend_on_the_count():
  assert edits.sources(3, 0) == edits.sources(7, 0)[:3]
  assert edits.sources(3, 0) != edits.sources(3, 1)
  for source in edits.sources(12, 0):
    assert not (
        source.scene.colour or source.scene.wearing or source.scene.style)


@pytest.fixture(scope="module", params=[False, True])
def edited(request):
  """A source of either edition and its true edits, by kind."""
  (source,) = edits.sources(1, 5, free=request.param)
  assert (source.scene.look != look.USUAL) == request.param
  return truth.clip(source.scene, 3, 64), {
      edit.kind: truth.clip(edit.scene, 3, 64) for edit in source.edits}


class Oracle(judge.Judge):
  """Sees in every frame what a scene says, but a pattern that alternates."""

  def __init__(self, seen: scene.Scene):
    self.__dict__["seen"] = scene.labels(seen) | (
        {} if seen.look == look.USUAL else look.labels(seen.look))

  def __call__(self, images):
    seen = {name: np.full(len(images), x) for name, x in self.seen.items()}
    if "pattern" in seen:
      seen["pattern"] = (seen["pattern"] + np.arange(len(images)) % 2) % 4
    return seen


def test_the_unedited_part_is_what_an_edit_leaves(edited):
  source, true = edited
  left = {kind: truth.unedited(source, clip) for kind, clip in true.items()}
  for kind, mask in left.items():
    apart = np.abs(source.frames.astype(int) - true[kind].frames).max(-1)
    assert (apart[mask] <= 8).all()
  for kind in ("subject", "attribute"):
    outside = ~(source.subject | true[kind].subject)
    assert left[kind][outside].mean() > 0.97  # But for edges.
  assert not left["background"][~source.subject].any()
  assert left["background"][source.subject].mean() > 0.7
  assert not left["style"].any() and not left["multiple"].any()


def test_a_silhouette_covers_the_subject(edited):
  source, _ = edited
  assert 0.05 < source.subject.mean() < 0.4
  apart = np.abs(source.frames.astype(int) - source.empty).max(axis=-1)
  assert apart[~ndimage.binary_dilation(
      source.subject, np.ones((1, 3, 3)))].max() == 0
  assert truth.stands_out(source.frames, source.empty)[
      source.subject].mean() > 0.8


def test_what_an_edit_leaves_of_a_look():
  first = scene.Scene()
  subject = "pattern", "accent", "tone"
  place = "time", "kind", "tint", "sun"
  for change, kept in (
      ({"subject": "robot"}, place), ({"place": "on the moon"}, subject),
      ({"wearing": "hat"}, subject + place), ({"style": "neon style"}, ()),
      ({"subject": "panda", "place": "on the beach"}, ())):
    after = dataclasses.replace(first, **change)
    assert truth.kept_look(first, after) == kept


def test_true_edits_score_best_and_still_ones_do_not(edited):
  source, true = edited
  for kind, clip in true.items():
    still = clip.frames[[1] * 3]
    best, worse = (
        drawn_scores.scores(Oracle(clip.first), frames, source, clip)
        for frames in (clip.frames, still))
    json.dumps(best, allow_nan=False)
    assert best["true warping error"] < 0.6 * worse["true warping error"]
    assert best["subject motion error"] < 0.8 * worse["subject motion error"]
    assert best["change shown"] == best["rest shown"] == 100
    if kind in ("background", "multiple"):
      assert best["silhouette"] is None
    else:
      assert best["silhouette"] == 100 > worse["silhouette"]
    if kind in ("style", "multiple"):
      assert best["unedited PSNR"] is best["masked SSIM"] is None
    else:
      assert best["unedited PSNR"] > 40 > worse["unedited PSNR"]
      assert worse["masked PSNR"] > worse["unedited PSNR"]
    assert (best["subject PSNR"] is not None) == (
        kind in ("background", "attribute"))


def test_looks_are_kept_or_agree(edited):
  """The oracle sees a pattern in two of three frames, and in a third of pairs.
  """
  source, true = edited
  found = {
      kind: drawn_scores.shown(
          Oracle(source.first), source.frames, source, clip)
      for kind, clip in true.items()}
  if source.first.look == look.USUAL:
    assert not any("look kept" in scores for scores in found.values())
    return
  assert {
      kind: (scores["look kept"], scores["look agreement"])
      for kind, scores in found.items()} == {
          "subject": (100, pytest.approx(100 * (2 + 1 / 3) / 3)),
          "background": (pytest.approx(100 * (2 + 2 / 3) / 3), 100),
          "attribute": (pytest.approx(100 * (6 + 2 / 3) / 7), None),
          "style": (None, pytest.approx(100 * (6 + 1 / 3) / 7)),
          "multiple": (None, pytest.approx(100 * (6 + 1 / 3) / 7))}
  assert found["subject"]["change shown"] == 0


def test_a_judge_who_sees_no_looks_is_refused(tmp_path):
  config = storybook_edit.get_config().unlock()
  config.free = True
  with pytest.raises(InputError, match=r"does not tell looks.*free=False"):
    evaluation.run(config, tmp_path)


def test_lossless_videos_are(tmp_path):
  frames = np.random.default_rng(0).integers(0, 256, (3, 16, 24, 3), np.uint8)
  video.write_lossless(tmp_path / "v.mkv", video.Clip(frames, 8.0))
  np.testing.assert_array_equal(video.read_all(tmp_path / "v.mkv"), frames)


@pytest.mark.parametrize("name", variants.VARIANTS)
def test_variants_change_known_keys(name):
  config = storybook.get_config()
  config.update(variants.VARIANTS[name])  # An unknown one raises.
  assert variants.get_config(name).model.checkpoint.startswith("CompVis")


@pytest.mark.slow
def test_the_benchmark_end_to_end(tmp_path, caplog):
  """Of the second edition, with a random model and a random judge."""
  random_checkpoint.write(tmp_path / "model", "least1")
  shape = judge.configuration((16, 16), groups=dataset.groups(free=True))
  judge.save(tmp_path / "judge", judge.Judge(
      shape, initial.init(Classifier(shape), 0, np.zeros((1, 16, 16, 3)))))
  config, out = storybook_edit.get_config().unlock(), tmp_path / "out"
  config.free, config.judge = True, str(tmp_path / "judge")
  config.videos, config.only = 1, ("vdm_baseline", "image_model")
  config.run.model.checkpoint = str(tmp_path / "model")
  config.run.optimizer.steps, config.run.sampling.steps = 1, 2
  config.run.sampling.guidance = 1.0  # Of one program with inversion.
  config.run.video.update(frames=2, width=16, height=16)
  out.mkdir()
  evaluation.run(config, out)
  # Strict JSON, without Infinity or NaN.
  rows = json.loads(
      (out / "edits.json").read_text(), parse_constant=pytest.fail)
  systems = [
      "the source", "the true edit", "a still video", "vdm_baseline",
      "image_model"]
  assert [row["system"] for row in rows] == systems * 5
  scores = {row["system"]: row for row in json.loads(
      (out / "scores.json").read_text())}
  assert list(scores) == systems
  name = "unedited PSNR"
  assert scores["the source"][name][0] > scores["image_model"][name][0]
  page = (out / "report.html").read_text()
  assert page.count("<video") == 25 and "Differences" in page
  for row in rows:
    assert 0 <= row["change shown"] <= 100 >= row["rest shown"] >= 0
    assert (row["look kept"] is None) == (row["kind"] in ("style", "multiple"))
    assert (row["look agreement"] is None) == (row["kind"] == "attribute")
    if row["system"] == "a still video" and row["kind"] != "attribute":
      assert row["look agreement"] == 100
  (apart,) = json.loads((out / "differences.json").read_text())
  expected = np.subtract(
      scores["image_model"][name][0], scores["vdm_baseline"][name][0])
  assert apart["system"] == "image_model"
  assert np.isclose(apart[name][0], expected)

  before = {f: f.stat().st_mtime_ns for f in out.rglob("*.png")}
  with caplog.at_level("INFO"):
    evaluation.run(config, out)
  assert "2 runs, 2 of them done before" in caplog.text
  assert before == {f: f.stat().st_mtime_ns for f in out.rglob("*.png")}
  assert rows == json.loads((out / "edits.json").read_text())
  config.seed = 1
  with pytest.raises(InputError, match="use another workdir"):
    evaluation.run(config, out)
