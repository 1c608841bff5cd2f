"""Decoded frames to what a player shows, through swscale (PyAV).

Frames are tagged with the matrix and the range of their colours. What is not
tagged is guessed as players guess: BT.601 below 720 lines and BT.709 from there
on, limited range. High dynamic range is mapped to sRGB, wider primaries to
BT.709's, both by swscale; what is transparent lies on white.
"""

import struct

import av
from av.video.reformatter import (
  ColorPrimaries,
  ColorRange,
  Colorspace,
  ColorTrc,
  Interpolation,
  VideoReformatter,
)
from PIL import Image

from tav_jax.data.seen import on_white
from tav_jax.errors import InputError

HD_LINES = 720

# By the numbers of ITU-T H.273, as frames are tagged.
_MATRICES = {
    1: Colorspace.ITU709, 4: Colorspace.FCC, 5: Colorspace.ITU601,
    6: Colorspace.ITU601, 7: Colorspace.SMPTE240M, 9: Colorspace.BT2020,
    10: Colorspace.BT2020}
_EXACT = (
    Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
    | Interpolation.BICUBIC)
_UNKNOWN = (0, 2, 3)
_HDR = (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67)
_WIDE = (
    ColorPrimaries.BT2020, ColorPrimaries.SMPTE431, ColorPrimaries.SMPTE432)


class Colours:
  """Converts the frames of one video."""

  def __init__(self):
    self._deep, self._flat = VideoReformatter(), VideoReformatter()

  def __call__(self, frame: av.VideoFrame) -> Image.Image:
    """A frame as a player shows it, upright, RGB.

    Raises:
      InputError: If its colours are of a kind that swscale cannot convert.
    """
    alpha = frame.format.name == "pal8" or any(
        part.is_alpha for part in frame.format.components)
    kept = {} if _is_rgb(frame.format) else {
        "src_colorspace": _matrix(frame), "src_color_range": _range(frame)}
    # What is deeper than eight bits has every pixel's own colour worked out.
    deep = max(part.bits for part in frame.format.components) > 8
    how = _EXACT if deep else None
    mapped = _mapping(frame)
    if mapped:
      frame = self._deep.reformat(
          frame, format="rgba64le" if alpha else "rgb48le",
          interpolation=how, **kept, **mapped)
      kept = {}
    array = self._flat.reformat(
        frame, format="rgba" if alpha else "rgb24", interpolation=how,
        **kept).to_ndarray()
    image = Image.fromarray(array[..., :3])
    if alpha:
      image = on_white(image, Image.fromarray(array[..., 3]))
    return image


def _is_rgb(layout: av.VideoFormat) -> bool:
  return layout.is_rgb or layout.name in ("pal8", "monow", "monob")


def _matrix(frame: av.VideoFrame) -> Colorspace:
  tagged = int(frame.colorspace)
  if tagged in _UNKNOWN:
    if frame.color_primaries == ColorPrimaries.BT2020:
      return Colorspace.BT2020
    return matrix(frame.height)
  if tagged not in _MATRICES:
    raise InputError(
        f"its colours have a matrix (number {tagged} of ITU-T H.273) that is "
        "not read; expected YCbCr or RGB, as ffmpeg -vf format=yuv420p writes")
  return _MATRICES[tagged]


def matrix(lines: int) -> Colorspace:
  """The matrix by which players read what is not tagged."""
  return Colorspace.ITU709 if lines >= HD_LINES else Colorspace.ITU601


def _range(frame: av.VideoFrame) -> ColorRange:
  name = frame.format.name
  if frame.color_range:
    return ColorRange(frame.color_range)
  full = name.startswith(("yuvj", "gray", "ya"))
  return ColorRange.JPEG if full else ColorRange.MPEG


def _mapping(frame: av.VideoFrame) -> dict:
  """To what brightness and primaries are mapped; empty if they stay."""
  if frame.color_trc in _HDR:
    if frame.color_primaries in _UNKNOWN:
      frame.color_primaries = ColorPrimaries.BT2020
    curve = ColorTrc.IEC61966_2_1
  elif frame.color_primaries in _WIDE:
    if frame.color_trc in _UNKNOWN:
      frame.color_trc = ColorTrc.BT709
    curve = ColorTrc(frame.color_trc)
  else:
    return {}
  return {"dst_color_trc": curve, "dst_color_primaries": ColorPrimaries.BT709}


QUARTER_TURNS = frozenset((
    Image.Transpose.TRANSPOSE, Image.Transpose.ROTATE_90,
    Image.Transpose.ROTATE_270, Image.Transpose.TRANSVERSE))
"""Those that make width of height."""


def turn(image: Image.Image, display: bytes | None) -> Image.Image:
  """Turns and mirrors a frame as its display matrix says.

  Args:
    image: The frame as it was stored.
    display: Nine integers of 32 bits: a point x, y of the frame is shown at
      a x + c y, b x + d y; of a turn by other than quarters the nearest counts.
  """
  moved = turns(display)
  return image if moved is None else image.transpose(moved)


def turns(display: bytes | None) -> Image.Transpose | None:
  """What `turn` does; None for nothing."""
  if display is None or len(display) < 36:
    return None
  a, b, _, c, d = struct.unpack("=5i", display[:20])
  if abs(a) + abs(d) >= abs(b) + abs(c):
    return {
        (False, False): None,
        (True, False): Image.Transpose.FLIP_LEFT_RIGHT,
        (False, True): Image.Transpose.FLIP_TOP_BOTTOM,
        (True, True): Image.Transpose.ROTATE_180}[a < 0, d < 0]
  return {
      (False, False): Image.Transpose.TRANSPOSE,
      (False, True): Image.Transpose.ROTATE_270,
      (True, False): Image.Transpose.ROTATE_90,
      (True, True): Image.Transpose.TRANSVERSE}[b < 0, c < 0]

