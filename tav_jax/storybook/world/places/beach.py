"""On the beach."""

import math

import numpy as np

from tav_jax.storybook.world.places.view import FAR, NEAR, View


def beach(v: View) -> None:
  """The sea, a palm and sand."""
  v.sky((84, 186, 246), (190, 232, 252), 0.45)
  v.heaven(0.75)
  v.pen.polygon([(0, 0.42), (1, 0.42), (1, 0.72), (0, 0.72)], (24, 128, 204))
  for i, x in v.row(4, FAR):
    y = 0.47 + 0.045 * (i % 3)
    v.pen.line([(x - 0.07, y), (x + 0.07, y)], (130, 210, 242), 0.015)
  v.hills(0.63, 0.012, 2, NEAR, (238, 250, 255))
  v.hills(0.66, 0.012, 2, NEAR, (246, 216, 148))
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
