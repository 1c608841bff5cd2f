"""A picture of four coloured quarters, which shows how it was turned."""

import av
import numpy as np

R, G, B, Y = (200, 30, 30), (30, 200, 30), (30, 30, 200), (200, 200, 30)
COLOURS = (R, G, B, Y)


def draw(height=96, width=128):
  """Red and green above, blue and yellow below; uint8 `h w c`."""
  rows = np.arange(height) * 2 // height
  columns = np.arange(width) * 2 // width
  return np.array(COLOURS, np.uint8)[2 * rows[:, None] + columns]


def middles(frame):
  """The colours of the middles of the quarters, row by row."""
  frame = np.asarray(frame)
  height, width = frame.shape[:2]
  return frame[
      [height // 4, height // 4, 3 * height // 4, 3 * height // 4],
      [width // 4, 3 * width // 4] * 2].astype(int)


def show(frame, colours=COLOURS, within=3):
  """Whether the quarters of a frame have these colours."""
  return np.abs(middles(frame) - np.array(colours)).max() <= within


def letters(frame):
  """The quarters' colours as letters: "rgby" for what `draw` draws."""
  named = dict(zip(COLOURS, "rgby", strict=True))
  return "".join(
      named[min(COLOURS, key=lambda c: np.abs(c - colour).sum())]
      for colour in middles(frame))


def encode(path, frames, codec, layout, rate=8, options=(), tags=(), how=()):
  """Writes frames by a codec, `tags` being attributes of its context."""
  with av.open(str(path), "w") as container:
    stream = container.add_stream(codec, rate, options=dict(options))
    stream.height, stream.width = frames[0].shape[:2]
    stream.pix_fmt = layout
    for name, value in dict(tags).items():
      setattr(stream.codec_context, name, value)
    for array in frames:
      given = {(3, 1): "rgb24", (4, 1): "rgba", (3, 2): "rgb48le"}[
          array.shape[2], array.itemsize]
      frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(array), given)
      container.mux(stream.encode(frame.reformat(format=layout, **dict(how))))
    container.mux(stream.encode())
  return path
