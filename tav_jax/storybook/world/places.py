"""The places. Each is one function `(view)` that fills the canvas.

Things scroll with the scene's `pan`, near things faster than far ones, and come
back on the other side. `view.layout`, 0 to 1, shifts them. The repeated things
of a place (trees, houses, corals) have one kind and one tint.
"""

from collections.abc import Iterator
import dataclasses
import math

import numpy as np
from PIL import Image

from tav_jax.storybook.world import light
from tav_jax.storybook.world.look import Look
from tav_jax.storybook.world.pen import Colour, hue, INK, mix, Pen, WHITE
from tav_jax.storybook.world.scene import Scene

_FAR, _MIDDLE, _NEAR = 0.35, 0.56, 1.0
_ROUND = 1.4  # Widths after which a thing that has scrolled away comes back.
_LAYOUTS = 4
_SCROLL = 3  # Widths that the ground reaches beyond the picture on each side.


@dataclasses.dataclass(frozen=True)
class View:
  """A canvas, and how a place looks on it.

  Attributes:
    canvas: The whole picture, which the place fills.
    pen: Draws on it in the light of the time of day, in units of its width.
    glow: Draws things that shine by themselves.
    look: The clip's free appearance.
    layout: Where things stand, 0 to 1.
    pan: How far the place has scrolled, in widths.
    phase: The scene's phase, for things that move by themselves.
    zoom: How large everything is drawn.
  """

  canvas: Image.Image
  pen: Pen
  glow: Pen
  look: Look
  layout: float
  pan: float
  phase: float
  zoom: float

  def x(self, place: float, speed: float) -> float:
    """Where a thing is that stood at `place` before scrolling, in widths."""
    return (place - speed * self.pan + 0.2) % _ROUND - 0.2

  def row(self, count: int, speed: float) -> Iterator[tuple[int, float]]:
    """Numbers and positions of things at even distances."""
    for i in range(count):
      yield i, self.x(_ROUND * (i + self.layout) / count, speed)

  def tint(self, usual: Colour, saturation=0.6, value=0.75) -> Colour:
    """The colour of the place's repeated things."""
    if self.look.tint is None:
      return usual
    return hue(self.look.tint, saturation, value)

  def things(self, usual: float, count: int) -> list[float]:
    """Where the repeated things stand: usually one, else several alike."""
    if self.look.tint is None:
      return [self.x(usual + self.layout, _MIDDLE)]
    return [x for _, x in self.row(count, _MIDDLE)]

  def sky(self, top: Colour, bottom: Colour, horizon: float) -> None:
    """A gradient down to the horizon, and the lower colour below."""
    top, bottom = light.sky(self.look.time, top, bottom)
    height = self.canvas.size[1]
    above = 0.5 + (np.arange(height) / height - 0.5) / self.zoom
    t = np.clip(above / horizon, 0, 1)[:, None]
    column = np.array(top) * (1 - t) + np.array(bottom) * t
    strip = Image.fromarray(column.astype(np.uint8)[:, None])
    self.canvas.paste(strip.resize(self.canvas.size, Image.Resampling.NEAREST))

  def heaven(self, usual: float | None = None) -> None:
    """Stars by night, the sun or the moon, and clouds.

    Args:
      usual: Where the sun is if the look does not say; None for nowhere.
    """
    if self.look.time == "night":
      for i, x in self.row(7, 0.0):
        self.glow.oval(
            x, 0.04 + 0.36 * (i * 3 % 7) / 7, 0.01, 0.01, (255, 255, 236))
    sun = self.look.sun
    if sun is not None:
      {"day": _sun, "evening": _evening_sun, "night": _moon}[self.look.time](
          self.glow, sun)
      for i, x in self.row(2, 0.5 * _FAR):
        _cloud(self.pen, x, 0.12 + 0.13 * i)
    elif usual is not None:
      self.glow.oval(
          self.x(usual + self.layout, _FAR), 0.14, 0.085, 0.085,
          (255, 224, 80))

  def hills(self, y, height, waves, speed, colour: Colour) -> None:
    """A wavy ground from `y` down, the same however far it has scrolled."""
    x = np.linspace(-_SCROLL, 1 + _SCROLL, 32 * (1 + 2 * _SCROLL) + 1)
    top = y + height * np.sin(2 * math.pi * (waves * x + self.layout))
    self.pen.at(-speed * self.pan, 0).polygon(
        np.concatenate([
            np.stack([x, top], 1), [(1 + _SCROLL, 1.01), (-_SCROLL, 1.01)]]),
        colour)


