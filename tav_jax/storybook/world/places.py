"""The places. Each is one function `(view)` that fills the canvas.

Things scroll with the scene's `pan`, near ones faster than far ones, and come
back on the other side. `view.layout`, 0 to 1, moves them about.
"""

from collections.abc import Iterator
import dataclasses
import math

import numpy as np
from PIL import Image, ImageDraw

from tav_jax.storybook.world.pen import Colour, INK, mix, Pen, WHITE
from tav_jax.storybook.world.scene import Scene

_FAR, _MIDDLE, _NEAR = 0.35, 0.56, 1.0
_ROUND = 1.4  # Widths after which what has scrolled away comes back.
_LAYOUTS = 4


@dataclasses.dataclass(frozen=True)
class View:
  """A canvas and what is to be seen of a place.

  Attributes:
    canvas: The whole picture, which the place fills.
    pen: Draws on it, in units of its width.
    layout: Where things stand, 0 to 1.
    pan: How far the place has scrolled, in widths.
    phase: The scene's, for things that move by themselves.
  """

  canvas: Image.Image
  pen: Pen
  layout: float
  pan: float
  phase: float

  def x(self, place: float, speed: float) -> float:
    """Where something is that stands at `place`, in widths."""
    return (place - speed * self.pan + 0.2) % _ROUND - 0.2

  def row(self, count: int, speed: float) -> Iterator[tuple[int, float]]:
    """Numbers and positions of things at even distances."""
    for i in range(count):
      yield i, self.x(_ROUND * (i + self.layout) / count, speed)

  def sky(self, top: Colour, bottom: Colour, horizon: float) -> None:
    """A gradient down to the horizon, and the lower colour below."""
    height = self.canvas.size[1]
    t = np.clip(np.arange(height) / (horizon * height), 0, 1)[:, None]
    column = np.array(top) * (1 - t) + np.array(bottom) * t
    strip = Image.fromarray(column.astype(np.uint8)[:, None])
    self.canvas.paste(strip.resize(self.canvas.size, Image.NEAREST))

  def hills(self, y, height, waves, speed, colour: Colour) -> None:
    """A wavy ground from `y` down."""
    x = np.linspace(0, 1, 33)
    top = y + height * np.sin(
        2 * math.pi * (waves * (x + speed * self.pan) + self.layout))
    self.pen.polygon(
        np.concatenate([np.stack([x, top], 1), [(1, 1.01), (0, 1.01)]]),
        colour)


def snow(v: View) -> None:
  """A mountain, firs and white slopes."""
  v.sky((126, 186, 240), (208, 232, 252), 0.6)
  x = v.x(0.2 + v.layout, _FAR)
  v.pen.polygon([(x - 0.4, 0.64), (x, 0.2), (x + 0.4, 0.64)], (150, 172, 204))
  v.pen.polygon(
      [(x - 0.13, 0.343), (x, 0.2), (x + 0.13, 0.343), (x + 0.04, 0.31),
       (x - 0.03, 0.36)], WHITE)
  v.hills(0.55, 0.03, 1, _FAR, (224, 236, 250))
  for _, x in v.row(3, _MIDDLE):
    for k in range(3):
      y, width = 0.62 - 0.1 * k, 0.115 - 0.025 * k
      v.pen.polygon(
          [(x - width, y), (x, y - 0.17), (x + width, y)], (38, 110, 88))
  v.hills(0.72, 0.02, 1, _NEAR, (250, 252, 255))


def beach(v: View) -> None:
  """The sea, a palm and sand."""
  v.sky((84, 186, 246), (190, 232, 252), 0.45)
  v.pen.oval(v.x(0.75 + v.layout, _FAR), 0.14, 0.085, 0.085, (255, 224, 80))
  v.pen.polygon([(0, 0.42), (1, 0.42), (1, 0.72), (0, 0.72)], (24, 128, 204))
  for i, x in v.row(4, _FAR):
    y = 0.47 + 0.045 * (i % 3)
    v.pen.line([(x - 0.07, y), (x + 0.07, y)], (130, 210, 242), 0.015)
  v.hills(0.63, 0.012, 2, _NEAR, (238, 250, 255))
  v.hills(0.66, 0.012, 2, _NEAR, (246, 216, 148))
  x = v.x(0.1 + v.layout, _MIDDLE)
  v.pen.line([(x, 0.72), (x + 0.02, 0.5), (x + 0.06, 0.3)], (150, 98, 56), 0.04)
  for turn in (-2.9, -2.3, -0.9, -0.2, 0.35, 2.8):
    v.pen.at(x + 0.06, 0.29, turn=turn).polygon(
        [(0, 0), (0.1, -0.05), (0.22, 0.03), (0.1, 0.015)], (32, 142, 64))


def grass(v: View) -> None:
  """Clouds, a tree, meadows with flowers."""
  v.sky((120, 198, 250), (214, 240, 252), 0.6)
  for i, x in v.row(2, _FAR):
    y = 0.13 + 0.09 * i
    for dx, r in ((-0.07, 0.04), (0, 0.06), (0.08, 0.042)):
      v.pen.oval(x + dx, y, 1.2 * r, 0.8 * r, WHITE)
  v.hills(0.54, 0.05, 1, _FAR, (140, 206, 100))
  x = v.x(0.1 + v.layout, _MIDDLE)
  v.pen.polygon(
      [(x - 0.028, 0.68), (x - 0.02, 0.42), (x + 0.02, 0.42),
       (x + 0.028, 0.68)], (124, 80, 48))
  for dx, y, r in ((-0.07, 0.41, 0.09), (0.07, 0.41, 0.09), (0, 0.33, 0.11)):
    v.pen.oval(x + dx, y, r, 0.9 * r, (44, 140, 62))
  v.hills(0.66, 0.02, 1, _NEAR, (94, 184, 70))
  for i, x in v.row(5, _NEAR):
    colour = ((255, 110, 150), (255, 255, 255))[i % 2]
    y = 0.76 + 0.05 * (2 * i % 5)
    v.pen.oval(x, y, 0.024, 0.024, colour)
    v.pen.oval(x, y, 0.01, 0.01, (250, 180, 40))


