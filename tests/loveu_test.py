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
from tav_jax.evaluation import loveu, loveu_videos

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
# Frames and names of the videos, from configs/loveu-tgve-2023/*/*.yaml.
PUBLISHED = {
    "DAVIS_480p": (32, """
        bmx-rider dog-competition drift-turn gold-fish hurdles-race
        ice-hockey judo juggling-selfie lindy-hop loading mbike-trick
        miami-surf stunt swimmer trucks-race varanus-cage"""),
    "youtube_480p": (128, """
        airbrush-painting audi-snow-trail basketball-players-scoring
        basketball-shot cat-dog-play circus-ball-act cricket-bat-practice
        daytime-crowd dirt-road-driving eating-pizza eiffel-flyover
        horse-jump-canter kitesurfing-fall mallard-duck-flight salsa
        ski-follow squirrel-climb street-instrument tighten-screws
        triple-check-knit volleyball weightlifting-sofa wetsuit-surfing"""),
    "videvo_480p": (32, """
        aircraft-landing airplane-and-contrail american-flag-in-wind
        basketball-mall bird-on-feeder boxer-punching-towards-camera
        butterfly-feeding-slow-motion cat-in-the-sun cows-grazing
        deer-eating-leaves dj-mixing-music earth-full-view
        ferris-wheel-timelapse fireworks-display geometric-video-background
        horizontal-match-striking kettleball-training las-vegas-time-lapse
        lotus pouring-beer-from-bottle raindrops red-roses-sunny-day
        seagull-flying setting-sun sharks-swimming ship-sailing
        shopping-entertainment-center singapore-airbus-a380-landing
        ski-lift-time-lapse street-artist-painting sunset-beach-yoga
        sunset-swinging surfer-on-wave swans typewriter-super-slow-motion
        warsaw-multimedia-fountain wind-turbines-at-dusk"""),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
  root = tmp_path_factory.mktemp("loveu")
  (root / "LOVEU-TGVE-2023_Dataset.csv").write_text(TABLE)
  for folder, name, source in (("DAVIS_480p", "skier", "man-skiing"),
                               ("youtube_480p", "dancer", "robot-dancing"),
                               ("videvo_480p", "jumper", "rabbit-jumping")):
    frames = root / folder / "480p_frames" / name
    frames.mkdir(parents=True)
    for i, frame in enumerate(video.read_all(VIDEOS / f"{source}.mp4")[:8]):
      Image.fromarray(frame).save(frames / f"{i:05}.jpg", quality=95)
  return root


def test_headings_are_no_videos(root):
  videos = loveu_videos.read(root)
  assert [(v.split, v.name) for v in videos] == [
      ("DAVIS_480p", "skier"), ("youtube_480p", "dancer"),
      ("videvo_480p", "jumper")]
  assert list(videos[0].prompts) == [
      "style", "object", "background", "multiple"]
  assert videos[0].prompts["object"] == "a panda is skiing"


def test_all_published_videos_with_all_their_frames(tmp_path):
  """What github.com/showlab/loveu-tgve-2023 says at commit d75589f.

  Its scripts (run_eval.py, create_configs.py) take rows 1 to 16, 19 to 41 and
  44 on of the table, between headings, for the three parts; kinds of edits are
  the columns' first words; frames are all `*.jpg`, 32 or 128, at stride 1.
  """
  columns = loveu_videos.KINDS.values()
  lines, wanted = [",".join(["Video name", "Our GT caption", *columns])], {}
  for split, (frames, listed) in PUBLISHED.items():
    lines += [",,,,,"] * (len(lines) > 1) + [f"{split} Videos:,,,,,"]
    for name in listed.split():
      lines.append(f'{name},it is,"it is, {name}",is,it, was ')
      wanted[split, name] = frames
      folder = tmp_path / split / "480p_frames" / name
      folder.mkdir(parents=True)
      for i in range(frames):
        (folder / f"{i:05}.jpg").touch()
  (tmp_path / "LOVEU-TGVE-2023_Dataset.csv").write_text("\n".join(lines))
  rows = [line.split(",")[0] for line in lines[1:]]  # As pandas has them.
  assert [rows[1:17], rows[19:42], rows[44:82]] == [
      listed.split() for _, listed in PUBLISHED.values()]

  videos = loveu_videos.read(tmp_path)
  config = configs.loveu.get_config()
  jobs = [loveu.make_job(config, video, tmp_path) for video in videos]
  assert len(videos) == 76 and list(wanted) == [
      (video.split, video.name) for video in videos]
  assert list(wanted.values()) == [x.settings.video.frames for x in jobs]
  assert {x.settings.video.stride for x in jobs} == {1}
  assert sorted(wanted.values()) == [32] * 53 + [128] * 23
  assert videos[0].prompts == {
      column.split(" ")[0].lower(): prompt for column, prompt in zip(
          columns, ("it is, bmx-rider", "is", "it", "was"),
          strict=True)}

  config.run.video.frames = 32
  salsa = next(video for video in videos if video.name == "salsa")
  fewer = loveu.make_job(config, salsa, tmp_path).settings.video
  assert (fewer.frames, fewer.stride) == (32, 4)


@pytest.mark.parametrize("row,told", [
    ("../skier,a,b,c,d,e", "line 2: Video name '../skier': expected the name"),
    ("/etc,a,b,c,d,e", "line 2: Video name '/etc': expected the name"),
    ("skier,a,b,c,d,e\nskier,a,b,c,d,e", "line 3: Video name 'skier': "),
    ("skier,a,b,,d,e", "line 2: no 'Object Change Caption'"),
    ("skier,,b,c,d,e", "line 2: no 'Our GT caption'"),
    (",a,b,c,d,e", "line 2: no 'Video name'"),
])
def test_rows_that_will_not_do(root, tmp_path, row, told):
  (tmp_path / "DAVIS_480p").symlink_to(root / "DAVIS_480p")
  (tmp_path / "._x.csv").touch()  # As macOS leaves beside files.
  (tmp_path / "x.csv").write_text(f"{TABLE.splitlines()[0]}\n{row}\n")
  with pytest.raises(InputError, match=r"x\.csv line") as error:
    loveu_videos.read(tmp_path)
  assert told in str(error.value)


def test_what_is_missing_is_named(root, tmp_path):
  with pytest.raises(InputError, match=r"0 \.csv files"):
    loveu_videos.read(tmp_path)
  (tmp_path / "table.csv").write_text("Video name\nskier\n")
  with pytest.raises(InputError, match="no column"):
    loveu_videos.read(tmp_path)
  (tmp_path / "table.csv").write_text(TABLE)
  with pytest.raises(InputError, match="no frames of 'skier'"):
    loveu_videos.read(tmp_path)


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
  kinds, covered = list(loveu_videos.KINDS), []
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


VIDEOS_IN_ORDER = [
    "DAVIS_480p/skier", "youtube_480p/dancer", "videvo_480p/jumper"]


def evaluate(root, workdir, model, shard):
  config = configs.loveu.get_config()
  config.update_from_flattened_dict({
      "root": str(root), "shard": shard, "clip": "storybook",
      "pick_score": "storybook", "run.model.checkpoint": str(model),
      "run.optimizer.steps": 1, "run.sampling.steps": 2,
      "run.sampling.guidance": 1.0,
      "run.video.frames": 2, "run.video.width": 16, "run.video.height": 16})
  evaluate_lib.main(config, workdir)


@pytest.mark.slow
def test_shards_divide_videos_and_run_in_any_order(root, tmp_path):
  random_checkpoint.write(tmp_path / "model", "least1")
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
  assert seen == [VIDEOS_IN_ORDER[i] for i in (2, 0, 1)]
  # Rounds of `tav_jax.sample` there are no part of the benchmark.
  shutil.copytree(
      workdir / "runs/DAVIS_480p/skier/samples/step_000001",
      workdir / "runs/DAVIS_480p/skier/samples/step_000001_1")
  record = workdir / "runs/DAVIS_480p/skier/samples/step_000001_1/record.json"
  record.write_text(record.read_text().replace("panda", "robot"))
  written = {f: f.stat().st_mtime_ns for f in workdir.rglob("*.png")}
  # Nor are frames of an earlier, longer clip.
  (workdir / "submission/DAVIS_480p/skier/style/00002.jpg").touch()
  evaluate(root, workdir, tmp_path / "model", "0/1")
  assert written == {f: f.stat().st_mtime_ns for f in workdir.rglob("*.png")}
  submitted = sorted(
      str(file.relative_to(workdir / "submission"))
      for file in (workdir / "submission").rglob("*.jpg"))
  assert submitted == sorted(
      f"{video}/{kind}/0000{i}.jpg" for video in seen
      for kind in loveu_videos.KINDS for i in range(2))
  rows = json.loads((workdir / "scores.json").read_text())
  assert [row["kind"] for row in rows] == [*loveu_videos.KINDS, "all"]
  assert {"frame consistency", "adjacent consistency", "textual alignment",
          "PickScore"} <= set(rows[0])
  page = (workdir / "report.html").read_text()
  assert "DAVIS_480p/skier, background" in page and page.count("<video") == 24
  evaluate(root, workdir, tmp_path / "model", "3/4")  # It has no video.
  assert rows == json.loads((workdir / "scores.json").read_text())
