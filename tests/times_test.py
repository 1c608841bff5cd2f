"""Frames are those that are seen at even distances of time; see docs/files.md.
"""

import av
from conftest import DATA
import numpy as np
from PIL import Image
import pytest
import quarters

from tav_jax.data import colours, video
from tav_jax.data.frames import rate

CASES = DATA / "cases"


def read(path, frames=1, start=0, stride=1, width=128, height=96, **how):
  return video.read(
      path, frames=frames, start=start, stride=stride, width=width,
      height=height, **how)


def test_frames_of_a_variable_rate_are_those_seen_at_even_times():
  file = CASES / "vfr.mkv"  # 11 frames at 30 a second, then 9 at 5.
  with av.open(str(file)) as container:
    stored = np.stack([
        frame.to_ndarray(format="rgb24")
        for frame in container.decode(video=0)])
  seen = [*range(11), *(10 + i // 6 for i in range(1, 55))]
  np.testing.assert_array_equal(video.read_all(file), stored[seen])
  clip = read(file, frames=16, start=1, stride=4)
  assert clip.fps == 7.5
  np.testing.assert_array_equal(clip.frames, stored[seen[1:62:4]])


@pytest.mark.parametrize(("times", "last", "declared", "expected"), [
    # Constant: rounded times, jitter, a rate that is not declared or is wrong.
    ([0, 0.033, 0.067, 0.1, 0.133], 0.033, [30000 / 1001],
     (30000 / 1001, False)),
    ([0, 0.03, 0.07, 0.1, 0.14, 0.16, 0.2], 0.033, [30], (30, False)),
    ([5, 5.25, 5.5, 5.75], 0.25, [0.0], (4, False)),
    ([i / 10 for i in range(200)], 0.1, [1000], (10, False)),
    # No times that tell anything.
    ([], 0, [25], (25, False)), ([0, 0, 0], 0, [25], (25, False)),
    ([0], 0.5, [0], (2, False)), ([0], 0, [], (0, False)),
    # Variable.
    ([0, 0.75, 1.25], 0.25, [2], (4, True)),
    ([0, 1 / 30, 2 / 30, 0.5, 1, 1.5], 0, [29.97], (29.97, True)),
    ([0, 0.033, 0.067, 0.1, 0.5, 0.533, 0.567, 0.6], 0.033, [20], (30, True)),
    ([0, 1e-6, 3], 0, [1e6], (1000, True)),
])
def test_rates(times, last, declared, expected):
  floats = lambda values: [float(value) for value in values]
  assert rate(floats(times), float(last), floats(declared)) == (
      pytest.approx(expected, rel=2e-3))


def test_a_frame_is_held_as_long_as_it_was_shown(tmp_path):
  frames = np.stack([quarters.draw(), 255 - quarters.draw()])
  frames = frames[[0, 0, 0, 1, 1, 0]]
  video.write_gif(tmp_path / "a.gif", video.Clip(frames, 4.0))
  np.testing.assert_array_equal(video.read_all(tmp_path / "a.gif"), frames)
  assert read(tmp_path / "a.gif").fps == 4
  shown = [Image.fromarray(frame) for frame in frames[[0, 3, 5]]]
  shown[0].save(
      tmp_path / "a.webp", save_all=True, append_images=shown[1:],
      duration=[750, 500, 250], lossless=True)
  np.testing.assert_array_equal(video.read_all(tmp_path / "a.webp"), frames)
  assert read(tmp_path / "a.webp").fps == 4


@pytest.mark.parametrize("name", ["all-zero.mkv", "b-frames.avi"])
def test_broken_times_count_for_nothing(tmp_path, name):
  """Frame i is grey of level 9 i; in AVI the times of B-frames go back."""
  frames = [np.full((32, 32, 3), 9 * i, np.uint8) for i in range(25)]
  file = quarters.encode(
      tmp_path / f"first{name[-4:]}", frames, "libx264", "yuv444p",
      options={"qp": "1", "bf": "3", "x264-params": "b-adapt=0"})
  if name.startswith("all"):
    with av.open(str(file)) as old, av.open(str(tmp_path / name), "w") as new:
      stream = new.add_stream_from_template(old.streams.video[0])
      for packet in old.demux(video=0):
        if packet.size:
          packet.stream, packet.pts, packet.dts = stream, 0, 0
          new.mux(packet)
    file = tmp_path / name
  levels = video.read_all(file)[:, 16, 16, 0]
  np.testing.assert_allclose(levels, 9 * np.arange(25), atol=3)


def test_packets_without_content_stand_for_the_same_frame_again():
  """Theora by the ffmpeg program: the same picture three times."""
  frames = video.read_all(CASES / "still.ogv")
  assert len(frames) == 3 and quarters.show(frames[2])


def test_only_frames_that_are_asked_for_are_converted(tmp_path, monkeypatch):
  count = []
  convert = colours.Colours.__call__
  monkeypatch.setattr(colours.Colours, "__call__", lambda self, frame: (
      count.append(1), convert(self, frame))[1])
  read(CASES / "vfr.mkv", frames=3, start=2, stride=5)
  assert len(count) == 3
