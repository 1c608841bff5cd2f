"""Datasets: what is written is what is read; batch `k` depends on `k` alone."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time

from conftest import ROOT
import numpy as np
from PIL import Image
import pytest

from tav_jax.data import datasets, video
from tav_jax.data.batches import batches
from tav_jax.data.datasets import builder as builders
from tav_jax.errors import InputError
from tav_jax.storybook import dataset
from tav_jax.storybook.world import scene as world
from tav_jax.storybook.world.motion import video as moving
from tav_jax.storybook.world.render import render

SMALL = {"count": 40, "test_count": 12, "size": 16, "seed": 5}


def draw(data_dir, **chosen):
  return datasets.load(dataset.StorybookImages(data_dir=data_dir, **chosen))


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
  return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def pictures(directory):
  return draw(directory, **SMALL)


@pytest.fixture(scope="module")
def clips(directory):
  return datasets.load(dataset.StorybookVideos(
      data_dir=directory, count=3, test_count=1, frames=4, size=16))


def same(a, b) -> bool:
  return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


def scenes(split) -> list[world.Scene]:
  return [world.from_json(record["scene"]) for record in split]


# The drawn world.


def test_pictures_are_what_the_scenes_show(pictures):
  assert {k: len(v) for k, v in pictures.items()} == {
      "train": 40, "test": 12, "held_out": 12}
  for split in pictures.values():
    for record, scene in zip(split, scenes(split), strict=True):
      assert record["image"].dtype == np.uint8
      np.testing.assert_array_equal(record["image"], render(scene, 16))
      assert record["caption"] == world.caption(scene)
      assert record["labels"].dtype == np.int32
      labels = dict(zip(world.GROUPS, record["labels"].tolist(), strict=True))
      assert labels == world.labels(scene)


def test_clips_are_what_the_scenes_show(clips):
  for record, scene in zip(clips["train"], scenes(clips["train"]), strict=True):
    frames = moving(scene, 4)
    np.testing.assert_array_equal(
        record["video"], [render(s, 16) for s in frames])
    np.testing.assert_array_equal(record["motion"], np.float32(
        [(s.x, s.y, s.phase, s.pan) for s in frames]))
    assert record["caption"] == world.caption(scene)


def test_no_pair_is_both_held_out_and_trained_on(pictures):
  pairs = {
      name: {(s.subject, s.place) for s in scenes(split)}
      for name, split in pictures.items()}
  assert not (pairs["train"] | pairs["test"]) & pairs["held_out"]


def test_no_picture_is_drawn_twice(pictures):
  drawn = [s for split in pictures.values() for s in scenes(split)]
  assert len(set(drawn)) == len(drawn)


def test_another_seed_draws_others(pictures, directory):
  others = draw(directory, **{**SMALL, "seed": 6})
  assert not set(scenes(pictures["train"])) & set(scenes(others["train"]))


def test_the_number_of_processes_does_not_matter(pictures, tmp_path):
  builder = dataset.StorybookImages(data_dir=tmp_path, **SMALL)
  others = datasets.load(builder, processes=2)
  for name, split in pictures.items():
    assert all(map(same, split, others[name]))


# On disk.


def test_neither_tensorflow_nor_network_nor_home(tmp_path):
  home = tmp_path / "home"
  home.mkdir()
  subprocess.run([sys.executable, "-W", "error::UserWarning", "-c", f"""
import socket, sys
def refuse(*args, **kwargs): raise AssertionError("network")
socket.socket.connect = socket.getaddrinfo = refuse
from tav_jax.data.batches import batches
from tav_jax.data import datasets
from tav_jax.storybook.dataset import StorybookImages
splits = datasets.load(
    StorybookImages(data_dir={str(tmp_path / "data")!r}, **{SMALL}))
assert next(batches(splits["train"], batch_size=4, seed=0))["image"].any()
assert "tensorflow" not in sys.modules
"""], check=True, env=os.environ | {"HOME": str(home), "PYTHONPATH": str(ROOT)})
  assert not list(home.iterdir())
  assert [p.name for p in (tmp_path / "data").iterdir()] == ["storybook_images"]


def test_what_is_there_is_not_written_again(pictures, directory, monkeypatch):
  monkeypatch.delattr(builders, "_write")
  again = draw(directory, **SMALL)
  assert all(map(same, pictures["train"], again["train"]))


def test_a_killed_run_starts_again_and_leaves_nothing(pictures, tmp_path):
  killed = subprocess.Popen([sys.executable, "-c", f"""