def _sun(p: Pen, x: float) -> None:
  p.oval(x, 0.15, 0.085, 0.085, (255, 224, 80))


def _evening_sun(p: Pen, x: float) -> None:
  p.oval(x, 0.3, 0.105, 0.105, (255, 118, 70))


def _moon(p: Pen, x: float) -> None:
  p.oval(x, 0.16, 0.075, 0.075, (250, 248, 222))
  p.oval(x + 0.035, 0.145, 0.06, 0.062, (30, 36, 80))


def _cloud(p: Pen, x: float, y: float) -> None:
  for dx, r in ((-0.07, 0.04), (0, 0.06), (0.08, 0.042)):
    p.oval(x + dx, y, 1.2 * r, 0.8 * r, WHITE)


def snow(v: View) -> None:
  """A mountain, firs and white slopes."""
  v.sky((126, 186, 240), (208, 232, 252), 0.6)
  v.heaven()
  x = v.x(0.2 + v.layout, _FAR)
  v.pen.polygon([(x - 0.4, 0.64), (x, 0.2), (x + 0.4, 0.64)], (150, 172, 204))
  v.pen.polygon(
      [(x - 0.13, 0.343), (x, 0.2), (x + 0.13, 0.343), (x + 0.04, 0.31),
       (x - 0.03, 0.36)], WHITE)
  v.hills(0.55, 0.03, 1, _FAR, (224, 236, 250))
  for _, x in v.row(3, _MIDDLE):
    {"first": _fir, "second": _snowman, "third": _hut}[v.look.kind](v, x)
  v.hills(0.72, 0.02, 1, _NEAR, (250, 252, 255))


def _fir(v: View, x: float) -> None:
  for k in range(3):
    y, width = 0.62 - 0.1 * k, 0.115 - 0.025 * k
    v.pen.polygon(
        [(x - width, y), (x, y - 0.17), (x + width, y)],
        v.tint((38, 110, 88), 0.65, 0.5))


def _snowman(v: View, x: float) -> None:
  colour = v.tint((230, 60, 60), 0.8, 0.8)
  for y, r in ((0.62, 0.085), (0.49, 0.06)):
    v.pen.oval(x, y, r, r, (246, 248, 255), 0.012)
  v.pen.line([(x - 0.05, 0.545), (x + 0.05, 0.545)], colour, 0.035)
  v.pen.polygon(
      [(x - 0.06, 0.45), (x - 0.045, 0.37), (x + 0.045, 0.37),
       (x + 0.06, 0.45)], colour)
  for dx in (-0.022, 0.022):
    v.pen.oval(x + dx, 0.485, 0.011, 0.011, INK)


def _hut(v: View, x: float) -> None:
  wall = v.tint((150, 98, 56), 0.55, 0.66)
  v.pen.polygon(
      [(x - 0.1, 0.7), (x - 0.1, 0.48), (x + 0.1, 0.48), (x + 0.1, 0.7)], wall)
  v.pen.polygon(
      [(x - 0.14, 0.49), (x, 0.34), (x + 0.14, 0.49)], (236, 242, 252), 0.012)
  v.glow.polygon(
      [(x - 0.035, 0.6), (x - 0.035, 0.52), (x + 0.035, 0.52),
       (x + 0.035, 0.6)], mix(wall, (255, 236, 150), 0.75))


