"""Lists of videos, and tuning those of a list together."""

import dataclasses
import json
import runpy
import shutil

from conftest import ROOT
import jax
from ml_collections import ConfigDict
import numpy as np
import orbax.checkpoint as ocp
import pytest

from bench import random_checkpoint
from tav_jax.errors import InputError
from tav_jax.runs import manifest, many, settings, tuning
from tav_jax.runs import workdir as workdirs
from tav_jax.runs.job import Job

VIDEO = ROOT / "tav_jax/storybook/videos/man-skiing.mp4"


@pytest.fixture
def base():
  return runpy.run_path(ROOT / "configs/storybook.py")["get_config"]()


def read(tmp_path, text, base, name="videos.csv"):
  (tmp_path / name).write_text(text)
  return manifest.read(tmp_path / name, base, tmp_path / "many")


def test_a_csv_and_json_lines_say_the_same(tmp_path, base):
  table = read(tmp_path, (
      "video,caption,prompts,video.stride,sampling.guidance,name\n"
      "a/cat.mp4,a cat,a dog | a robot,4,,\n"
      'b/cat.mp4,"a cat, big",a dog|a car,,7,other\n'), base)
  lines = read(tmp_path, "\n".join(map(json.dumps, (
      {"video": "a/cat.mp4", "caption": "a cat", "video.stride": 4,
       "prompts": ["a dog", "a robot"]},
      {"video": "b/cat.mp4", "caption": "a cat, big", "name": "other",
       "prompts": ["a dog", "a car"], "sampling.guidance": 7}))),
      base, "videos.jsonl")
  assert [x.settings for x in table] == [x.settings for x in lines]
  assert [x.name for x in table] == ["cat", "other"]
  assert table[1].workdir == tmp_path / "many/other"
  first, second = (x.settings for x in table)
  assert first.video.path == str(tmp_path / "a/cat.mp4")
  assert first.video.stride == 4 and second.video.stride == base.video.stride
  assert first.sampling.prompts == ("a dog", "a robot")
  assert second.sampling.guidance == 7.0
  assert dataclasses.asdict(first.model) == base.model.to_dict()


@pytest.mark.parametrize("row,told", [
    ("a.mp4,,a dog", "videos.csv line 2: no 'caption'"),
    ("a.mp4,a cat,a dog,x", "more fields than"),
    ("a.mp4,a cat,a dog\nb/a.mp4,a cat,a dog",
     "videos.csv line 3: another video"),
    ("a.mp4,a cat,|", "line 2: prompts='|': expected a text"),
    ("", "it has no videos"),
])
def test_lists_that_will_not_do(tmp_path, base, row, told):
  with pytest.raises(InputError, match=r"videos\.csv") as error:
    read(tmp_path, f"video,caption,prompts\n{row}\n", base)
  assert told in str(error.value)


@pytest.mark.parametrize("column,value,told", [
    ("video.strid", "2", "unknown column 'video.strid'"),
    ("video.stride", "two", "video.stride='two': expected int"),
    ("sampling.guidance", "-1", "sampling.guidance=-1.0: expected 0 to 100"),
    ("model.dtype", "float32", "all videos share it"),
    ("run.export", "True", "all videos share it"),
])
def test_columns_that_will_not_do(tmp_path, base, column, value, told):
  with pytest.raises(InputError, match=r"videos\.csv line 2: ") as error:
    read(tmp_path, (
        f"video,caption,prompts,{column}\na.mp4,a cat,a dog,{value}\n"), base)
  assert told in str(error.value)


@pytest.mark.parametrize("changes,told", [
    ({"prompts": 5}, "prompts=5: expected a text, or a list"),
    ({"prompts": ["a dog", 5]}, "or a list or an object of texts"),
    ({"prompts": {"a": 1}}, "a list or an object of texts"),
    ({"prompts": {}}, "a list or an object of texts"),
    ({"prompts": ["a dog", " "]}, "a list or an object of texts"),
    ({"prompts": None}, "no 'prompts'"),
    ({"video.path": "b.mp4"}, "the column 'video' says it"),
    ({"name": ["a"]}, "expected the name of a directory"),
    ({"seed": "1e400"}, "seed='1e400': expected int"),
    ({"caption": ["a cat"]}, "caption=['a cat']: expected a text"),
    ({"video": 3}, "video=3: expected a text"),
])
def test_json_of_another_kind(tmp_path, base, changes, told):
  row = {"video": "a.mp4", "caption": "a cat", "prompts": ["a dog"]} | changes
  with pytest.raises(InputError, match=r"videos\.jsonl") as error:
    read(tmp_path, json.dumps(row), base, "videos.jsonl")
  assert told in str(error.value)


