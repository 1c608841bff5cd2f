"""Each kind of video file shows what a player shows; see docs/files.md.

Colours, order, size and rate are compared with what was drawn. `data/cases` has
files from elsewhere: of public reports, and by the ffmpeg program.
"""

from fractions import Fraction
import io
import os
import pathlib
import shutil
import struct

import av
from conftest import DATA
import numpy as np
from PIL import Image
import pytest
import quarters

from tav_jax.data import video
from tav_jax.errors import InputError

CASES = DATA / "cases"
WHITE = (255, 255, 255)
ONE = 65536  # In a display matrix.


def read(path, frames=1, start=0, stride=1, width=128, height=96, **how):
  return video.read(
      path, frames=frames, start=start, stride=stride, width=width,
      height=height, **how)


# The quarters that the ffmpeg program 9.0.2 shows, by a, b, c, d of the matrix.
@pytest.mark.parametrize(("matrix", "shown"), {
    (1, 0, 0, 1): "rgby", (-1, 0, 0, 1): "gryb", (1, 0, 0, -1): "byrg",
    (-1, 0, 0, -1): "ybgr", (0, 1, 1, 0): "rbgy", (0, 1, -1, 0): "bryg",
    (0, -1, 1, 0): "gyrb", (0, -1, -1, 0): "ygbr"}.items())
def test_videos_are_turned_as_players_turn_them(tmp_path, matrix, shown):
  pack = lambda a, b, c, d: struct.pack(
      ">9i", a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30)
  content = (CASES / "rot90.mp4").read_bytes()
  assert content.count(pack(0, -1, 1, 0)) == 1
  file = tmp_path / "turned.mp4"
  file.write_bytes(content.replace(pack(0, -1, 1, 0), pack(*matrix)))
  frame = video.read_all(file)[0]
  assert frame.shape == ((96, 128, 3) if matrix[0] else (128, 96, 3))
  assert quarters.letters(frame) == shown
  assert quarters.letters(read(file, fit="crop").frames[0]) == shown


def see_through():
  """The lower quarters are transparent, with noise hidden in them."""
  frame = np.dstack([quarters.draw(), np.full((96, 128), 255, np.uint8)])
  frame[48:] = np.random.default_rng(0).integers(0, 256, (48, 128, 4))
  frame[48:, :, 3] = 0
  return frame


@pytest.mark.parametrize(("name", "codec", "layout"), [
    ("alpha.webm", None, ""),  # VP9 and VP8, by the ffmpeg program.
    ("alpha8.webm", None, ""),
    ("prores.mov", "prores_ks", "yuva444p10le"), ("rle.mov", "qtrle", "argb"),
    ("png.mov", "png", "rgba"), ("animated.apng", "apng", "rgba"),
    ("lossless.mkv", "ffv1", "yuva420p")])
def test_what_is_transparent_is_white(tmp_path, name, codec, layout):
  file = CASES / name
  if codec:
    file = quarters.encode(tmp_path / name, [see_through()] * 2, codec, layout)
  frames = video.read_all(file)
  assert len(frames) == (2 if codec else 4)
  for frame in frames:
    assert quarters.show(frame, (quarters.R, quarters.G, WHITE, WHITE))


@pytest.mark.parametrize(("lines", "matrix", "layout", "tags"), [
    # Not tagged: as players guess.
    (96, 5, "yuv420p", {}), (718, 5, "yuv420p", {}), (720, 1, "yuv420p", {}),
    (720, 1, "yuv420p10le", {}), (96, 5, "yuv444p12le", {}),
    # As tagged.
    (96, 1, "yuv420p", {"colorspace": 1}),
    (720, 5, "yuv420p", {"colorspace": 6}),
    (96, 9, "yuv422p10le", {"colorspace": 9}),
    (96, 5, "yuv420p", {"color_range": 2}),
    (96, 1, "yuv444p", {"colorspace": 1, "color_range": 2}),
    (97, 5, "yuv420p", {})])
