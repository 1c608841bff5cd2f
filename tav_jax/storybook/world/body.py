"""The parts of which subjects are drawn: limbs, heads, faces.

A character stands with its feet at the origin, is one high and looks at the
viewer, a little to the right.
"""

import math

import numpy as np

from tav_jax.storybook.world.pen import Colour, INK, mix, OUTLINE, Pen, WHITE
from tav_jax.storybook.world.poses import Pose

HEAD = (0.015, -0.74)
EYES = (0.045, -0.73)
_MOUTH = (0.055, -0.645)


def legs(
    p: Pen, pose: Pose, colour: Colour, foot: Colour, width: float = 0.095
) -> None:
  """Both legs and their feet."""
  for leg in (pose.back_leg, pose.front_leg):
    p.limb(leg, colour, width)
    x, y = leg[-1]
    p.oval(x + 0.025, y + 0.005, 0.075, 0.045, foot, OUTLINE)


def arm(p: Pen, points, colour: Colour, hand: Colour) -> None:
  """One arm and its hand."""
  p.limb(points, colour, 0.085)
  x, y = points[-1]
  p.oval(x, y, 0.052, 0.052, hand, OUTLINE)


def belly(p: Pen, body: Colour, patch: Colour) -> None:
  """A round trunk with a lighter patch."""
  p.oval(0, -0.36, 0.185, 0.2, body, OUTLINE)
  p.oval(0.02, -0.33, 0.12, 0.15, patch)


def head(p: Pen, colour: Colour) -> None:
  """A round head."""
  p.oval(*HEAD, 0.235, 0.21, colour, OUTLINE)


def ears(p: Pen, draw) -> None:
  """Both ears: `draw(pen, side)`, the side -1 or 1."""
  for side in (-1, 1):
    draw(p, side)


def eyes(p: Pen, colour: Colour = INK) -> None:
  """Two tall eyes that catch the light."""
  for side in (-1, 1):
    x, y = EYES[0] + side * 0.09, EYES[1]
    p.oval(x, y, 0.034, 0.048, colour)
    p.oval(x + 0.012, y - 0.018, 0.014, 0.015, WHITE)


def cheeks(p: Pen) -> None:
  """Two rosy cheeks."""
  for x in (EYES[0] - 0.145, EYES[0] + 0.135):
    p.oval(x, _MOUTH[1] - 0.015, 0.036, 0.024, (250, 160, 140))


def smile(p: Pen, colour: Colour) -> None:
  """A mouth, corners up."""
  x, y = _MOUTH
  p.line(
      [(x - 0.05, y + 0.005), (x, y + 0.035), (x + 0.05, y + 0.005)], colour,
      0.03)


def moustache(p: Pen, colour: Colour) -> None:
  """A moustache under the nose."""
  x, y = _MOUTH
  p.line([(x - 0.085, y + 0.01), (x, y - 0.025), (x + 0.085, y + 0.01)],
         colour, 0.045)


def muzzle(p: Pen, colour: Colour, nose: Colour) -> None:
  """A snout with a nose and a mouth."""
  x, y = _MOUTH
  p.oval(x, y, 0.095, 0.07, colour)
  p.oval(x, y - 0.025, 0.036, 0.028, nose)
  p.line([(x - 0.035, y + 0.032), (x, y + 0.014), (x + 0.035, y + 0.032)],
         INK, 0.02)


def beak(p: Pen, colour: Colour) -> None:
  """A beak."""
  x, y = _MOUTH
  p.polygon(
      [(x - 0.08, y - 0.035), (x + 0.1, y - 0.035), (x + 0.015, y + 0.06)],
      colour, 0.02)


def fringe(p: Pen, colour: Colour) -> None:
  """Hair over the forehead."""
  x, y = HEAD
  turn = np.linspace(math.pi * 0.99, math.pi * 2.01, 16)
  top = np.stack(
      [x + 0.248 * np.cos(turn), y - 0.005 + 0.23 * np.sin(turn)], 1)
  p.polygon(np.concatenate([
      top, [(x + 0.17, y - 0.08), (x + 0.05, y - 0.12), (x - 0.17, y - 0.05)]]),
      colour, 0.014)


def shade(colour: Colour) -> Colour:
  """A darker shade, for feet and trimmings."""
  return mix(colour, INK, 0.3)


def tint(colour: Colour) -> Colour:
  """A lighter shade, for a belly."""
  return mix(colour, WHITE, 0.62)
