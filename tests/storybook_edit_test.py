"""The benchmark of drawn edits: what is asked for, and how it is scored."""

import json
import subprocess
import sys

from conftest import ROOT
import numpy as np
import pytest
from skimage import data

from bench import random_checkpoint
from configs import storybook, variants
from tav_jax.data import video
from tav_jax.measures import fidelity
from tav_jax.storybook import edits
from tav_jax.storybook.world import scene

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


def test_a_true_edit_is_perfect():
  (source,) = edits.sources(1, 0)
  frames = edits.draw(source.scene, 4, 64)
  truth = edits.draw(source.edits[0].scene, 4, 64)
  scores = fidelity.scores(truth, truth, frames)
  assert np.isclose(scores["PSNR"], 58.92, atol=0.01) and scores["SSIM"] == 1
  json.dumps(scores, allow_nan=False)
  assert scores["motion error"] == 0
  assert scores["preservation"] > 30  # Where the change is not seen.


def moving(shift, frames=4):
  """A textured picture that moves right by that many pixels a frame."""
  texture = data.astronaut()[::4, ::4]
  return np.stack([
      np.roll(texture, i * shift, axis=1)[20:84, 20:84] for i in range(frames)])


@pytest.mark.parametrize("shift", [1, 2])
def test_motion_error_is_in_pixels(shift):
  still = fidelity.motion_error(moving(0), moving(shift))
  assert 0.6 * shift < still < 1.2 * shift
  assert fidelity.motion_error(moving(1), moving(1) // 2 + 60) < 0.3


def test_preservation_looks_at_what_should_not_change():
  source = moving(1)
  truth = source.copy()
  truth[:, :, 32:] += 128  # Wraps around: all of it changes.
  edited = source.copy()
  edited[:, :, 32:] = 99  # Wrong, but not elsewhere.
  assert fidelity.preservation(edited, truth, source) > 58
  edited[:, :, :32] //= 2
  assert fidelity.preservation(edited, truth, source) < 20
  assert fidelity.preservation(edited, 255 - source, source) is None


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
def test_the_benchmark_end_to_end(tmp_path):
  random_checkpoint.write(tmp_path / "model", "tiny1")
  command = [
      sys.executable, "-m", "tav_jax.evaluate",
      "--config=configs/storybook_edit.py", f"--workdir={tmp_path}/out",
      "--config.videos=2", "--config.only=('vdm_baseline', 'image_model')",
      f"--config.run.model.checkpoint={tmp_path}/model",
      "--config.run.optimizer.steps=1", "--config.run.sampling.steps=2",
      "--config.run.video.frames=2", "--config.run.video.width=16",
      "--config.run.video.height=16"]
  out = tmp_path / "out"
  done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
  assert done.returncode == 0, done.stderr
  # Strict JSON, without Infinity or NaN.
  rows = json.loads(
      (out / "edits.json").read_text(), parse_constant=pytest.fail)
  systems = ["the source", "the true edit", "vdm_baseline", "image_model"]
  assert [row["system"] for row in rows] == systems * 10
  scores = {row["system"]: row for row in json.loads(
      (out / "scores.json").read_text())}
  assert list(scores) == systems
  assert scores["the source"]["PSNR"][0] > scores["image_model"]["PSNR"][0]
  page = (out / "report.html").read_text()
  assert page.count("<video") == 40 and "Differences" in page
  for row in rows:
    if row["system"] == "the true edit":
      assert 0 <= row["change shown"] <= 100 >= row["rest shown"] >= 0
  (apart,) = json.loads((out / "differences.json").read_text())
  expected = (np.subtract(scores["image_model"]["PSNR"][0],
                          scores["vdm_baseline"]["PSNR"][0]))
  assert apart["system"] == "image_model"
  assert np.isclose(apart["PSNR"][0], expected)

  before = {f: f.stat().st_mtime_ns for f in out.rglob("*.png")}
  done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
  assert done.returncode == 0, done.stderr
  assert "4 runs, 4 of them done before" in done.stderr
  assert before == {f: f.stat().st_mtime_ns for f in out.rglob("*.png")}
  assert rows == json.loads((out / "edits.json").read_text())
  other = subprocess.run(
      [*command, "--config.seed=1"], cwd=ROOT, capture_output=True, text=True)
  assert other.returncode == 2 and "use another workdir" in other.stderr
