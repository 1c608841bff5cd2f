"""Writing of videos: colours, rates, sizes, and the same bytes each time."""

from fractions import Fraction

import av
from conftest import ROOT
from drawn_frames import noise, smooth
import numpy as np
from PIL import Image
import pytest
import quarters

from tav_jax.data import video
from tav_jax.reports import sheet

MAN_SKIING = ROOT / "tav_jax/storybook/videos/man-skiing.mp4"


def read_all(path):
  with av.open(str(path)) as container:
    return np.stack([f.to_ndarray(format="rgb24")
                     for f in container.decode(video=0)])


@pytest.mark.parametrize("fps", [4.0, 30000 / 1001, 25 / 3])
def test_mp4_plays_everywhere_and_is_close(tmp_path, fps):
  frames = smooth()
  path = tmp_path / "a.mp4"
  video.write_mp4(path, video.Clip(frames, fps))
  with av.open(str(path)) as container:
    (stream,) = container.streams
    assert stream.codec_context.name == "h264"
    assert stream.pix_fmt == "yuv420p"
    assert float(stream.average_rate) == pytest.approx(fps, rel=1e-4)
  # The index comes first, so that a browser can begin before it has it all.
  data = path.read_bytes()
  assert 0 < data.find(b"moov") < data.find(b"mdat")
  back = read_all(path)
  assert back.shape == frames.shape
  assert np.abs(back.astype(int) - frames).mean() < 3


def as_players_show(path):
  """Frames by the equations of BT.601 and BT.709, by tags or by the size."""
  with av.open(str(path)) as container:
    context = container.streams.video[0].codec_context
    tags = [int(tag) for tag in (
        context.colorspace, context.color_primaries, context.color_trc,
        context.color_range)]
    assert tags == [1 if context.height >= 720 else 6, 1, 1, 1]
    red, blue = (0.2126, 0.0722) if tags[0] == 1 else (0.299, 0.114)
    shown = []
    for frame in container.decode(video=0):
      y, u, v = (
          np.frombuffer(plane, np.uint8).reshape(
              plane.height, plane.line_size)[:, :plane.width].astype(float)
          for plane in frame.planes)
      u, v = (x.repeat(2, 0).repeat(2, 1) for x in (u, v))
      y, u, v = (y - 16) / 219, (u - 128) / 224, (v - 128) / 224
      r, b = y + 2 * (1 - red) * v, y + 2 * (1 - blue) * u
      g = (y - red * r - blue * b) / (1 - red - blue)
      shown.append(np.stack([r, g, b], -1) * 255)
    return np.stack(shown)


@pytest.mark.parametrize(("height", "width"), [(96, 128), (97, 129), (720, 64)])
def test_mp4_shows_its_colours_in_every_player(tmp_path, height, width):
  frames = np.stack([quarters.draw(height, width)] * 3)
  path = tmp_path / "12:30.mp4"
  video.write_mp4(path, video.Clip(frames, 30000 / 1001 / 2))
  for back in (as_players_show(path), video.read_all(path)):
    assert back.shape == (3, height + height % 2, width + width % 2, 3)
    assert quarters.show(back[2, :height, :width])
  with av.open(str(path)) as container:
    assert container.streams.video[0].average_rate == Fraction(15000, 1001)


def test_sheets_show_the_colours_of_the_videos(tmp_path):
  videos = [("a", np.stack([quarters.draw(192, 192)] * 2))] * 4
  frames = sheet.moving(videos, across=1)
  assert frames.shape[1] > 720
  clip = video.Clip(frames, 8.0)
  video.write_mp4(tmp_path / "a.mp4", clip)
  video.write_gif(tmp_path / "a.gif", clip)
  for back in (as_players_show(tmp_path / "a.mp4"),
               video.read_all(tmp_path / "a.gif")):
    assert quarters.show(back[0, 8:200, 8:200])


def test_the_same_frames_give_the_same_bytes(tmp_path):
  """So they do whatever the memory holds that the encoder is given.

  With x264's tree of macroblocks (mbtree) these files differ.
  """
  clip = video.Clip(video.read_all(MAN_SKIING), 8.0)
  for write, name in ((video.write_mp4, "a.mp4"),
                      (video.write_lossless, "a.mkv")):
    contents = set()
    for i in range(6):
      rubbish = [
          np.full(size, 40 * i, np.uint8) for size in range(999, 99_999, 999)]
      del rubbish
      write(tmp_path / name, clip)
      contents.add((tmp_path / name).read_bytes())
    (content,) = contents
    assert b"Lavf6" not in content
    if name == "a.mp4":
      assert b" threads=1 " in content and b" mbtree=0 " in content


def test_slow_and_fast_clips_are_written(tmp_path):
  slow = video.Clip(smooth(2), 1e-4)
  video.write_mp4(tmp_path / "a.mp4", slow)
  video.write_gif(tmp_path / "a.gif", slow)
  assert len(read_all(tmp_path / "a.mp4")) == 2
  # Browsers slow down GIFs of more than 50 frames a second.
  video.write_gif(tmp_path / "b.gif", video.Clip(smooth(12), 60.0))
  frames, milliseconds = read_gif(tmp_path / "b.gif")
  assert len(frames) == 6 and milliseconds == 200


def test_mp4_of_one_frame(tmp_path):
  path = tmp_path / "a.mp4"
  video.write_mp4(path, video.Clip(smooth(1), 8.0))
  assert len(read_all(path)) == 1


def read_gif(path):
  """Its frames and how long it takes, in milliseconds."""
  frames, milliseconds = [], 0
  with Image.open(path) as gif:
    assert gif.info["loop"] == 0  # For ever.
    for i in range(gif.n_frames):
      gif.seek(i)
      frames.append(np.asarray(gif.convert("RGB"), int))
      milliseconds += gif.info["duration"]
  return np.stack(frames), milliseconds


@pytest.mark.parametrize("frames", [1, 6])
@pytest.mark.parametrize("fps", [4.0, 12.5, 25 / 3])
def test_gif_has_all_frames_and_loops(tmp_path, frames, fps):
  frames = smooth(frames)
  video.write_gif(tmp_path / "a.gif", video.Clip(frames, fps))
  shown, milliseconds = read_gif(tmp_path / "a.gif")
  assert shown.shape == frames.shape
  assert np.abs(shown - frames).mean() < 8
  # A GIF counts hundredths of a second: the nearest.
  assert abs(milliseconds / len(frames) - 1000 / fps) < 5.01


def test_gif_of_a_video_that_stands_still_takes_as_long(tmp_path):
  moving = smooth(2)
  video.write_gif(
      tmp_path / "a.gif", video.Clip(moving[[0, 0, 0, 1, 1, 0]], 4.0))
  _, milliseconds = read_gif(tmp_path / "a.gif")
  assert milliseconds == 1500


def test_png_frames_are_lossless(tmp_path):
  frames = noise()
  video.write_frames(tmp_path / "new/frames", video.Clip(frames, 8.0))
  files = sorted((tmp_path / "new/frames").iterdir())
  assert [f.name for f in files] == [f"{i:05}.png" for i in range(6)]
  np.testing.assert_array_equal(
      np.stack([np.asarray(Image.open(f)) for f in files]), frames)