def beach(v: View) -> None:
  """The sea, a palm and sand."""
  v.sky((84, 186, 246), (190, 232, 252), 0.45)
  v.heaven(0.75)
  v.pen.polygon([(0, 0.42), (1, 0.42), (1, 0.72), (0, 0.72)], (24, 128, 204))
  for i, x in v.row(4, _FAR):
    y = 0.47 + 0.045 * (i % 3)
    v.pen.line([(x - 0.07, y), (x + 0.07, y)], (130, 210, 242), 0.015)
  v.hills(0.63, 0.012, 2, _NEAR, (238, 250, 255))
  v.hills(0.66, 0.012, 2, _NEAR, (246, 216, 148))
  for x in v.things(0.1, 2):
    {"first": _palm, "second": _parasol, "third": _sail}[v.look.kind](v, x)


def _palm(v: View, x: float) -> None:
  v.pen.line([(x, 0.72), (x + 0.02, 0.5), (x + 0.06, 0.3)], (150, 98, 56), 0.04)
  for turn in (-2.9, -2.3, -0.9, -0.2, 0.35, 2.8):
    v.pen.at(x + 0.06, 0.29, turn=turn).polygon(
        [(0, 0), (0.1, -0.05), (0.22, 0.03), (0.1, 0.015)],
        v.tint((32, 142, 64), 0.7, 0.6))


def _parasol(v: View, x: float) -> None:
  v.pen.line([(x, 0.74), (x, 0.4)], (240, 232, 214), 0.022)
  turn = np.linspace(math.pi, 2 * math.pi, 7)
  rim = np.stack([x + 0.17 * np.cos(turn), 0.5 + 0.15 * np.sin(turn)], 1)
  colour = v.tint((230, 60, 60), 0.75, 0.86)
  for i in range(6):
    v.pen.polygon(
        [(x, 0.34), rim[i], rim[i + 1]], (colour, (250, 246, 236))[i % 2])


def _sail(v: View, x: float) -> None:
  v.pen.polygon(
      [(x - 0.13, 0.56), (x + 0.13, 0.56), (x + 0.08, 0.63), (x - 0.08, 0.63)],
      (142, 84, 56))
  v.pen.line([(x, 0.57), (x, 0.24)], (110, 70, 50), 0.016)
  v.pen.polygon(
      [(x + 0.012, 0.25), (x + 0.13, 0.52), (x + 0.012, 0.52)],
      v.tint((250, 240, 220), 0.7, 0.86))
  v.pen.polygon(
      [(x - 0.012, 0.3), (x - 0.1, 0.52), (x - 0.012, 0.52)], (250, 246, 236))


def grass(v: View) -> None:
  """Clouds, a tree, meadows with flowers."""
  v.sky((120, 198, 250), (214, 240, 252), 0.6)
  if v.look.sun is None:
    for i, x in v.row(2, _FAR):
      _cloud(v.pen, x, 0.13 + 0.09 * i)
  v.heaven()
  v.hills(0.54, 0.05, 1, _FAR, (140, 206, 100))
  for x in v.things(0.1, 2):
    {"first": _tree, "second": _poplar, "third": _orchard}[v.look.kind](v, x)
  v.hills(0.66, 0.02, 1, _NEAR, (94, 184, 70))
  for i, x in v.row(5, _NEAR):
    colour = (v.tint((255, 110, 150), 0.7, 1.0), (255, 255, 255))[i % 2]
    y = 0.76 + 0.05 * (2 * i % 5)
    v.pen.oval(x, y, 0.024, 0.024, colour)
    v.pen.oval(x, y, 0.01, 0.01, (250, 180, 40))


def _trunk(v: View, x: float, top: float) -> None:
  v.pen.polygon(
      [(x - 0.028, 0.68), (x - 0.02, top), (x + 0.02, top),
       (x + 0.028, 0.68)], (124, 80, 48))


def _tree(v: View, x: float) -> None:
  _trunk(v, x, 0.42)
  for dx, y, r in ((-0.07, 0.41, 0.09), (0.07, 0.41, 0.09), (0, 0.33, 0.11)):
    v.pen.oval(x + dx, y, r, 0.9 * r, v.tint((44, 140, 62), 0.65, 0.66))


