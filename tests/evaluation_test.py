"""The judge, its tables and the command that uses them."""

import csv
import json

import commands
import jax
import numpy as np
import pytest

from tav_jax.errors import InputError
from tav_jax.models import initial
from tav_jax.reports import sheet, table
from tav_jax.storybook import judge
from tav_jax.storybook.classifier import Classifier
from tav_jax.storybook.world.scene import GROUPS, labels, Scene


@pytest.fixture(scope="module")
def random_judge() -> judge.Judge:
  config = judge.configuration((16, 16))
  params = initial.init(Classifier(config), 0, np.zeros((1, 64, 64, 3)))
  return judge.Judge(config, params)


def test_heads_are_the_groups(random_judge):
  shown = random_judge(np.zeros((3, 64, 64, 3), np.float32))
  assert list(shown) == list(GROUPS)
  assert all(values.shape == (3,) for values in shown.values())


def test_a_picture_counts_for_the_groups_it_shows(random_judge):
  images = np.random.default_rng(0).integers(
      0, 256, (2, 64, 64, 3)).astype(np.uint8)
  shown = random_judge(images.astype(np.float32) / 127.5 - 1)
  right = {name: int(values[0]) for name, values in shown.items()}
  wrong = {
      name: (int(values[1]) + 1) % len(GROUPS[name])
      for name, values in shown.items()}
  assert random_judge.accuracy(images, [right, wrong]) == dict.fromkeys(
      GROUPS, 0.5)


def test_judging_does_not_depend_on_how_many_at_a_time(random_judge):
  images = np.random.default_rng(1).uniform(
      -1, 1, (70, 64, 64, 3)).astype(np.float32)
  together, alone = random_judge(images), random_judge(images[66:])
  for name in GROUPS:
    np.testing.assert_array_equal(together[name][66:], alone[name])


def test_saved_judge_judges_the_same(random_judge, tmp_path):
  judge.save(tmp_path / "judge", random_judge)
  loaded = judge.load(tmp_path / "judge")
  images = np.random.default_rng(2).uniform(
      -1, 1, (8, 64, 64, 3)).astype(np.float32)
  assert loaded.config == random_judge.config
  # Pictures alone go to the device at a call, not the parameters again.
  with jax.transfer_guard_host_to_device("disallow"):
    shown = loaded(images)
  for name, values in random_judge(images).items():
    np.testing.assert_array_equal(values, shown[name])


def test_judge_of_another_world_is_refused(random_judge, tmp_path):
  judge.save(tmp_path / "judge", random_judge)
  file = tmp_path / "judge/config.json"
  values = json.loads(file.read_text())
  values["groups"]["subject"][0] = "dragon"
  file.write_text(json.dumps(values))
  with pytest.raises(InputError, match="other groups"):
    judge.load(tmp_path / "judge")


def test_missing_judge_says_which_stage_trains_one(tmp_path):
  with pytest.raises(InputError, match="stage 'judge'"):
    judge.load(tmp_path)


def test_labels_of_a_record_are_in_the_order_of_the_groups():
  drawn = Scene("robot", "red", "blue hat", "surfing", "on the moon")
  record = {"labels": np.array(list(labels(drawn).values()), np.int32)}
  assert judge.labels(record) == labels(drawn)


def test_tables_hold_the_same_numbers(tmp_path):
  rows = [{"model": "a", "subject": 0.5}, {"model": "b", "subject": 1.0}]
  table.write(tmp_path, "scores", rows)
  assert json.loads((tmp_path / "scores.json").read_text()) == rows
  with (tmp_path / "scores.csv").open() as file:
    assert [float(row["subject"]) for row in csv.DictReader(file)] == [0.5, 1]
  assert (tmp_path / "scores.md").read_text().splitlines() == [
      "| model | subject |", "| --- | --- |", "| a | 50.0 % |",
      "| b | 100.0 % |"]


def test_grid_shows_every_picture():
  pictures = np.stack([np.full((8, 8, 3), 20 * i, np.uint8) for i in range(9)])
  drawn = np.asarray(sheet.grid([str(i) for i in range(9)], pictures))
  assert {20 * i for i in range(9)} <= set(drawn[..., 0].ravel().tolist())


@pytest.mark.slow
def test_evaluate_writes_tables_and_sheets(random_judge, tmp_path):
  judge.save(tmp_path / "judge", random_judge)
  commands.finish(
      "evaluate --config=configs/evaluate_storybook.py --config.prompts=3 "
      f"--workdir={tmp_path}/out --config.judge={tmp_path}/judge "
      "--config.sampling.steps=2")
  rows = json.loads((tmp_path / "out/judge.json").read_text())
  assert [(row["captions"], row["pictures"]) for row in rows] == [
      (captions, pictures) for captions in ("seen pairs", "held-out pairs")
      for pictures in ("samples", "true drawings")]
  assert all(0 <= row[group] <= 1 for row in rows for group in GROUPS)
  for name in ("seen-pairs.png", "held-out-pairs.png", "judge.md"):
    assert (tmp_path / "out" / name).stat().st_size