def test_colours_are_as_tagged_or_as_players_guess(
    tmp_path, lines, matrix, layout, tags):
  frames = [quarters.draw(lines, 129 if lines % 2 else 128)]
  file = quarters.encode(
      tmp_path / "a.mkv", frames, "ffv1", layout, tags=tags, how={
          "dst_colorspace": matrix,
          "dst_color_range": tags.get("color_range", 1)})
  (frame,) = video.read_all(file)
  assert frame.shape == frames[0].shape and quarters.show(frame)


@pytest.mark.parametrize("layout", ["yuvj420p", "gray", "bgr0", "pal8"])
def test_colours_of_other_layouts(tmp_path, layout):
  frame, expected = quarters.draw(), quarters.COLOURS
  if layout == "pal8":
    file = tmp_path / "a.gif"
    video.write_gif(file, video.Clip(np.stack([frame, frame]), 8.0))
  else:
    codec = "mjpeg" if layout == "yuvj420p" else "ffv1"
    file = quarters.encode(tmp_path / "a.mkv", [frame], codec, layout)
  if layout == "gray":  # BT.601's luma.
    luma = np.array(expected) @ (0.299, 0.587, 0.114)
    expected = np.repeat(luma[:, None], 3, 1)
  assert quarters.show(video.read_all(file)[0], expected)


def in_hlg(frame, white=203):
  """sRGB as HLG of a screen of 1000 nits, by BT.2087 and BT.2100; uint16."""
  x = frame / 255
  light = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055)**2.4)
  light = white / 1000 * light @ np.array([
      (0.6274, 0.0691, 0.0164), (0.3293, 0.9195, 0.0880),
      (0.0433, 0.0114, 0.8956)])
  luminance = light @ (0.2627, 0.6780, 0.0593)
  scene = light * luminance[..., None]**(1 / 1.2 - 1)
  a, b, c = 0.17883277, 0.28466892, 0.55991073
  signal = np.where(
      scene <= 1 / 12, np.sqrt(3 * scene),
      a * np.log(np.maximum(12 * scene - b, 1e-9)) + c)
  return np.rint(65535 * signal).astype(np.uint16)


def test_high_dynamic_range_is_mapped(tmp_path):
  assert quarters.show(video.read_all(CASES / "pq.mp4")[0], within=5)
  hlg = quarters.encode(
      tmp_path / "hlg.mkv", [in_hlg(quarters.draw())], "ffv1", "yuv444p10le",
      tags={"colorspace": 9, "color_primaries": 9, "color_trc": 18},
      how={"dst_colorspace": 9, "dst_color_range": 1})
  assert quarters.show(video.read_all(hlg)[0], within=5)


def test_transparent_entries_of_a_videos_palette(tmp_path):
  palette = Image.fromarray(quarters.draw()).quantize(4)
  entries = [palette.getpixel((x, 90)) for x in (5, 120)]
  alpha = bytes(0 if i in entries else 255 for i in range(4))
  content = io.BytesIO()
  palette.save(content, "PNG", transparency=alpha)
  with av.open(str(tmp_path / "a.mov"), "w") as container:
    stream = container.add_stream("png", 8)
    stream.width, stream.height, stream.pix_fmt = 128, 96, "pal8"
    packet = av.Packet(content.getvalue())
    packet.stream, packet.pts, packet.dts = stream, 0, 0
    packet.time_base = Fraction(1, 8)
    container.mux(packet)
  frame = video.read_all(tmp_path / "a.mov")[0]
  assert quarters.show(frame, (quarters.R, quarters.G, WHITE, WHITE))


def test_pixels_that_are_not_square():
  """sar.mp4 has 128x96 pixels, twice as wide as high."""
  file = CASES / "sar.mp4"
  assert video.read_all(file).shape[1:3] == (96, 256)
  assert quarters.letters(read(file).frames[0]) == "rgby"
  whole = read(file, width=256, height=96, fit="pad").frames[0]
  assert quarters.letters(whole) == "rgby" and whole[0].any()
  padded = read(file, width=128, height=128, fit="pad").frames[0]
  assert not padded[:39].any() and padded[41:87].any(-1).all()
  cropped = read(file, width=48, height=96, fit="crop").frames[0]
  assert quarters.letters(cropped) == "rgby"
  # The middle fifth of the frame: only its own edge is not flat.
  assert np.abs(cropped[:, :20].astype(int) - cropped[:, :1]).max() <= 3


