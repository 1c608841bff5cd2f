"""Reading, fitting and writing of videos, contact sheets and results."""

import itertools
import json

import av
from drawn_frames import noise, smooth
import numpy as np
from PIL import Image
import pytest

from tav_jax.data import video
from tav_jax.errors import InputError
from tav_jax.reports import sheet
from tav_jax.runs import results

SIZES = [(64, 64), (64, 32), (32, 64), (37, 91), (5, 3)]
FITS = ("stretch", "crop", "pad")


def write_lossless(path, frames, fps):
  """H.264 of RGB as it is, so that what is read can be compared exactly."""
  with av.open(str(path), "w") as container:
    stream = container.add_stream("libx264rgb", fps, options={"qp": "0"})
    stream.height, stream.width = frames.shape[1:3]
    stream.pix_fmt = "rgb24"
    for frame in frames:
      container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
    container.mux(stream.encode())
  return path


def read_all(path):
  with av.open(str(path)) as container:
    return np.stack([f.to_ndarray(format="rgb24")
                     for f in container.decode(video=0)])


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
  """40 frames at 12 frames a second; frame i is all of grey level 6 i."""
  grey = 6 * np.arange(40, dtype=np.uint8)[:, None, None, None]
  frames = np.broadcast_to(grey, (40, 24, 32, 3))
  return write_lossless(
      tmp_path_factory.mktemp("videos") / "numbered.mkv",
      np.ascontiguousarray(frames), 12)


@pytest.mark.parametrize(("start", "stride", "frames"), [
    (0, 1, 40), (0, 1, 1), (39, 1, 1), (39, 7, 1), (3, 4, 9), (0, 39, 2),
    (1, 2, 20)])
def test_reads_exactly_the_frames_asked_for(numbered, start, stride, frames):
  clip = video.read(
      numbered, start=start, stride=stride, frames=frames, width=32, height=24)
  assert clip.frames.shape == (frames, 24, 32, 3)
  assert clip.frames.dtype == np.uint8
  index = start + stride * np.arange(frames)
  np.testing.assert_array_equal(
      clip.frames, np.broadcast_to(6 * index[:, None, None, None],
                                   clip.frames.shape))
  assert clip.fps == 12 / stride


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_every_fit_gives_the_size(numbered, fit, width, height):
  clip = video.read(
      numbered, start=20, stride=1, frames=2, width=width, height=height,
      fit=fit)
  assert clip.frames.shape == (2, height, width, 3)
  if fit != "pad":  # Without bars a grey frame stays that grey.
    assert (clip.frames[0] == 120).all() and (clip.frames[1] == 126).all()


@pytest.fixture(scope="module", params=["wide", "tall"])
def marked(request, tmp_path_factory):
  """White with four coloured ends of the longer side, 20 of 120 pixels."""
  frame = np.full((40, 120, 3), 255, np.uint8)
  frame[:20, :20] = (200, 0, 0)
  frame[20:, :20] = (0, 200, 0)
  frame[:20, -20:] = (0, 0, 200)
  frame[20:, -20:] = (200, 0, 200)
  if request.param == "tall":
    frame = np.ascontiguousarray(frame.swapaxes(0, 1))
  path = tmp_path_factory.mktemp("videos") / f"{request.param}.mkv"
  return write_lossless(path, frame[None], 8), frame


def fitted(marked, fit, width, height):
  clip = video.read(
      marked[0], start=0, stride=1, frames=1, width=width, height=height,
      fit=fit)
  return clip.frames[0]


@pytest.mark.parametrize(("width", "height"), SIZES[:4])
def test_stretch_keeps_the_corners(marked, width, height):
  image = fitted(marked, "stretch", width, height)
  for y in (0, -1):
    for x in (0, -1):
      difference = image[y, x].astype(int) - marked[1][y, x]
      assert np.abs(difference).max() <= 40, (y, x)


@pytest.mark.parametrize("size", [40, 64])
def test_crop_cuts_the_ends_and_fills(marked, size):
  # The middle 40 of 120 pixels are white.
  assert fitted(marked, "crop", size, size).min() >= 250


@pytest.mark.parametrize("size", [60, 120])
def test_pad_keeps_all_and_adds_black_bars(marked, size):
  frame = marked[1]
  image = fitted(marked, "pad", size, size)
  if frame.shape[0] > frame.shape[1]:
    image, frame = image.swapaxes(0, 1), frame.swapaxes(0, 1)
  bar = size // 3
  assert (image[:bar] == 0).all() and (image[-bar:] == 0).all()
  inside = image[bar:-bar]
  assert inside.reshape(-1, 3).any(1).all()
  corners = inside[::len(inside) - 1, ::size - 1].astype(int)
  expected = frame[::len(frame) - 1, ::frame.shape[1] - 1]
  assert np.abs(corners - expected).max() <= 40


def test_a_size_that_no_memory_holds_is_named(numbered):
  with pytest.raises(InputError, match="height=8193: expected 8192 or less"):
    video.read(
        numbered, start=0, stride=1, frames=1, width=8192, height=8193)


