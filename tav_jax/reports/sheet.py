"""Contact sheets: several videos side by side, each with its label."""

from collections.abc import Sequence
import textwrap

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_GAP, _LINE, _FONT = 8, 18, 14
_INK, _PAPER = (32, 32, 32), (255, 255, 255)

Labelled = tuple[str, np.ndarray]
"""A label and the frames `f h w c` (uint8) that it names."""


def still(videos: Sequence[Labelled], columns: int = 8) -> Image.Image:
  """One row a video, its frames at even distances, the label above."""
  cells = []
  for label, frames in videos:
    picks = np.linspace(0, len(frames) - 1, min(columns, len(frames)))
    cells.append((label, [frames[int(i)] for i in np.round(picks)]))
  zoom = _zoom(videos, 96)
  height, width = (zoom * n for n in videos[0][1].shape[1:3])
  across = max(len(frames) for _, frames in cells)
  sheet = Image.new("RGB", (
      _GAP + across * (width + _GAP),
      _GAP + len(cells) * (_LINE + height + _GAP)), _PAPER)
  draw = ImageDraw.Draw(sheet)
  for row, (label, shown) in enumerate(cells):
    top = _GAP + row * (_LINE + height + _GAP)
    draw.text((_GAP, top), label, _INK, ImageFont.load_default(_FONT))
    for column, frame in enumerate(shown):
      sheet.paste(
          _enlarge(frame, zoom),
          (_GAP + column * (width + _GAP), top + _LINE))
  return sheet


def moving(videos: Sequence[Labelled], across: int = 4) -> np.ndarray:
  """All videos playing together in a grid; frames `f h w c` of even size."""
  zoom = _zoom(videos, 192)
  height, width = (zoom * n for n in videos[0][1].shape[1:3])
  across = min(across, len(videos))
  labels = [
      textwrap.wrap(label, max(8, width // 8)) for label, _ in videos]
  below = _LINE * max(map(len, labels)) + _GAP
  size = (
      _even(_GAP + across * (width + _GAP)),
      _even(_GAP + -(-len(videos) // across) * (height + below)))
  frames = []
  for i in range(max(len(video) for _, video in videos)):
    grid = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(grid)
    for cell, (_, video) in enumerate(videos):
      left = _GAP + cell % across * (width + _GAP)
      top = _GAP + cell // across * (height + below)
      grid.paste(_enlarge(video[min(i, len(video) - 1)], zoom), (left, top))
      draw.multiline_text(
          (left, top + height + 2), "\n".join(labels[cell]), _INK,
          ImageFont.load_default(_FONT), spacing=2)
    frames.append(np.asarray(grid))
  return np.stack(frames)


def grid(
    labels: Sequence[str], pictures: np.ndarray, across: int = 8
) -> Image.Image:
  """Pictures (uint8 `b h w c`) in rows, each with its label below."""
  cells = [
      (label, picture[None])
      for label, picture in zip(labels, pictures, strict=True)]
  return Image.fromarray(moving(cells, across)[0])


def _zoom(videos: Sequence[Labelled], least: int) -> int:
  """Enlargement that makes the shorter side at least that many pixels."""
  return max(1, -(-least // min(videos[0][1].shape[1:3])))


def _enlarge(frame: np.ndarray, zoom: int) -> Image.Image:
  return Image.fromarray(frame.repeat(zoom, axis=0).repeat(zoom, axis=1))


def _even(n: int) -> int:
  return n + n % 2