def test_the_stream_is_the_one_that_players_show():
  assert quarters.show(video.read_all(CASES / "cover_first.mkv")[0])
  blue = read(CASES / "two.mkv").frames[0]  # The second of two, the default.
  assert np.abs(blue - np.array((0, 0, 254))).max() <= 2
  with pytest.raises(InputError, match=r"song\.mp3: it has no video stream"):
    read(CASES / "song.mp3")


@pytest.mark.parametrize(
    "name", ["screen-12:30.mp4", "100%03d.mp4", "é\n .mp4"])
def test_a_name_is_a_name(tmp_path, name):
  shutil.copy(CASES / "rot90.mp4", tmp_path / name)
  assert read(tmp_path / name).fps == 30


def combs(frame):
  """How much a line differs from the next, in grey levels."""
  return np.abs(np.diff(frame.astype(int), axis=0)).mean()


def test_fields_become_whole_frames(tmp_path):
  """A bar moves by four pixels from field to field."""
  frames = np.zeros((8, 96, 128, 3), np.uint8)
  for i, frame in enumerate(frames):
    for field in range(2):
      left = 8 * i + 4 * field
      frame[field::2, left:left + 30] = 255
  file = quarters.encode(
      tmp_path / "a.mkv", frames, "libx264", "yuv420p",
      options={"qp": "1", "x264-params": "tff=1"})
  shown = video.read_all(file)
  assert len(shown) == 8 and combs(frames[4]) > 15
  assert max(map(combs, shown[1:-1])) < 3


def declares(content, size, at):
  return content[:at] + size + content[at + len(size):]


def test_what_cannot_be_read_is_named(tmp_path):
  webp = (CASES / "a.webp").read_bytes()
  gif = tmp_path / "small.gif"
  video.write_gif(gif, video.Clip(quarters.draw()[None], 8.0))
  png = tmp_path / "small.png"
  Image.fromarray(quarters.draw()).save(png)
  contents = {
      "empty.mp4": b"", "notes.txt": b"no video\n" * 9, "bad.nfo": b"art",
      "list.m3u8": b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1/a.ts\n",
      "huge.webp": declares(webp, b"\xff\x3f\0" * 2, webp.find(b"VP8X") + 12),
      "huge.gif": declares(gif.read_bytes(), b"\xff" * 4, 6),
      "huge.png": declares(png.read_bytes(), b"\0\0\xee\xee" * 2, 16),
      "a.heic": (CASES / "rot90.mp4").read_bytes().replace(b"isom", b"heic"),
      "cut.mp4": (CASES / "rot90.mp4").read_bytes()[:3000]}
  for name, content in contents.items():
    (tmp_path / name).write_bytes(content)
  os.mkfifo(tmp_path / "pipe.mp4")
  for path in [*map(tmp_path.joinpath, contents), tmp_path / "pipe.mp4",
               pathlib.Path("/dev/zero"), tmp_path / ("x" * 300),
               tmp_path / "nul\0.mp4"]:
    with pytest.raises(InputError) as error:
      read(path)
    text = str(error.value)
    assert text.startswith(f"path={path}: ") and "\n" not in text
  assert "no such file" in text
  with pytest.raises(InputError, match="pipe or a device"):
    read("/dev/zero")
  with pytest.raises(InputError, match=r"fps=12\.0: .*times of its own"):
    read(CASES / "vfr.mkv", fps=12.0)
  with pytest.raises(InputError, match=r"has 65 frames, but frames 0 to 65"):
    read(CASES / "vfr.mkv", frames=66)


def test_a_video_of_absurd_size_is_refused_before_it_is_decoded(tmp_path):
  blank = np.zeros((16, 16, 3), np.uint8)
  file = quarters.encode(tmp_path / "a.mov", [blank], "qtrle", "rgb24")
  content = file.read_bytes()
  size = content.find(b"rle ", content.find(b"stsd")) + 28
  file.write_bytes(declares(content, struct.pack(">hh", 16000, 16000), size))
  with pytest.raises(InputError, match="16000x16000 pixels; expected 35,651"):
    read(file)