def test_a_broken_off_video_serves_as_far_as_it_goes(tmp_path):
  whole, part = tmp_path / "whole.mp4", tmp_path / "part.mp4"
  video.write_mp4(whole, video.Clip(noise(24), 8.0))
  data = whole.read_bytes()
  part.write_bytes(data[:len(data) // 2])
  args = dict(start=0, stride=1, frames=8, width=64, height=48)
  np.testing.assert_array_equal(
      video.read(part, **args).frames, video.read(whole, **args).frames)


def test_pixels_and_back_are_exact():
  levels = np.arange(256, dtype=np.uint8)
  values = video.to_model(levels)
  assert values.dtype == np.float32
  assert (values.min(), values.max()) == (-1, 1)
  np.testing.assert_array_equal(video.to_pixels(values), levels)


def test_pixels_out_of_range_are_clipped():
  pixels = video.to_pixels(np.array([-np.inf, -7, -1.01, 1.01, 7, np.inf]))
  assert pixels.tolist() == [0, 0, 0, 255, 255, 255]


# A sheet's paper and ink are grey.
COLOURS = np.array([
    (200, 0, 0), (0, 200, 0), (0, 0, 200), (200, 200, 0), (0, 200, 200)],
    np.uint8)


def labelled(count, frames=5, height=24, width=32):
  return [
      (f"video {i} of a very long prompt that does not fit in one line",
       np.broadcast_to(COLOURS[i], (frames, height, width, 3)))
      for i in range(count)]


def areas(image):
  """Number of pixels of each colour, and the first row that has it."""
  masks = [(image == colour).all(-1) for colour in COLOURS]
  return [m.sum() for m in masks], [m.any(1).argmax() for m in masks]


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize(("height", "width"), [(24, 32), (96, 50), (7, 5)])
def test_still_sheet_has_a_row_a_video(count, height, width):
  image = sheet.still(labelled(count, 5, height, width))
  sizes, tops = areas(np.asarray(image))
  assert len(set(sizes[:count])) == 1 and sizes[0] >= 5 * height * width
  assert not any(sizes[count:])
  assert len(set(tops[:count])) == count and tops[:count] == sorted(
      tops[:count])


def test_still_sheet_shows_frames_from_first_to_last():
  frames = np.stack([np.full((24, 32, 3), 2 * i, np.uint8) for i in range(100)])
  image = np.asarray(sheet.still([("a", frames)], columns=5))
  row = image[-20].reshape(-1, 3)
  shown = [x for x in dict.fromkeys(row[:, 0].tolist()) if x != 255]
  assert shown == [0, 50, 100, 148, 198]


@pytest.mark.parametrize("count", [1, 2, 4, 5])
@pytest.mark.parametrize(("height", "width"), [(24, 32), (96, 51), (201, 193)])
def test_moving_sheet_has_a_cell_a_video(count, height, width):
  frames = sheet.moving(labelled(count, 3, height, width))
  assert frames.dtype == np.uint8
  assert len(frames) == 3
  assert frames.shape[1] % 2 == 0 and frames.shape[2] % 2 == 0
  for frame in frames:
    sizes, _ = areas(frame)
    assert len(set(sizes[:count])) == 1 and sizes[0] >= height * width
    assert not any(sizes[count:])


def test_moving_sheet_moves_and_a_shorter_video_waits():
  long, short = smooth(6, 24, 32), smooth(2, 24, 32)
  grids = sheet.moving([("long", long), ("short", short)])
  assert len(grids) == 6
  half = grids.shape[2] // 2
  for one, next_one in itertools.pairwise(grids[:, :, :half]):
    assert (one != next_one).any()
  for grid in grids[2:]:
    np.testing.assert_array_equal(grid[:, half:], grids[1][:, half:])


PROMPTS = ("a panda is skiing", "猫がスキーをする", "пёс", "", "a/b: ../c?",
           "word " * 80)


def test_results_are_complete(tmp_path):
  directory = tmp_path / "samples/step_000003"
  videos = [("source", noise(3)), *((p, smooth(3)) for p in PROMPTS)]
  results.write(directory, videos, 8.0, {"guidance": 2.0})
  assert [p.name for p in directory.parent.iterdir()] == [directory.name]
  mp4s = sorted(directory.glob("[0-9]*.mp4"))
  assert len(mp4s) == len(videos)
  for path, (_, frames) in zip(mp4s, videos, strict=True):
    assert read_all(path).shape == frames.shape
    with Image.open(path.with_suffix(".gif")) as gif:
      assert gif.n_frames == len(frames)
    pngs = sorted((directory / "frames" / path.stem).iterdir())
    np.testing.assert_array_equal(
        np.stack([np.asarray(Image.open(f)) for f in pngs]), frames)
  assert Image.open(directory / "sheet.png").size > (0, 0)
  assert len(read_all(directory / "sheet.mp4")) == 3
  assert (directory / "sheet.gif").exists()
  record = json.loads((directory / "record.json").read_text())
  assert record["guidance"] == 2.0 and record["fps"] == 8.0
  assert [f["label"] for f in record["files"]] == ["source", *PROMPTS]


def test_results_of_one_prompt_twice_are_both_recorded(tmp_path):
  directory = tmp_path / "step_000003"
  prompts = ("source", "a cat", "a cat", "A cat!")
  results.write(directory, [(p, smooth(2)) for p in prompts], 8.0, {})
  assert len(list(directory.glob("[0-9]*.mp4"))) == 4
  record = (directory / "record.json").read_text()
  for path in directory.glob("[0-9]*.mp4"):
    assert path.name in record


def test_results_appear_only_when_complete(tmp_path, monkeypatch):
  directory = tmp_path / "step_000003"
  videos = [("source", smooth(2)), ("a cat", smooth(2))]

  def fail(*args):
    raise OSError("No space left on device")

  with monkeypatch.context() as patch, pytest.raises(OSError, match="space"):
    patch.setattr(sheet, "moving", fail)
    results.write(directory, videos, 8.0, {})
  assert not list(tmp_path.iterdir())
  (tmp_path / "step_000003.partial").mkdir()  # A process was killed there.
  (tmp_path / "step_000003.partial/stale").touch()
  results.write(directory, videos, 8.0, {})
  assert [p.name for p in tmp_path.iterdir()] == ["step_000003"]
  assert not (directory / "stale").exists()