def _poplar(v: View, x: float) -> None:
  _trunk(v, x, 0.5)
  v.pen.oval(x, 0.39, 0.065, 0.21, v.tint((70, 130, 60), 0.7, 0.58))


def _orchard(v: View, x: float) -> None:
  _trunk(v, x, 0.42)
  v.pen.oval(x, 0.38, 0.15, 0.13, (58, 142, 70))
  for dx, dy in ((-0.08, 0.02), (0.01, -0.07), (0.08, 0), (0, 0.06)):
    v.pen.oval(x + dx, 0.38 + dy, 0.03, 0.03, v.tint((226, 50, 50), 0.8, 1.0))


def city(v: View) -> None:
  """Two rows of houses and a road."""
  v.sky((150, 178, 212), (222, 226, 234), 0.6)
  v.heaven()
  for i, x in v.row(6, _FAR):
    top = 0.26 + 0.09 * (i * 2 % 3)
    v.pen.polygon(
        [(x, 0.7), (x, top), (x + 0.2, top), (x + 0.2, 0.7)], (150, 158, 182))
  walls = ((172, 104, 92), (92, 108, 142), (138, 130, 130))
  for i, x in v.row(5, _MIDDLE):
    top, wall = 0.36 + 0.08 * (i * 2 % 3), v.tint(walls[i % 3], 0.45, 0.68)
    v.pen.polygon([(x, 0.7), (x, top), (x + 0.22, top), (x + 0.22, 0.7)], wall)
    window = mix(wall, (255, 236, 150), 0.75)
    for a in (x + 0.03, x + 0.09, x + 0.15):
      for b in np.arange(top + 0.05, 0.62, 0.1):
        if v.look.kind == "second":
          v.glow.oval(a + 0.02, b + 0.025, 0.026, 0.03, window)
          continue
        height = 0.05 if v.look.kind == "first" else 0.085
        v.glow.polygon(
            [(a, b), (a + 0.04, b), (a + 0.04, b + height), (a, b + height)],
            window)
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
    v.glow.oval(x, 0.06 + 0.5 * (i * 3 % 7) / 7, r, r, (255, 255, 236))
  x = v.x(0.2 + v.layout, _FAR) if v.look.sun is None else v.look.sun
  v.glow.oval(x, 0.18, 0.12, 0.12, (62, 132, 226))
  v.glow.oval(x - 0.03, 0.15, 0.055, 0.04, (88, 190, 104), turn=0.5)
  v.glow.oval(x + 0.05, 0.23, 0.04, 0.028, (88, 190, 104))
  v.hills(0.62, 0.03, 1, _FAR, (128, 128, 142))
  if v.look.tint is not None:
    for x in v.things(0.0, 3):
      {"first": _crystals, "second": _dome, "third": _rocket}[v.look.kind](v, x)
  v.hills(0.69, 0.02, 1, _NEAR, (186, 186, 196))
  for i, x in v.row(4, _NEAR):
    y = 0.8 + 0.07 * (2 * i % 3)
    v.pen.oval(x, y, 0.08, 0.032, (142, 142, 156))
    v.pen.oval(x, y + 0.008, 0.062, 0.022, (160, 160, 172))


def _crystals(v: View, x: float) -> None:
  colour = v.tint(WHITE, 0.5, 0.9)
  for dx, lean, height in (
      (-0.05, -0.05, 0.16), (0.05, 0.05, 0.2), (0, 0, 0.27)):
    v.pen.polygon(
        [(x + dx - 0.035, 0.72), (x + dx + lean, 0.72 - height),
         (x + dx + 0.035, 0.72)], colour, 0.01)


def _dome(v: View, x: float) -> None:
  v.pen.oval(x, 0.7, 0.12, 0.15, v.tint(WHITE, 0.45, 0.8))
  for dx in (-0.05, 0.05):
    v.glow.oval(x + dx, 0.63, 0.022, 0.03, (255, 240, 180))