def city(v: View) -> None:
  """Two rows of houses and a road."""
  v.sky((150, 178, 212), (222, 226, 234), 0.6)
  for i, x in v.row(6, _FAR):
    top = 0.26 + 0.09 * (i * 2 % 3)
    v.pen.polygon(
        [(x, 0.7), (x, top), (x + 0.2, top), (x + 0.2, 0.7)], (150, 158, 182))
  walls = ((172, 104, 92), (92, 108, 142), (138, 130, 130))
  for i, x in v.row(5, _MIDDLE):
    top, wall = 0.36 + 0.08 * (i * 2 % 3), walls[i % 3]
    v.pen.polygon([(x, 0.7), (x, top), (x + 0.22, top), (x + 0.22, 0.7)], wall)
    for a in (x + 0.03, x + 0.09, x + 0.15):
      for b in np.arange(top + 0.05, 0.62, 0.1):
        v.pen.polygon(
            [(a, b), (a + 0.04, b), (a + 0.04, b + 0.05), (a, b + 0.05)],
            mix(wall, (255, 236, 150), 0.75))
  for y, colour in ((0.66, (186, 184, 184)), (0.73, (88, 90, 100))):
    v.pen.polygon([(0, y), (1, y), (1, 1.01), (0, 1.01)], colour)
  for _, x in v.row(4, _NEAR):
    v.pen.polygon(
        [(x, 0.93), (x + 0.16, 0.93), (x + 0.15, 0.96), (x - 0.01, 0.96)],
        (240, 240, 240))


def moon(v: View) -> None:
  """Stars, the Earth, grey ground with craters."""
  v.sky((10, 10, 34), (30, 28, 70), 0.7)
  for i, x in v.row(7, 0.3 * _FAR):
    r = 0.012 + 0.005 * (i % 2)
    v.pen.oval(x, 0.06 + 0.5 * (i * 3 % 7) / 7, r, r, (255, 255, 236))
  x = v.x(0.2 + v.layout, _FAR)
  v.pen.oval(x, 0.18, 0.12, 0.12, (62, 132, 226))
  v.pen.oval(x - 0.03, 0.15, 0.055, 0.04, (88, 190, 104), turn=0.5)
  v.pen.oval(x + 0.05, 0.23, 0.04, 0.028, (88, 190, 104))
  v.hills(0.62, 0.03, 1, _FAR, (128, 128, 142))
  v.hills(0.69, 0.02, 1, _NEAR, (186, 186, 196))
  for i, x in v.row(4, _NEAR):
    y = 0.8 + 0.07 * (2 * i % 3)
    v.pen.oval(x, y, 0.08, 0.032, (142, 142, 156))
    v.pen.oval(x, y + 0.008, 0.062, 0.022, (160, 160, 172))


def sea(v: View) -> None:
  """Light from above, weeds, fish and bubbles."""
  v.sky((40, 170, 214), (8, 62, 138), 0.9)
  for _, x in v.row(3, 0.3 * _FAR):
    v.pen.polygon(
        [(x, 0), (x + 0.1, 0), (x - 0.02, 0.78), (x - 0.22, 0.78)],
        (46, 156, 206))
  v.hills(0.76, 0.03, 1, _FAR, (22, 92, 140))
  v.hills(0.83, 0.02, 1, _NEAR, (214, 196, 140))
  t = np.linspace(0, 1, 8)
  for i, x in v.row(3, _MIDDLE):
    sway = 0.03 * np.sin(6 * t + 2 * i + 2 * math.pi * v.phase)
    height = 0.3 + 0.08 * i
    v.pen.line(
        np.stack([x + sway, 0.9 - height * t], 1), (30, 150, 96), 0.042)
  for i, x in v.row(2, 0.8 * _FAR):
    y, colour = 0.16 + 0.2 * i, ((255, 150, 50), (240, 110, 140))[i]
    v.pen.polygon(
        [(x - 0.05, y), (x - 0.11, y - 0.045), (x - 0.11, y + 0.045)], colour)
    v.pen.oval(x, y, 0.068, 0.042, colour)
    v.pen.oval(x + 0.035, y - 0.008, 0.012, 0.012, INK)
  for i, x in v.row(4, _FAR):
    y = (0.9 - 0.25 * i - 0.25 * v.phase) % 1
    v.pen.oval(x, y, 0.018, 0.018, (190, 236, 250))


TABLE = {
    "on the snow": snow,
    "on the beach": beach,
    "on the grass": grass,
    "in the city": city,
    "on the moon": moon,
    "under the sea": sea,
}


def draw(canvas: Image.Image, scene: Scene) -> None:
  """Fills the canvas with the scene's place."""
  TABLE[scene.place](View(
      canvas=canvas,
      pen=Pen.whole(ImageDraw.Draw(canvas), canvas.size[0]),
      layout=scene.seed % _LAYOUTS / _LAYOUTS,
      pan=scene.pan,
      phase=scene.phase))
