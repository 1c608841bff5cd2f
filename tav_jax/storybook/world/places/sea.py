"""Under the sea."""

import math

import numpy as np

from tav_jax.storybook.world.pen import INK, mix
from tav_jax.storybook.world.places.view import FAR, MIDDLE, NEAR, View


def sea(v: View) -> None:
  """Light from above, weeds, fish and bubbles."""
  v.sky((40, 170, 214), (8, 62, 138), 0.9)
  for i, x in v.row(3, 0.3 * FAR):
    if v.look.sun is not None:
      x = v.look.sun + 0.16 * (i - 1)
    v.pen.polygon(
        [(x, 0), (x + 0.1, 0), (x - 0.02, 0.78), (x - 0.22, 0.78)],
        (46, 156, 206))
  v.hills(0.76, 0.03, 1, FAR, (22, 92, 140))
  v.hills(0.83, 0.02, 1, NEAR, (214, 196, 140))
  for i, x in v.row(3, MIDDLE):
    {"first": _weed, "second": _coral, "third": _sponge}[v.look.kind](v, x, i)
  for i, x in v.row(2, 0.8 * FAR):
    y = 0.16 + 0.2 * i
    colour = v.tint(((255, 150, 50), (240, 110, 140))[i], 0.7, 0.96)
    v.pen.polygon(
        [(x - 0.05, y), (x - 0.11, y - 0.045), (x - 0.11, y + 0.045)], colour)
    v.pen.oval(x, y, 0.068, 0.042, colour)
    v.pen.oval(x + 0.035, y - 0.008, 0.012, 0.012, INK)
  for i, x in v.row(4, FAR):
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