def _rocket(v: View, x: float) -> None:
  colour = v.tint(WHITE, 0.75, 0.85)
  v.pen.polygon(
      [(x - 0.1, 0.73), (x, 0.56), (x + 0.1, 0.73)], colour)
  v.pen.oval(x, 0.57, 0.05, 0.14, (232, 234, 240))
  v.pen.polygon([(x - 0.035, 0.48), (x, 0.4), (x + 0.035, 0.48)], colour)
  v.glow.oval(x, 0.55, 0.02, 0.022, (90, 190, 250))


def sea(v: View) -> None:
  """Light from above, weeds, fish and bubbles."""
  v.sky((40, 170, 214), (8, 62, 138), 0.9)
  for i, x in v.row(3, 0.3 * _FAR):
    if v.look.sun is not None:
      x = v.look.sun + 0.16 * (i - 1)
    v.pen.polygon(
        [(x, 0), (x + 0.1, 0), (x - 0.02, 0.78), (x - 0.22, 0.78)],
        (46, 156, 206))
  v.hills(0.76, 0.03, 1, _FAR, (22, 92, 140))
  v.hills(0.83, 0.02, 1, _NEAR, (214, 196, 140))
  for i, x in v.row(3, _MIDDLE):
    {"first": _weed, "second": _coral, "third": _sponge}[v.look.kind](v, x, i)
  for i, x in v.row(2, 0.8 * _FAR):
    y = 0.16 + 0.2 * i
    colour = v.tint(((255, 150, 50), (240, 110, 140))[i], 0.7, 0.96)
    v.pen.polygon(
        [(x - 0.05, y), (x - 0.11, y - 0.045), (x - 0.11, y + 0.045)], colour)
    v.pen.oval(x, y, 0.068, 0.042, colour)
    v.pen.oval(x + 0.035, y - 0.008, 0.012, 0.012, INK)
  for i, x in v.row(4, _FAR):
    y = (0.9 - 0.25 * i - 0.25 * v.phase) % 1
    v.pen.oval(x, y, 0.018, 0.018, (190, 236, 250))


def _weed(v: View, x: float, i: int) -> None:
  t = np.linspace(0, 1, 8)
  sway = 0.03 * np.sin(6 * t + 2 * i + 2 * math.pi * v.phase)
  height = 0.3 + 0.08 * i
  v.pen.line(
      np.stack([x + sway, 0.9 - height * t], 1),
      v.tint((30, 150, 96), 0.7, 0.6), 0.042)


def _coral(v: View, x: float, i: int) -> None:
  colour, top = v.tint((240, 110, 120), 0.65, 0.8), 0.56 - 0.06 * i
  v.pen.line([(x, 0.88), (x, top)], colour, 0.036)
  for side in (-1, 1):
    for y in (0.78, 0.68):
      v.pen.line(
          [(x, y), (x + 0.08 * side, y - 0.05), (x + 0.09 * side, y - 0.13)],
          colour, 0.03)


def _sponge(v: View, x: float, i: int) -> None:
  colour, top = v.tint((230, 180, 80), 0.6, 0.75), 0.64 - 0.05 * i
  for dx, y in ((-0.06, top + 0.08), (0.05, top)):
    v.pen.polygon(
        [(x + dx - 0.035, 0.88), (x + dx - 0.05, y), (x + dx + 0.05, y),
         (x + dx + 0.035, 0.88)], colour)
    v.pen.oval(x + dx, y, 0.05, 0.02, mix(colour, INK, 0.4))


TABLE = {
    "on the snow": snow,
    "on the beach": beach,
    "on the grass": grass,
    "in the city": city,
    "on the moon": moon,
    "under the sea": sea,
}


def draw(canvas: Image.Image, pen: Pen, scene: Scene) -> None:
  """Fills the canvas with the scene's place, drawn by a pen of its size."""
  TABLE[scene.place](View(
      canvas=canvas,
      pen=pen.lit(light.of(scene.look.time)),
      glow=pen,
      look=scene.look,
      layout=(scene.seed % _LAYOUTS / _LAYOUTS + scene.look.layout) % 1,
      pan=scene.pan,
      phase=scene.phase,
      zoom=scene.zoom))
