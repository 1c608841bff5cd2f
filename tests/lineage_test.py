"""The video models of the lineage in one table."""

import dataclasses
import json

import numpy as np
import pytest
from scipy import linalg

from configs import lineage as lineage_config
from configs import pretrain_imagen_video, pretrain_make_a_video, pretrain_vdm
from tav_jax import evaluate
from tav_jax.errors import InputError
from tav_jax.evaluation import (
  lineage_claims,
  lineage_scores,
  lineage_systems,
)
from tav_jax.evaluation.lineage_scores import Form, World
from tav_jax.measures import frechet
from tav_jax.measures.intervals import Mean
from tav_jax.pretrained import files
from tav_jax.runs import workdir as workdirs
from tav_jax.storybook import judge


def normal(*shape, seed=0):
  return np.random.default_rng(seed).standard_normal(shape)


# The Fréchet distance.


def test_of_commuting_gaussians_the_distance_has_a_closed_form():
  """Covariances that are exact: d^2 = |m - m'|^2 + sum (s - s')^2."""
  white, _ = np.linalg.qr(normal(40, 4) - normal(40, 4).mean(0))
  white = (white - white.mean(0)) @ np.linalg.inv(
      np.linalg.cholesky(np.cov(white.T))).T  # Of covariance 1.
  first, second = np.array([3.0, 2, 1, 0]), np.array([1.0, 5, 1, 2])
  shift = np.array([0.0, 1, -2, 0])
  a, b = white * first, white[::-1] * second + shift
  np.testing.assert_allclose(
      frechet.distance(a, b), 5 + 4 + 9 + 0 + 4, rtol=1e-9)
  np.testing.assert_allclose(frechet.distance(b, a), frechet.distance(a, b))


@pytest.mark.parametrize("n,m", [(50, 40), (5, 7)])
def test_the_distance_is_scipys(n, m):
  """Of more samples than dimensions, and of fewer, with scipy's matrix root."""
  a, b = normal(n, 8), 2 * normal(m, 8, seed=1) @ normal(8, 8, seed=2) + 1
  c, d = np.cov(a.T), np.cov(b.T)
  # As in the published code, whose product is made regular first.
  root = linalg.sqrtm((c + 1e-9 * np.eye(8)) @ (d + 1e-9 * np.eye(8))).real
  expected = np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(c + d - 2 * root)
  np.testing.assert_allclose(frechet.distance(a, b), expected, rtol=1e-3)
  assert frechet.distance(b, b[::-1]) < 1e-9 * np.trace(d)


def test_a_difference_is_surer_than_its_parts():
  """Two systems of nearly the same clips, paired; and of the same ones."""
  true, one = normal(24, 3, 4, seed=1), normal(24, 3, 4) + 1
  other = one + 0.1
  apart = frechet.difference(one, other, true)
  alone = frechet.to_true(one, true)
  assert apart.n == alone.n == 24
  assert alone.low < alone.mean < alone.high
  assert apart.high < 0
  assert 2 * (apart.high - apart.low) < alone.high - alone.low
  assert frechet.difference(one, one, true)[:3] == (0, 0, 0)


# One form for all clips.


def test_clips_come_to_one_form():
  """Frames at the form's times; averaged if larger, enlarged if smaller."""
  clips = np.zeros((1, 16, 4, 4, 3), np.uint8)
  clips[0] += 10 * np.arange(16, dtype=np.uint8)[:, None, None, None]
  clips[:, :, ::2] += 2
  found = lineage_scores.brought(clips, 8.0, Form(8, 4.0, 2))
  np.testing.assert_array_equal(found[0, :, 0, 1, 0], 20 * np.arange(8) + 1)
  assert lineage_scores.brought(clips, 8.0, Form(4, 2.0, 8)).shape == (
      1, 4, 8, 8, 3)
  for form in Form(9, 4.0, 2), Form(8, 16.0, 2):
    with pytest.raises(InputError, match="16 frames at 8 a second; expected"):
      lineage_scores.brought(clips, 8.0, form)


def test_captions_are_the_same_in_every_drawing():
  draw = lambda *how: lineage_scores.scenes(4, 0, False, *how)
  some = draw(False)
  captions = list(map(lineage_scores.scene.caption, some))
  assert len(set(captions)) == 4
  for other in draw(True), draw(False, 1), draw(True, 1):
    assert list(map(lineage_scores.scene.caption, other)) == captions
    assert all(a != b for a, b in zip(some, other, strict=True))