import os, signal
from tav_jax.data import datasets
from tav_jax.storybook import dataset
if __name__ == "__main__":
  builder = dataset.StorybookImages(data_dir={str(tmp_path)!r}, **{SMALL})
  shard = builder._shard
  def dying(*args):
    for i, record in shard(*args):
      if i == 20: os.kill(os.getpid(), signal.SIGKILL)
      yield i, record
  builder._shard = dying
  datasets.load(builder, processes=2)
"""], start_new_session=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
  assert killed.wait() == -signal.SIGKILL
  place = next((tmp_path / "storybook_images").iterdir())
  assert [p.name.split(".")[0] for p in place.glob("[!.]*")] == [
      "incomplete"]

  splits = draw(tmp_path, **SMALL)
  assert all(map(same, pictures["train"], splits["train"]))
  assert [p.name for p in place.glob("[!.]*")] == ["1.0.0"]
  with pytest.raises(ProcessLookupError):  # Those that drew for it are gone.
    for _ in range(100):
      os.killpg(killed.pid, 0)
      time.sleep(0.1)


def test_an_error_while_writing_leaves_nothing(tmp_path, monkeypatch):
  builder = dataset.StorybookImages(data_dir=tmp_path, **SMALL)
  monkeypatch.setattr(builder, "work", lambda split, numbers: (
      lambda number: {}[number], numbers))
  with pytest.raises(KeyError):
    datasets.load(builder)
  place = next((tmp_path / "storybook_images").iterdir())
  assert not [*place.iterdir()]


def test_directory_that_cannot_be_written(tmp_path):
  (tmp_path / "file").touch()
  with pytest.raises(InputError, match=r"data_dir: .*file/.*cannot be written"):
    draw(tmp_path / "file", **SMALL)


# Batches.

RECORDS = [{"n": np.int64(i), "word": "a" * (i % 3)} for i in range(13)]


def take(number, source=RECORDS, **options):
  options = {"batch_size": 4, "seed": 0, "transform": noisy} | options
  return list(itertools.islice(batches(source, **options), number))


def noisy(record, rng):
  return record | {"noise": rng.normal(size=2)}


@pytest.mark.parametrize("start", [1, 3, 4, 11])
def test_resuming_gives_the_batches_of_the_straight_run(start):
  straight, resumed = take(14), take(14 - start, start=start)
  assert all(map(same, straight[start:], resumed))


def test_processes_share_every_batch():
  whole = take(9)
  parts = [take(9, process_index=i, process_count=2) for i in range(2)]
  for batch, *shares in zip(whole, *parts, strict=True):
    assert same(batch, {
        k: np.concatenate([s[k] for s in shares]) for k in batch})


def test_every_epoch_has_every_record_once_in_its_own_order():
  numbers = np.concatenate([b["n"] for b in take(13)]).reshape(4, 13)
  assert (np.sort(numbers) == np.arange(13)).all()
  assert len({tuple(epoch) for epoch in numbers}) == 4


def test_noise_differs_between_records_and_epochs():
  noise = np.concatenate([b["noise"] for b in take(13)])
  assert len(np.unique(noise)) == noise.size


def test_the_seed_matters():
  orders = [
      np.concatenate([b["n"] for b in take(13, seed=seed)]).reshape(4, 13)
      for seed in (0, 1)]
  assert not {tuple(e) for e in orders[0]} & {tuple(e) for e in orders[1]}


def test_batches_of_a_dataset(pictures):
  def dropping(record, rng):
    scene = world.from_json(record["scene"])
    return {
        "image": record["image"],
        "caption": world.training_caption(scene, rng)}
  batch, = take(1, pictures["train"], transform=dropping)
  assert batch["image"].shape == (4, 16, 16, 3)
  assert batch["image"].dtype == np.uint8
  assert all(isinstance(c, str) for c in batch["caption"].tolist())


def test_batches_of_an_array():
  batch = next(batches(np.arange(6), batch_size=6, seed=0))
  assert sorted(batch) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(("options", "message"), [
    ({"batch_size": 14}, "batch_size=14: expected at most 13"),
    ({"batch_size": 0}, "batch_size=0: expected a multiple of 1"),
    ({"batch_size": 3, "process_count": 2}, "batch_size=3: expected a multip"),
])
def test_sizes_that_do_not_go_together(options, message):
  with pytest.raises(InputError, match=message):
    take(1, **options)


def test_no_record_is_left_out_by_a_transform():
  with pytest.raises(TypeError, match="returned None"):
    take(1, transform=lambda record, rng: None)


# A folder of one's own.


def write_folder(folder, lines, **files):
  folder.mkdir(exist_ok=True)
  (folder / "metadata.jsonl").write_text("\n".join(
      line if isinstance(line, str) else json.dumps(line) for line in lines))
  for name, content in files.items():
    (folder / name.replace("_", ".")).write_bytes(content)


def captioned_folder(folder, directory, size, frames=16, stride=1):
  return datasets.load(datasets.CaptionedFolder(
      folder=folder, data_dir=directory, size=size, frames=frames,
      stride=stride))


@pytest.fixture
def folder(tmp_path):
  """Pictures twice as wide as high: red, green in the middle, blue."""
  image = np.zeros((32, 64, 3), np.uint8)
  image[:, :8, 0] = image[:, 8:56, 1] = image[:, 56:, 2] = 255
  write_folder(tmp_path / "mine", [
      {"file_name": "a.png", "text": "a café"}, "",
      {"file_name": "b.png", "caption": " two \u2028 lines "}])
  for name in ("a.png", "b.png"):
    Image.fromarray(image).save(tmp_path / "mine" / name)
  return tmp_path / "mine"


def test_pictures_are_cropped_to_their_centre(folder, tmp_path):
  split, = captioned_folder(folder, tmp_path, size=8).values()
  assert [r["caption"] for r in split] == ["a café", "two \u2028 lines"]
  for record in split:
    np.testing.assert_array_equal(
        record["image"], np.broadcast_to(np.uint8([0, 255, 0]), (8, 8, 3)))


def test_pictures_are_scaled_without_aliasing(folder, tmp_path):
  stripes = np.zeros((64, 64, 3), np.uint8)
  stripes[:, ::2] = 255
  Image.fromarray(stripes).save(folder / "a.png")
  split, = captioned_folder(folder, tmp_path, size=8).values()
  np.testing.assert_allclose(split[0]["image"], 127, atol=10)


def test_a_changed_folder_is_read_again(folder, tmp_path):
  before = captioned_folder(folder, tmp_path, size=8)["train"]
  write_folder(folder, [{"file_name": "a.png", "text": "a tea"}])
  after = captioned_folder(folder, tmp_path, size=8)["train"]
  assert [len(before), len(after), after[0]["caption"]] == [2, 1, "a tea"]


def test_folder_of_clips(folder, tmp_path):
  frames = np.repeat(np.arange(0, 250, 25, np.uint8), 32 * 64 * 3)
  video.write_mp4(folder / "a.mp4", video.Clip(
      frames.reshape(10, 32, 64, 3), 8.0))
  write_folder(folder, [{"file_name": "a.mp4", "text": "it brightens"}])
  split, = captioned_folder(
      folder, tmp_path, size=8, frames=3, stride=2).values()
  assert split[0]["video"].shape == (3, 8, 8, 3)
  np.testing.assert_allclose(
      split[0]["video"].mean((1, 2, 3)), [0, 50, 100], atol=3)
  assert split[0]["fps"] == 4


PICTURE = {"file_name": "a.png", "text": "a café"}


@pytest.mark.parametrize(("lines", "message"), [
    ([], "metadata.jsonl: no rows; expected a line like"),
    ([PICTURE, "{'file_name'"], "metadata.jsonl line 2: not JSON"),
    ([PICTURE, "", "[1]"], "metadata.jsonl line 3: not a JSON object"),
    ([{"text": "a cat"}], "metadata.jsonl line 1: no file_name"),
    ([{"file_name": "a.png"}], "line 1: no caption of 'a.png'"),
    ([PICTURE | {"text": "  "}], "line 1: no caption of 'a.png'"),
    ([PICTURE | {"file_name": "z.png"}], "mine/z.png: no such file"),
    ([PICTURE, PICTURE | {"file_name": "bad.png"}],
     "line 2: .*mine/bad.png: cannot be read as a picture"),
    ([PICTURE, PICTURE | {"file_name": "bad.mp4"}],
     "line 2: bad.mp4 is a clip and a.png a picture"),
    ([PICTURE | {"file_name": "bad.mp4"}], "line 1: .*cannot be read as a vid"),
])
def test_folders_that_will_not_do(folder, tmp_path, lines, message):
  write_folder(folder, lines, bad_png=b"bad", bad_mp4=b"bad")
  with pytest.raises(InputError, match=message) as error:
    captioned_folder(folder, tmp_path, size=8)
  assert "\n" not in str(error.value)


def test_folder_without_metadata(tmp_path):
  with pytest.raises(InputError, match=r"metadata\.jsonl: no such file"):
    captioned_folder(tmp_path / "none", tmp_path, size=8)
