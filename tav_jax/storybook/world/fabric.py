"""Patterns on clothes and bellies, and the colours that a look gives."""

from collections.abc import Callable

import numpy as np

from tav_jax.storybook.world.look import Look
from tav_jax.storybook.world.pen import Colour, hue, INK, mix, Pen, WHITE

_ROWS = 4
_LIKE = 100  # Colours whose channels all differ by less are hard to tell apart.


def accent(look: Look, ground: Colour, usual: Colour) -> Colour:
  """The look's accent, such that it shows on `ground`; `usual` if it has none.
  """
  if look.accent is None:
    return usual
  colour = hue(look.accent)
  if max(abs(a - b) for a, b in zip(colour, ground, strict=True)) >= _LIKE:
    return colour
  return mix(colour, INK if sum(ground) > 400 else WHITE, 0.55)


def toned(look: Look, colour: Colour, strength: float = 1.0) -> Colour:
  """A colour as light or dark as the look's tone; a tone of 0.5 changes none.
  """
  by = strength * (look.tone - 0.5)
  return mix(colour, INK, 1.3 * by) if by > 0 else mix(colour, WHITE, -1.1 * by)


def pattern(
    p: Pen, name: str, colour: Colour, top: float, bottom: float,
    half: Callable[[float], float],
) -> None:
  """Covers a part that is symmetric about x = 0 with a pattern.

  Args:
    p: The pen that draws it.
    name: "plain", which draws nothing, "stripes", "dots" or "checks".
    colour: Colour of the pattern.
    top: Upper end of the part.
    bottom: Lower end of the part.
    half: Half of the part's width at a height.
  """
  step = (bottom - top) / _ROWS
  widest = max(half(y) for y in np.linspace(top, bottom, 9))
  for row in range(_ROWS):
    y = top + step * row
    if name == "stripes":
      _band(p, colour, y + 0.25 * step, y + 0.75 * step, -widest, widest, half)
    for column in range(-3, 3) if name != "plain" else ():
      x = widest / 2 * (column + 0.5 * (row % 2))
      if name == "checks" and (row + column) % 2:
        x = widest / 2 * column
        _band(p, colour, y, y + step, x, x + widest / 2, half)
      centre = x + widest / 4, y + 0.5 * step
      if name == "dots" and abs(centre[0]) + 0.3 * step < half(centre[1]):
        p.oval(*centre, 0.34 * step, 0.34 * step, colour)


def _band(p, colour, top, bottom, left, right, half) -> None:
  """Draws the piece of the part between two heights and two sides."""
  clip = lambda x, y: min(max(x, -half(y)), half(y))
  if clip(left, top) < clip(right, top) or (
      clip(left, bottom) < clip(right, bottom)):
    p.polygon([
        (clip(left, top), top), (clip(right, top), top),
        (clip(right, bottom), bottom), (clip(left, bottom), bottom)], colour)


def oval_half(y: float, rx: float, ry: float) -> Callable[[float], float]:
  """The argument `half` of `pattern` for an ellipse about (0, y)."""
  return lambda at: rx * max(0.0, 1 - ((at - y) / ry) ** 2) ** 0.5
