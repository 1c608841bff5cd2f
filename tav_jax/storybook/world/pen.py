"""A pen that draws in coordinates of its own."""

from collections.abc import Callable, Sequence
import colorsys
import math
from typing import Any, Protocol, runtime_checkable

import numpy as np

Colour = tuple[int, int, int]

INK: Colour = (44, 36, 52)
WHITE: Colour = (255, 255, 255)
OUTLINE = 0.026
"""Width of a character's outline, in heights of the character."""

COLOURS: dict[str, Colour] = {
    "red": (224, 44, 44),
    "blue": (44, 100, 232),
    "green": (40, 170, 70),
    "yellow": (252, 214, 40),
}

_CIRCLE = np.linspace(0, 2 * math.pi, 28, endpoint=False)


def mix(a: Colour, b: Colour, t: float) -> Colour:
  """From a (t = 0) to b (t = 1)."""
  red, green, blue = (
      round(p + (q - p) * t) for p, q in zip(a, b, strict=True))
  return red, green, blue


def hue(h: float, saturation: float = 0.75, value: float = 0.92) -> Colour:
  """The colour of a hue, which has period 1 and begins at red."""
  red, green, blue = colorsys.hsv_to_rgb(h % 1, saturation, value)
  return round(255 * red), round(255 * green), round(255 * blue)


@runtime_checkable
class Strokes(Protocol):
  """The methods of `ImageDraw` that a pen uses."""

  def polygon(self, points, fill: Any) -> None: ...

  def line(self, points, fill: Any, width: int, joint: Any) -> None: ...

  def ellipse(self, box, fill: Any) -> None: ...


class Pen:
  """Draws in local units, mapped affinely onto a canvas.

  Every width and radius is in local units too.

  Args:
    draw: Draws on the canvas.
    matrix: Maps local to canvas coordinates, 2x3.
    unit: Length of a local unit on the canvas, in pixels.
    light: Maps a colour to how it looks in the light.
  """

  def __init__(
      self, draw: Strokes, matrix: np.ndarray, unit: float,
      light: Callable[[Colour], Colour] = lambda colour: colour,
  ):
    self._draw, self._matrix, self._unit = draw, matrix, unit
    self._light = light

  @classmethod
  def whole(
      cls, draw: Strokes, size: int, zoom: float = 1.0
  ) -> "Pen":
    """A pen whose unit is the whole canvas, or `zoom` times it."""
    corner = size * (1 - zoom) / 2
    matrix = np.array(
        [[zoom * size, 0, corner], [0, zoom * size, corner]], float)
    return cls(draw, matrix, zoom * size)

  def lit(self, light: Callable[[Colour], Colour]) -> "Pen":
    """The same pen in another light."""
    return Pen(self._draw, self._matrix, self._unit, light)

  def at(self, x, y, scale=1.0, turn=0.0, flip=1) -> "Pen":
    """A pen with its origin there, scaled, turned (radians), mirrored."""
    c, s = math.cos(turn) * scale, math.sin(turn) * scale
    local = np.array([[c * flip, -s * flip, x], [s, c, y], [0, 0, 1]])
    return Pen(
        self._draw, self._matrix @ local, self._unit * scale, self._light)

  def polygon(self, points, fill: Colour, outline=0.0) -> None:
    """A filled polygon, inked if `outline` (a width) is given."""
    mapped = self._map(points)
    self._draw.polygon(mapped, fill=self._light(fill))
    if outline:
      self._draw.line(
          [*mapped, *mapped[:2]], fill=self._light(INK),
          width=self._width(outline), joint="curve")

  def oval(self, x, y, rx, ry, fill: Colour, outline=0.0, turn=0.0) -> None:
    """A filled ellipse; the outline lies around it."""
    if outline:
      self.oval(x, y, rx + outline, ry + outline, INK, turn=turn)
    px, py = rx * np.cos(_CIRCLE), ry * np.sin(_CIRCLE)
    c, s = math.cos(turn), math.sin(turn)
    self._draw.polygon(
        self._map(np.stack([x + c * px - s * py, y + s * px + c * py], 1)),
        fill=self._light(fill))

  def line(self, points, fill: Colour, width) -> None:
    """A polyline with round ends."""
    mapped, radius = self._map(points), width * self._unit / 2
    self._draw.line(
        mapped, fill=self._light(fill), width=self._width(width),
        joint="curve")
    for x, y in (mapped[0], mapped[-1]):
      self._draw.ellipse(
          [x - radius, y - radius, x + radius, y + radius],
          fill=self._light(fill))

  def limb(self, points, fill: Colour, width, outline=OUTLINE) -> None:
    """A polyline with an outline."""
    self.line(points, INK, width + 2 * outline)
    self.line(points, fill, width)

  def _map(self, points: Sequence | np.ndarray) -> list[tuple[float, float]]:
    mapped = np.asarray(points, float) @ self._matrix[:, :2].T
    return [tuple(p) for p in (mapped + self._matrix[:, 2]).tolist()]

  def _width(self, width: float) -> int:
    return max(1, round(width * self._unit))