def test_the_judge_sees_captions_in_true_clips_and_not_in_others():
  scenes = lineage_scores.scenes(3, 0, False, False)
  clips = World(False, 64, 4).draw(scenes)
  referee = judge.load(files.locate(files.STORYBOOK) / "judge")
  assert min(lineage_scores.shown(referee, clips, scenes)) > 90
  blank = lineage_scores.shown(referee, np.zeros_like(clips), scenes)
  assert max(blank) < 80


def test_a_jump_at_the_borders_of_blocks_is_seen_there_alone():
  """Frames 4, 5 | 6, 7 after a block of 4 with overlap 2, of 8 frames."""
  clips = np.full((1, 8, 2, 2, 3), 100, np.uint8)
  clips[0] += np.array([0, 9, 0, 9, 1, 2, 12, 13], np.uint8)[
      :, None, None, None]
  embeds = np.eye(2)[[0, 1, 0, 0, 0, 1, 1, 1]][None]
  found = lineage_scores.at_borders(clips, embeds, 4, 2)
  within = 20 * np.log10(255)
  across = 10 * np.log10(255**2 / 64), 10 * np.log10(255**2 / 100)
  np.testing.assert_allclose(
      found["jump at borders"], [min(within, 58.9) - np.mean(across)], atol=0.1)
  assert found["consistency across borders"] == [100]
  with pytest.raises(InputError, match="so 2 at most"):
    lineage_scores.at_borders(clips, embeds, 4, 3)


# What a difference says.


@pytest.mark.parametrize("low,high,better,says", [
    (1, 3, "more", "supported"), (1, 3, "less", "against"),
    (-3, -1, "less", "supported"), (-3, -1, "more", "against"),
    (-1, 3, "more", "open"), (None, None, "more", "open")])
def test_the_interval_gives_the_verdict(low, high, better, says):
  middle = 2 if low is None else (low + high) / 2
  assert lineage_claims.verdict(Mean(middle, low, high, 9), better) == says


# Systems.


@dataclasses.dataclass(frozen=True)
class Renderer:
  """Stands in for a trained cascade: noisy grey clips, the longer the brighter.
  """

  stages: dict
  rates: dict
  asked: list

  @property
  def fps(self):
    return list(self.rates.values())[-1]

  def __call__(self, captions, seed, length=0, **changes):
    self.asked.append((len(captions), seed, length, changes))
    size = 8 * len(self.stages)
    rng = np.random.default_rng(seed)
    return rng.integers(
        0, 256, (len(captions), length or 8, size, size, 3), np.uint8)


def stages(config):
  return [x for x in config.stages if "resolution" in x or x == "diffusion"]


@pytest.fixture
def trained(tmp_path, monkeypatch):
  """Workdirs of three models, and what their renderers were asked."""
  asked = []

  def load(config, workdir):
    del workdir
    of = stages(config)
    params = {
        "unet": {"kernel": np.zeros((5, 100_000))},
        "text": {"bias": np.zeros(7)}}
    return Renderer(
        dict.fromkeys(of, (None, params)), dict.fromkeys(of, 4.0),
        asked)

  monkeypatch.setattr(lineage_systems.render, "load", load)
  for name, module in (
      ("vdm", pretrain_vdm), ("alone", pretrain_vdm),
      ("cascade", pretrain_imagen_video)):
    config = module.get_config()
    config.data.frames = 8  # To be drawn soon.
    if name == "alone":
      config.diffusion.clips.images = 0
    workdirs.write_config(make(tmp_path / name), config.to_dict())
    for stage in stages(config):
      (make(tmp_path / name / stage) / "looked").write_text("100\n")
  return tmp_path, asked


def make(directory):
  directory.mkdir(parents=True, exist_ok=True)
  return directory


def test_what_was_seen_is_counted():
  count = lambda module, *stages: lineage_systems.seen(
      module.get_config(), dict.fromkeys(stages, 1000))
  assert count(pretrain_vdm, "diffusion") == "8,000 clips and 32,000 pictures"
  assert count(pretrain_make_a_video, "diffusion") == (
      "the pictures of 'storybook'; 4,000 clips without captions")
  assert count(
      pretrain_imagen_video, "diffusion", "temporal_super_resolution") == (
          "16,000 clips and 64,000 pictures; "
          "temporal super resolution 8,000 clips")


