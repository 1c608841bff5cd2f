"""Frames to files: mp4, GIF, lossless video and pictures.

The same frames give the same bytes. An mp4 says by which matrix, range,
primaries and curve its colours are to be read, and the matrix is the one that
players guess at that size; so all of them show the same colours.
"""

from fractions import Fraction
import os
import pathlib

import av
from av.video.reformatter import (
  ColorPrimaries,
  ColorRange,
  Colorspace,
  ColorTrc,
  Interpolation,
)
import numpy as np
from PIL import Image

from tav_jax.data import colours
from tav_jax.data.frames import Clip

# x264's tree of macroblocks is read before it is written on some processors,
# so that equal frames gave different files; see tests/writing_test.py.
_SAME_BYTES = {"threads": "1", "x264-params": "mbtree=0"}
# Of H.273.
_TAGS = {Colorspace.ITU709: 1, Colorspace.ITU601: 6}
_EXACT = (
    Interpolation.ACCURATE_RND | Interpolation.BITEXACT
    | Interpolation.BILINEAR)
_LONGEST_GIF = 655_350  # Milliseconds of a frame that a GIF can say.
_FASTEST_GIF = 50  # Frames a second; browsers show faster ones at 10.


def write_mp4(
    path: str | os.PathLike, clip: Clip, layout: str = "yuv420p", crf: int = 15
) -> None:
  """Writes H.264, which every browser plays.

  Args:
    path: The .mp4 file.
    clip: What to write. With 4:2:0 colours its last row and column are
      repeated where height and width are odd.
    layout: "yuv420p", or "yuv444p" for programs: full colour resolution.
    crf: x264's quality; lower is better.
  """
  frames = clip.frames
  if layout == "yuv420p":
    odd = [(0, n % 2) for n in frames.shape[1:3]]
    frames = np.pad(frames, ((0, 0), *odd, (0, 0)), "edge")
  matrix = colours.matrix(frames.shape[1])
  with av.open(f"file:{path}", "w", "mp4", {
      "movflags": "+faststart", "fflags": "+bitexact"}) as container:
    stream = container.add_stream(
        "libx264", _fraction(clip.fps),
        options={"crf": str(crf)} | _SAME_BYTES)
    stream.height, stream.width = frames.shape[1:3]
    stream.pix_fmt = layout
    context = stream.codec_context
    context.colorspace = _TAGS[matrix]
    context.color_range = ColorRange.MPEG
    context.color_primaries = ColorPrimaries.BT709
    context.color_trc = ColorTrc.BT709
    for array in frames:
      container.mux(stream.encode(_frame(array).reformat(
          format=layout, dst_colorspace=matrix, dst_color_range=ColorRange.MPEG,
          interpolation=_EXACT)))
    container.mux(stream.encode())


def write_lossless(path: str | os.PathLike, clip: Clip) -> None:
  """Writes FFV1 into a .mkv, from which every pixel is read back exactly."""
  with av.open(
      f"file:{path}", "w", "matroska", {
          "fflags": "+bitexact"}) as container:
    stream = container.add_stream(
        "ffv1", _fraction(clip.fps), options={"threads": "1"})
    stream.height, stream.width = clip.frames.shape[1:3]
    stream.pix_fmt = "bgr0"
    for array in clip.frames:
      container.mux(stream.encode(_frame(array).reformat(format="bgr0")))
    container.mux(stream.encode())


def _fraction(fps: float) -> Fraction:
  """29.97 as 30000/1001."""
  return Fraction(fps).limit_denominator(1001) or 1 / Fraction(round(1 / fps))


def _frame(array: np.ndarray) -> av.VideoFrame:
  return av.VideoFrame.from_ndarray(np.ascontiguousarray(array), "rgb24")


def write_gif(path, clip: Clip) -> None:
  """Writes a GIF that repeats without end; `path` may be an open file.

  Of a clip of more than 50 frames a second it has every second one, or fewer.
  """
  step = max(1, int(np.ceil(clip.fps / _FASTEST_GIF)))
  first, *others = [
      Image.fromarray(f).quantize(dither=Image.Dither.NONE)
      for f in clip.frames[::step]]
  # GIF counts hundredths of a second; rounding the times of the frames, not
  # their durations, keeps the speed.
  times = [
      round(100 * i * step / clip.fps) * 10 for i in range(len(others) + 2)]
  first.save(
      path, format="GIF", save_all=True, append_images=others, loop=0,
      duration=np.diff(times).clip(0, _LONGEST_GIF).tolist())


def write_frames(directory: str | os.PathLike, clip: Clip) -> None:
  """Writes one PNG a frame, `00000.png` and so on."""
  directory = pathlib.Path(directory)
  directory.mkdir(parents=True, exist_ok=True)
  for i, frame in enumerate(clip.frames):
    Image.fromarray(frame).save(directory / f"{i:05}.png")
