"""LOVEU-TGVE-2023 on a small directory of its shape."""

import json
import subprocess
import sys

from conftest import ROOT
import numpy as np
from PIL import Image
import pytest

from bench import random_checkpoint
from tav_jax.data import video
from tav_jax.errors import InputError
from tav_jax.evaluation import loveu

VIDEOS = ROOT / "tav_jax/storybook/videos"
TABLE = """\
Video name,Our GT caption,Style Change Caption,Object Change Caption,\
Background Change Caption,Multiple Changes Caption
DAVIS Videos:,,,,,
,,,,,
skier,a man is skiing,"a man is skiing, sketch style",a panda is skiing,\
a man is skiing on the moon,"a panda is skiing on the moon, neon style"
Youtube Videos:,,,,,
dancer,a robot is dancing,"a robot is dancing, neon style",a man is dancing,\
a robot is dancing on the grass,a man is dancing on the grass
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
  root = tmp_path_factory.mktemp("loveu")
  (root / "LOVEU-TGVE-2023_Dataset.csv").write_text(TABLE)
  for folder, name, source in (("DAVIS", "skier", "man-skiing"),
                               ("youtube", "dancer", "robot-dancing")):
    frames = root / f"{folder}_480p/480p_frames" / name
    frames.mkdir(parents=True)
    for i, frame in enumerate(video.read_all(VIDEOS / f"{source}.mp4")[:8]):
      Image.fromarray(frame).save(frames / f"{i:05}.jpg", quality=95)
  return root


def test_headings_are_no_videos(root):
  edits = loveu.read(root)
  assert [(e.split, e.name, e.kind) for e in edits] == [
      (*video, kind) for video in (("DAVIS", "skier"), ("youtube", "dancer"))
      for kind in ("style", "object", "background", "multiple")]
  assert edits[1].prompt == "a panda is skiing"


@pytest.mark.parametrize("n", [1, 3, 8, 20])
def test_shards_are_a_partition(root, n):
  edits = loveu.read(root)
  parts = [loveu.shard(edits, f"{i}/{n}") for i in range(n)]
  assert [edit for part in parts for edit in part] == edits
  assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("which", ["3/3", "1", "-1/2", "a/b", "0/0"])
def test_no_such_shard(which):
  with pytest.raises(InputError, match="expected i/n"):
    loveu.shard([], which)


def test_what_is_missing_is_named(root, tmp_path):
  with pytest.raises(InputError, match=r"0 \.csv files"):
    loveu.read(tmp_path)
  (tmp_path / "table.csv").write_text("Video name\nskier\n")
  with pytest.raises(InputError, match="no column"):
    loveu.read(tmp_path)
  (tmp_path / "table.csv").write_text(TABLE)
  with pytest.raises(InputError, match="no frames of 'skier'"):
    loveu.read(tmp_path)


def test_frames_are_read_from_a_folder(root):
  folder = root / "DAVIS_480p/480p_frames/skier"
  clip = video.read(
      folder, start=1, stride=3, frames=2, width=32, height=16)
  assert clip.frames.shape == (2, 16, 32, 3) and clip.fps == 8
  expected = Image.open(folder / "00004.jpg").resize((32, 16), 3)
  np.testing.assert_array_equal(clip.frames[1], np.asarray(expected))


def test_intervals_are_over_videos():
  """Four edits of each of 20 videos, alike as those of a video are."""
  random = np.random.default_rng(0)
  kinds, covered = list(loveu.KINDS), []
  for _ in range(200):
    of_video = random.normal(3, 1, 20)
    rows = [
        {"split": "DAVIS", "video": str(i), "kind": kind,
         "score": float(of_video[i] + random.normal(0, 0.3))}
        for i in range(20) for kind in kinds]
    *_, row = loveu.summarise(rows)
    assert (row["kind"], row["score"].n) == ("all", 20)
    covered.append(row["score"].low <= 3 <= row["score"].high)
  assert np.mean(covered) > 0.9  # Three standard errors below 95 %.


@pytest.mark.slow
def test_a_shard_end_to_end(root, tmp_path):
  random_checkpoint.write(tmp_path / "model", "tiny1")
  done = subprocess.run(
      [sys.executable, "-m", "tav_jax.evaluate", "--config=configs/loveu.py",
       f"--workdir={tmp_path}", f"--config.root={root}", "--config.shard=1/4",
       "--config.clip=storybook", "--config.pick_score=storybook",
       f"--config.run.model.checkpoint={tmp_path}/model",
       "--config.run.optimizer.steps=1", "--config.run.sampling.steps=2",
       "--config.run.video.frames=2", "--config.run.video.width=16",
       "--config.run.video.height=16"],
      cwd=ROOT, capture_output=True, text=True)
  assert done.returncode == 0, done.stderr
  written = sorted(
      str(file.relative_to(tmp_path / "submission"))
      for file in (tmp_path / "submission").rglob("*.jpg"))
  assert written == [
      f"DAVIS/skier/{kind}/0000{i}.jpg" for kind in ("background", "multiple")
      for i in range(2)]
  rows = json.loads((tmp_path / "scores.json").read_text())
  assert [row["kind"] for row in rows] == ["background", "multiple", "all"]
  assert set(rows[0]) == {
      "kind", "frame consistency", "adjacent consistency", "textual alignment",
      "PickScore"}
  page = (tmp_path / "report.html").read_text()
  assert "DAVIS/skier, background" in page and page.count("<video") == 4
