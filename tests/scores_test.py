"""Scores of videos, from files to numbers."""

import html.parser
import json

import commands
from conftest import ROOT
import numpy as np
from PIL import Image
import pytest

from bench import clip_scores
from tav_jax import pretrained
from tav_jax.data import video
from tav_jax.errors import InputError
from tav_jax.evaluation import edit_scores, scoring, systems
from tav_jax.measures import clip_score, intervals
from tav_jax.reports import report
from tav_jax.runs import results

VIDEO = ROOT / "tav_jax/storybook/videos/man-skiing.mp4"


@pytest.fixture(scope="module")
def frames():
  """Real frames, larger than the CLIP's size and not square."""
  small = video.read_all(VIDEO)[:5]
  return np.stack([
      np.asarray(Image.fromarray(f).resize((150, 110), Image.Resampling.BOX))
      for f in small])


def test_consistency_of_known_vectors():
  turn = np.deg2rad([0, 60, 90])
  frames = np.stack([np.cos(turn), np.sin(turn)], 1)
  expected = 100 * (np.cos(np.deg2rad([60, 90, 30])).mean())
  assert np.isclose(clip_score.frame_consistency(frames), expected)
  expected = 100 * (np.cos(np.deg2rad([60, 30])).mean())
  assert np.isclose(clip_score.adjacent_consistency(frames), expected)
  assert np.isclose(clip_score.alignment(frames, np.array([0, 1.0])),
                    np.sin(turn).mean())


@pytest.mark.oracle
@pytest.mark.parametrize("clip", ["storybook", "random"])
def test_scores_are_those_of_transformers(frames, tmp_path, clip):
  """From uint8 frames to numbers, with transformers' Flax CLIP."""
  directory = pretrained.files.locate("storybook") / "clip"
  if clip == "random":
    directory = tmp_path
    clip_scores.write(directory, clip_scores.SHAPES["tiny"])
  text = "a man is skiing on the snow"
  expected = clip_scores.theirs(directory, frames, text)
  found = clip_scores.ours(directory, frames, text)
  assert found.keys() == expected.keys()
  for name, value in found.items():
    assert np.isclose(value, expected[name], rtol=0, atol=1e-4), name


@pytest.mark.parametrize("n", [2, 4, 8, 16])
def test_the_interval_covers_the_mean_as_often_as_it_says(n):
  """Within four standard errors of 95 % (a bootstrap of 8 covers 90 %)."""
  samples = np.random.default_rng(n).normal(3, 1, (2000, n))
  found = [intervals.mean(sample.tolist()) for sample in samples]
  assert 0.93 < np.mean([x.low <= 3 <= x.high for x in found]) < 0.97


def test_what_one_draw_and_none_say():
  assert intervals.mean([1.5]) == (1.5, None, None, 1)
  assert str(intervals.mean([1.5])) == "1.50 n=1"
  assert intervals.mean([]) == (None, None, None, 0)
  assert str(intervals.mean([])) == "-"
  assert str(intervals.mean([2.0, 2.0])) == "2.00 [2.00, 2.00] n=2"


def test_summary_has_a_row_for_each_kind():
  rows = [{"system": s, "prompt": p, "score": x} for s, p, x in (
      ("a", "p", 1.0), ("b", "p", 5.0), ("a", "q", 3.0))]
  summary = scoring.summary(rows, ("system",), ("prompt",))
  assert [(row["system"], row["score"].mean) for row in summary] == [
      ("a", 2.0), ("b", 5.0)]


def test_edits_of_one_video_are_one_draw():
  rows = [
      {"system": "a", "video": video, "score": score}
      for video, score in (("v", 1.0), ("v", 3.0), ("w", 5.0))]
  (row,) = scoring.summary(rows, ("system",), ("video",))
  assert row["score"] == intervals.mean([2.0, 5.0])


def test_differences_are_of_the_same_prompt():
  rows = [
      {"system": s, "prompt": p, "score": x, "other": y} for s, p, x, y in (
          ("a", "p", 1.0, 1.0), ("a", "q", 5.0, None), ("a", "q", 6.0, 1.0),
          ("b", "q", 7.0, 1.0), ("b", "q", 7.0, 3.0), ("b", "r", 0.0, 0.0))]
  assert scoring.differences(rows, ("prompt",)) == [
      {"system": "b", "prompt": "q", "score": 2.0, "other": None},
      {"system": "b", "prompt": "q", "score": 1.0, "other": 2.0}]
  with pytest.raises(InputError, match="c and a have no prompt in common"):
    scoring.differences([*rows, rows[-1] | {"system": "c"}], ("prompt",))