def test_a_caption_may_hold_a_line_separator(tmp_path, base):
  caption = "a \u2028 cat \u0085"
  (job,) = read(tmp_path, json.dumps(
      {"video": "a.mp4", "caption": caption, "prompts": ["a dog"]},
      ensure_ascii=False), base, "videos.jsonl")
  assert job.settings.video.caption == caption


def test_groups_are_alike_and_of_about_the_same_size(tmp_path, base):
  rows = [f"{i}.mp4,cat {i},a dog,{2 if i < 9 else 4}" for i in range(11)]
  jobs = read(tmp_path, "\n".join(
      ["video,caption,prompts,optimizer.steps", *rows]), base)
  groups = list(many._groups(jobs, 4))
  assert [(len(group), size) for group, size in groups] == [
      (3, 3), (3, 3), (3, 3), (2, 2)]
  assert [x.name for x in groups[1][0]] == ["3", "4", "5"]


def test_jobs_of_one_model_come_in_turn(tmp_path, base):
  """So that each model is loaded once."""
  jobs = []
  for i, spatial in enumerate(("own", "sparse_causal", "own")):
    base.model.spatial = spatial
    base.optimizer.steps = i
    jobs.append(Job(str(i), settings.of(base.to_dict()), tmp_path))
  assert [group[0].name for group, _ in many._groups(jobs, 3)] == [
      "0", "2", "1"]


@pytest.mark.parametrize("n", [1, 3, 8, 20])
def test_shards_are_a_partition(n):
  parts = [many.shard(range(11), f"{i}/{n}") for i in range(n)]
  assert sorted(x for part in parts for x in part) == list(range(11))
  assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("which", ["3/3", "1", "-1/2", "a/b", "0/0"])
def test_no_such_shard(which):
  with pytest.raises(InputError, match="expected i/n"):
    many.shard([], which)


def checkpoint(workdir, step):
  return ocp.StandardCheckpointer().restore(
      workdir / "checkpoints" / str(step) / "default")


@pytest.mark.slow
def test_videos_are_tuned_together_as_alone(tmp_path, base):
  """One fails; an interrupted one goes on to the same; nothing is done twice.
  """
  random_checkpoint.write(tmp_path / "model", "least1")
  base.unlock()
  base.model.checkpoint = str(tmp_path / "model")
  base.video.update({"frames": 2, "width": 16, "height": 16})
  base.optimizer.update({"steps": 2, "steps_per_dispatch": 1, "eps": 1e-2})
  base.sampling.update({"steps": 2, "batch_size": 1, "guidance": 1.0})
  base.run.checkpoint_every = 1
  text = (
      "video,caption,prompts,video.start,seed,name\n"
      f"{VIDEO},a man is skiing,a panda,0,1,one\n"
      "nothing.mp4,a man is skiing,a panda,0,1,nothing\n"
      f"{VIDEO},a man is skiing fast,a robot,4,2,two\n")
  workdir = tmp_path / "many"

  def run():
    jobs = read(tmp_path, text, base)
    with pytest.raises(InputError, match=r"1 of 3 runs failed: nothing: "):
      many.run(jobs, 3)
    return jobs

  jobs = run()
  states = {name: checkpoint(workdir / name, 2) for name in ("one", "two")}
  tuning.run(
      ConfigDict(dataclasses.asdict(jobs[2].settings)), tmp_path / "alone")
  jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, atol=2e-6),
      checkpoint(tmp_path / "alone", 2), states["two"])

  # As if it had been killed between saving the one and the other.
  shutil.rmtree(workdir / "two/checkpoints/2")
  for name in ("one", "two"):
    shutil.rmtree(workdirs.samples(workdir / name, 2))
  run()
  for name, state in states.items():
    assert workdirs.samples(workdir / name, 2).exists()
    jax.tree.map(
        np.testing.assert_array_equal, checkpoint(workdir / name, 2), state)
    assert len((workdir / name / "metrics.jsonl").read_text().splitlines()) == 2
  written = {p: p.stat().st_mtime_ns for p in workdir.rglob("*.png")}
  assert written
  run()
  assert written == {p: p.stat().st_mtime_ns for p in workdir.rglob("*.png")}