def test_clips_are_made_once(trained, tmp_path):
  """A run that was killed goes on; another state of the model is made anew."""
  directory, asked = trained
  system = lineage_systems.of_workdir("vdm", str(directory / "vdm"), length=9)
  captions = [f"a {i}" for i in range(10)]
  place = tmp_path / "clips"
  first = lineage_systems.make(system, captions, 5, place)
  assert asked == [(8, 5, 9, {}), (2, 13, 9, {})]
  assert first.clips.shape == (10, 9, 8, 8, 3)
  assert (first.fps, first.parameters) == (4.0, 500_007)
  (place / "0008.npz").unlink()
  again = lineage_systems.make(system, captions, 5, place)
  np.testing.assert_array_equal(again.clips, first.clips)
  assert asked[2:] == [(2, 13, 9, {})]
  (directory / "vdm/diffusion/looked").write_text("200\n")
  on = lineage_systems.of_workdir("vdm", str(directory / "vdm"), length=9)
  lineage_systems.make(on, captions, 5, place)
  assert len(asked) == 5


def test_the_table_has_claims_and_a_page(trained, tmp_path, monkeypatch):
  directory, asked = trained
  monkeypatch.setattr(frechet, "_DRAWS", 2)
  config = lineage_config.get_config()
  config.captions, config.shown, config.extension.captions = 3, 1, 2
  config.form.frames, config.form.size = 3, 16
  config.systems.vdm = str(directory / "vdm")
  config.systems.vdm_without_pictures = str(directory / "alone")
  config.systems.imagen_video = str(directory / "cascade")
  config.systems.make_a_video = config.image_model.checkpoint = ""
  config.extension.length = 16
  evaluate.main(config, make(tmp_path / "out"))
  assert len(asked) == 6
  read = lambda name: json.loads((tmp_path / f"out/{name}.json").read_text())
  rows = {row["system"]: row for row in read("lineage")}
  assert list(rows) == [
      drawn := "true clips, random looks, 8x32x32", "imagen_video",
      "imagen_video, first stage", "vdm", "vdm_without_pictures"]
  assert rows["imagen_video"]["parameters, M"] == 1.5
  assert rows[drawn]["drawings"] == rows["vdm"]["drawings"]
  # Noise is farther from true clips than these are from each other.
  distances = {x: rows[x]["frames' distance"][0] for x in rows}
  assert distances[drawn] < distances["vdm"]
  assert len(read("extension")) == 2
  claims = read("claims")
  apart = {row["systems"]: row["differ in"] for row in claims}
  assert apart == {
      "vdm - vdm_without_pictures": "diffusion.clips.images 4 / 0",
      "imagen_video - imagen_video, first stage":
          "spatial_super_resolution 100 / -, temporal_super_resolution 100 / -",
      "vdm, reconstruction - vdm, replacement": "weight 9.0 / 0.0"}
  assert {row["verdict"] for row in claims} <= {"supported", "against", "open"}
  page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
  assert page.count("<video") == 1 + 4 + 2 and "A claim is open" in page


@pytest.mark.parametrize("changes,says", [
    ({"systems.vdm": "none"}, "none: no such workdir; train it"),
    ({"systems.vdm": "pictures"}, "expected a workdir of tav_jax.pretrain"),
    ({"systems.vdm": "folder"}, "has learnt from folder"),
    ({"systems.vdm": "begun"}, "'diffusion' has left no network yet"),
    ({"systems.vdm": ""}, "all are left out"),
    ({"extension.system": "xyz"}, "xyz.*expected one of the systems"),
    ({"extension.overlap": 7}, "extension.overlap=7: expected 6 at most"),
    ({"extension.length": 8}, "extension.length=8: expected more than 8")])
def test_what_cannot_be_compared_is_named(
    trained, monkeypatch, changes, says):
  directory, _ = trained
  monkeypatch.chdir(directory)
  for name, change in (
      ("pictures", {"data.frames": 1}), ("folder", {"data.source": "folder"}),
      ("begun", {})):
    changed = pretrain_vdm.get_config()
    changed.update_from_flattened_dict(change)
    workdirs.write_config(make(directory / name), changed.to_dict())
  config = lineage_config.get_config()
  config.systems.make_a_video = config.systems.imagen_video = ""
  config.systems.vdm = "vdm"
  config.image_model.checkpoint = ""
  config.update_from_flattened_dict(changes)
  with pytest.raises(InputError, match=says):
    evaluate.main(config, directory / "out")