# Where videos are found.


@pytest.fixture
def workdir(frames, tmp_path):
  """Two rounds of samples; the second has the edit twice as bright."""
  write_rounds(tmp_path, frames, "an edit")
  return tmp_path


def write_rounds(workdir, frames, *prompts):
  for step, edit in ((1, frames // 4), (2, frames // 2)):
    results.write(
        workdir / f"samples/step_{step:06}",
        [("source", frames), ("autoencoder round trip", frames),
         *((prompt, edit) for prompt in prompts)], 8.0,
        {"prompts": prompts, "caption": "a man"})


def test_a_workdirs_last_edits_are_scored(workdir, frames):
  (found,) = systems.read(workdir)
  assert (found.prompt, found.caption) == ("an edit", "a man")
  np.testing.assert_array_equal(systems.frames(found.source), frames)
  np.testing.assert_array_equal(found.frames(), frames // 2)
  (earlier,) = systems.read(workdir / "samples/step_000001")
  np.testing.assert_array_equal(earlier.frames(), frames // 4)


@pytest.mark.parametrize("later", ["000002_10", "000010", "1000000"])
def test_rounds_are_in_the_order_of_their_numbers(workdir, frames, later):
  for name in ("000002_2", "000002_9", later):
    results.write(
        workdir / f"samples/step_{name}", [("an edit", frames // 8)], 8.0,
        {"prompts": ["an edit"]})
  (workdir / "samples/step_mine").mkdir()  # No round of ours.
  (found,) = systems.read(workdir)
  assert found.prompt == "an edit" and later in str(found.path)


def test_a_prompt_may_be_called_source_or_come_twice(frames, tmp_path):
  frames = frames[:2, :16, :16]
  write_rounds(tmp_path, frames, "source", "a", "a")
  found = systems.read(tmp_path)
  assert [x.prompt for x in found] == ["source", "a", "a"]
  assert len({x.path for x in found} | {found[0].source}) == 4
  for x in found:
    np.testing.assert_array_equal(systems.frames(x.source), frames)
  record = next(tmp_path.glob("samples/step_000002/record.json"))
  for old, new in (('"a"', '"b"'), ('"label": "a"', '"label": 5'), ("{", "[")):
    broken = record.read_text().replace(old, new, 1)
    (tmp_path / "record.json").write_text(broken)
    with pytest.raises(InputError, match=r"record\.json: "):
      systems._of_samples(tmp_path)


class _Page(html.parser.HTMLParser):
  """What a browser makes of a page: its tags, but in plots, and its text."""

  def __init__(self, page):
    super().__init__()
    self.tags, self.text = [], ""
    self.feed(page)
    end = len(self.tags) - self.tags[::-1].index("path")
    del self.tags[self.tags.index("svg"):end]

  def handle_starttag(self, tag, attrs):
    self.tags.append(tag)

  def handle_data(self, data):
    self.text += data


def test_names_and_prompts_are_texts_in_the_report(tmp_path, frames):
  wild = '<script>x</script>&amp;"\'$_{x}$ | `a`'
  plain, pages = "plain", []
  for i, name in enumerate((plain, wild)):
    rows = [{"system": name, "score": intervals.mean([1.0, 2.0])}]
    path = tmp_path / f"{i}.html"
    report.write(path, name, rows, rows, [report.Entry(name, [
        report.show(name, frames[:, :16, :16], 8.0, {"score": 1.0})])])
    pages.append(_Page(path.read_text(encoding="utf-8")))
  assert pages[0].tags == pages[1].tags
  assert pages[1].text.count(wild) == pages[0].text.count(plain) >= 6


def test_a_prompt_may_hold_a_line_separator(tmp_path):
  prompt = "one \u2028 two \u0085 three"
  (tmp_path / "metadata.jsonl").write_text(json.dumps(
      {"file_name": str(VIDEO), "text": prompt}, ensure_ascii=False) + "\n")
  (found,) = systems.read(tmp_path)
  assert found.prompt == prompt


def test_a_folder_of_videos_and_of_frames(frames, tmp_path):
  video.write_frames(tmp_path / "frames", video.Clip(frames, 8.0))
  (tmp_path / "metadata.jsonl").write_text("".join(
      json.dumps({"file_name": name, "text": text}) + "\n"
      for name, text in (("frames", "one"), (str(VIDEO), "two"))))
  one, two = systems.read(tmp_path)
  assert (one.prompt, two.prompt) == ("one", "two")
  np.testing.assert_array_equal(one.frames(), frames)
  assert two.frames().shape == (16, 64, 64, 3)


def test_a_folder_may_name_sources(frames, tmp_path):
  video.write_frames(tmp_path / "source", video.Clip(frames, 8.0))
  line = {"file_name": str(VIDEO), "text": "a"}
  (tmp_path / "metadata.jsonl").write_text("".join(
      json.dumps(line | more) + "\n" for more in (
          {}, {"source": "source"}, {"source": str(VIDEO), "source_text": "b"},
          {"source": None})))
  none, other, same, null = systems.read(tmp_path)
  assert none.source is none.caption is null.source is other.caption is None
  assert (same.source, same.caption) == (VIDEO, "b")
  scoring.check_source(same, same.frames(), edit_scores.Source(same.frames()))
  with pytest.raises(InputError, match="16 frames of 64x64; expected 5 frames"):
    scoring.check_source(other, other.frames(), edit_scores.Source(frames))


def test_motion_beside_the_source_needs_no_truth(frames):
  scorer = clip_score.Scorer(pretrained.load_clip("storybook"))
  source = edit_scores.Source(frames[:2], "a man")
  still, moves = (
      edit_scores.scores(scorer, video, "a robot", source)
      for video in (frames[[0, 0]], frames[:2]))
  assert still["flow error"] > moves["flow error"] == 0
  assert still["warping error"] > 3 * moves["warping error"]
  assert still["flicker"] == 100 > moves["flicker"]
  assert (still["dynamic degree"], moves["edit success"]) == (0, 0)
  alone = edit_scores.scores(scorer, frames[:2], "a robot", None)
  assert {key for key in alone if alone[key] is None} == {
      "edit success", "warping error", "flow error", "flow direction"}
  assert alone["flicker"] == moves["flicker"]


@pytest.mark.parametrize("line,says", [
    ("", "no rows"), ("{", "line 1"), ('{"file_name": "x.mp4"}', "line 1"),
    ('{"file_name": "x.mp4", "text": "a"}', "x.mp4: no such file"),
    ('{"file_name": "empty", "text": "a", "source": "y"}', "y: no such file"),
    ('{"file_name": "empty", "text": "a", "source_text": 3}', "line 1"),
    ('{"file_name": "broken.mp4", "text": "a"}', "cannot be read as a video"),
    ('{"file_name": "empty", "text": "a"}', "empty: a folder without frames")])
def test_what_cannot_be_scored_is_named(tmp_path, line, says):
  (tmp_path / "metadata.jsonl").write_text(line + "\n")
  (tmp_path / "broken.mp4").write_bytes(b"no video")
  (tmp_path / "empty").mkdir()
  with pytest.raises(InputError, match=says):
    for result in systems.read(tmp_path):
      result.frames()


def test_a_pixel_has_no_motion(tmp_path):
  row = np.zeros((2, 1, 4, 3), np.uint8)
  video.write_frames(tmp_path, video.Clip(row, 8.0))
  with pytest.raises(InputError, match="2 frames of 4x1 pixels"):
    systems.frames(tmp_path)


def test_no_videos_says_what_was_expected(tmp_path):
  with pytest.raises(InputError, match=r"a workdir of tav_jax\.tune"):
    systems.read(tmp_path)


@pytest.mark.slow
def test_evaluate_compares_systems(frames, tmp_path):
  workdir = tmp_path / "run"
  write_rounds(workdir, frames, "an edit", "a robot")
  systems = (str(workdir), str(workdir / "samples/step_000001"))
  commands.finish(
      f"evaluate --config=configs/evaluate.py --workdir={tmp_path}/out "
      "--config.pick_score=storybook", f"--config.systems={systems}")
  rows = json.loads((tmp_path / "out/videos.json").read_text())
  assert [row["system"] for row in rows] == [
      system for system in systems for _ in range(2)]
  means = json.loads((tmp_path / "out/scores.json").read_text())
  for i, mean in enumerate(means):  # Of one source video: no interval.
    found = [row["PickScore"] for row in rows[2 * i:2 * i + 2]]
    assert mean["PickScore"] == [np.mean(found), None, None, 1]
  assert "frame consistency" in (tmp_path / "out/scores.md").read_text()
  assert all(row["edit success"] in (0, 20, 40, 60, 80, 100) for row in rows)
  assert all(row["warping error"] >= 0 for row in rows)
  (apart,) = json.loads((tmp_path / "out/differences.json").read_text())
  assert apart["system"] == systems[1] and apart["PickScore"][0] != 0
  page = (tmp_path / "out/report.html").read_text()
  assert page.count("<video") == 6 and "the source" in page
