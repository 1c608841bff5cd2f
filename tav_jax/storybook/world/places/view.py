"""What all places have: the canvas, scrolling, sky, sun and hills."""

from collections.abc import Iterator
import dataclasses
import math

import numpy as np
from PIL import Image

from tav_jax.storybook.world import light
from tav_jax.storybook.world.look import Look
from tav_jax.storybook.world.pen import Colour, hue, Pen, WHITE

FAR, MIDDLE, NEAR = 0.35, 0.56, 1.0
"""How fast things scroll, by their distance."""

_ROUND = 1.4  # Widths after which a thing that has scrolled away comes back.
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
      return [self.x(usual + self.layout, MIDDLE)]
    return [x for _, x in self.row(count, MIDDLE)]

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
      for i, x in self.row(2, 0.5 * FAR):
        cloud(self.pen, x, 0.12 + 0.13 * i)
    elif usual is not None:
      self.glow.oval(
          self.x(usual + self.layout, FAR), 0.14, 0.085, 0.085,
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


def cloud(p: Pen, x: float, y: float) -> None:
  """Draws a cloud around a point."""
  for dx, r in ((-0.07, 0.04), (0, 0.06), (0.08, 0.042)):
    p.oval(x + dx, y, 1.2 * r, 0.8 * r, WHITE)
