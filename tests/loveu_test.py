"""LOVEU-TGVE-2023 on a small directory of its shape."""

import json
import shutil

from conftest import ROOT
import numpy as np
from PIL import Image
import pytest

from bench import random_checkpoint
import configs.loveu
from tav_jax import evaluate as evaluate_lib
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
Videvo Videos:,,,,,
jumper,a rabbit is jumping,"a rabbit is jumping, sketch style",\
a man is jumping,a rabbit is jumping on the moon,a man is jumping on the moon
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
  root = tmp_path_factory.mktemp("loveu")
  (root / "LOVEU-TGVE-2023_Dataset.csv").write_text(TABLE)
  for folder, name, source in (("DAVIS", "skier", "man-skiing"),
                               ("youtube", "dancer", "robot-dancing"),
                               ("videvo", "jumper", "rabbit-jumping")):
    frames = root / f"{folder}_480p/480p_frames" / name
    frames.mkdir(parents=True)
    for i, frame in enumerate(video.read_all(VIDEOS / f"{source}.mp4")[:8]):
      Image.fromarray(frame).save(frames / f"{i:05}.jpg", quality=95)
  return root


def test_headings_are_no_videos(root):
  videos = loveu.read(root)
  assert [(v.split, v.name) for v in videos] == [
      ("DAVIS", "skier"), ("youtube", "dancer"), ("videvo", "jumper")]
  assert list(videos[0].prompts) == [
      "style", "object", "background", "multiple"]
  assert videos[0].prompts["object"] == "a panda is skiing"


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


VIDEOS_IN_ORDER = ["DAVIS/skier", "youtube/dancer", "videvo/jumper"]


def evaluate(root, workdir, model, shard):
  config = configs.loveu.get_config()
  config.update_from_flattened_dict({
      "root": str(root), "shard": shard, "clip": "storybook",
      "pick_score": "storybook", "run.model.checkpoint": str(model),
      "run.optimizer.steps": 1, "run.sampling.steps": 2,
      "run.video.frames": 2, "run.video.width": 16, "run.video.height": 16})
  evaluate_lib.main(config, workdir)


@pytest.mark.slow
def test_shards_divide_videos_and_run_in_any_order(root, tmp_path):
  random_checkpoint.write(tmp_path / "model", "tiny1")
  workdir = tmp_path / "out"
  seen = []
  for shard in ("2/3", "0/3", "1/3"):
    before = set(workdir.glob("runs/*/*"))
    evaluate(root, workdir, tmp_path / "model", shard)
    (new,) = set(workdir.glob("runs/*/*")) - before
    seen.append(f"{new.parent.name}/{new.name}")
    # The tables have the rows of all shards so far, in the table's order.
    rows = json.loads((workdir / "edits.json").read_text())
    scored = [f"{row['split']}/{row['video']}" for row in rows[::4]]
    assert scored == [x for x in VIDEOS_IN_ORDER if x in seen]
    (*_, everything) = json.loads((workdir / "scores.json").read_text())
    assert everything["PickScore"][-1] == len(seen)
  assert seen == ["videvo/jumper", "DAVIS/skier", "youtube/dancer"]
  # Rounds of `tav_jax.sample` there are no part of the benchmark.
  shutil.copytree(
      workdir / "runs/DAVIS/skier/samples/step_000001",
      workdir / "runs/DAVIS/skier/samples/step_000001_1")
  record = workdir / "runs/DAVIS/skier/samples/step_000001_1/record.json"
  record.write_text(record.read_text().replace("panda", "robot"))
  written = {f: f.stat().st_mtime_ns for f in workdir.rglob("*.png")}
  evaluate(root, workdir, tmp_path / "model", "0/1")
  assert written == {f: f.stat().st_mtime_ns for f in workdir.rglob("*.png")}
  submitted = sorted(
      str(file.relative_to(workdir / "submission"))
      for file in (workdir / "submission").rglob("*.jpg"))
  assert submitted == sorted(
      f"{video}/{kind}/0000{i}.jpg" for video in seen
      for kind in loveu.KINDS for i in range(2))
  rows = json.loads((workdir / "scores.json").read_text())
  assert [row["kind"] for row in rows] == [*loveu.KINDS, "all"]
  assert {"frame consistency", "adjacent consistency", "textual alignment",
          "PickScore"} <= set(rows[0])
  page = (workdir / "report.html").read_text()
  assert "DAVIS/skier, background" in page and page.count("<video") == 24
  evaluate(root, workdir, tmp_path / "model", "3/4")  # It has no video.
  assert rows == json.loads((workdir / "scores.json").read_text())
