"""Things that belong to a verb, behind or in front of the character.

Each is one function `(ground pen, phase, lift, look)`. The ground pen's origin
is at the character's feet, its unit the character's height; `lift` is how high
the character is above ground.
"""

import math

import numpy as np

from tav_jax.storybook.world import fabric
from tav_jax.storybook.world.look import Look
from tav_jax.storybook.world.pen import Colour, INK, mix, OUTLINE, Pen, WHITE

_SHADOW, _FOAM = (60, 56, 76), (240, 252, 255)


def skis(p: Pen, phase: float, lift: float, look: Look) -> None:
  """Two red skis and two poles."""
  del phase, lift
  near = fabric.accent(look, WHITE, (230, 60, 90))
  ski = p.at(0, -0.01, turn=0.1)
  for dx, dy, colour in (
      (-0.04, -0.05, _behind(near, look)), (0.04, 0, near)):
    ski.limb([(-0.5 + dx, dy), (0.46 + dx, dy), (0.56 + dx, dy - 0.045),
              (0.6 + dx, dy - 0.11)], colour, 0.046, 0.02)
  for x in (0.1, 0.34):
    p.line([(x + 0.02, -0.42), (x - 0.16, 0)], INK, 0.034)
    p.oval(x - 0.145, -0.035, 0.05, 0.02, INK)


def _behind(colour: Colour, look: Look) -> Colour:
  """The colour of the farther ski."""
  return (150, 24, 60) if look.accent is None else mix(colour, INK, 0.4)


def surfboard(p: Pen, phase: float, lift: float, look: Look) -> None:
  """A board on a wave that breaks behind it."""
  wave = 2 * math.pi * phase
  x = np.linspace(-0.72, 0.72, 15)
  crest = np.stack([x, -0.02 + 0.035 * np.sin(9 * x + wave)], 1)
  p.polygon(
      np.concatenate([crest, [(0.6, 0.13), (-0.6, 0.13)]]), (40, 144, 220))
  p.line(crest, _FOAM, 0.05)
  for i in range(3):
    p.oval(-0.64 - 0.04 * i + 0.02 * math.sin(wave + i), -0.06 - 0.085 * i,
           0.085 - 0.012 * i, 0.075 - 0.012 * i, _FOAM)
  board = p.at(0, 0.02 - lift, turn=-0.1 + 0.1 * math.sin(wave))
  board.oval(0, 0.015, 0.52, 0.06, (255, 246, 220), OUTLINE)
  board.line(
      [(-0.42, 0.015), (0.42, 0.015)],
      fabric.accent(look, (255, 246, 220), (240, 96, 60)), 0.035)


def leap(p: Pen, phase: float, lift: float, look: Look) -> None:
  """A shadow that shrinks, and lines of the upward motion."""
  del phase, look
  p.oval(0, 0, 0.32 - 0.6 * max(lift - 0.05, 0), 0.045, _SHADOW)
  for x in (-0.2, 0, 0.2):
    p.line([(x, -0.03), (x, -0.05 - 0.5 * lift)], WHITE, 0.04)


def music(p: Pen, phase: float, lift: float, look: Look) -> None:
  """A shadow and three notes that bob."""
  del lift
  p.oval(0, 0, 0.3, 0.045, _SHADOW)
  for i, (x, y, colour) in enumerate((
      (-0.52, -0.72, (255, 226, 60)), (0.52, -0.86, (255, 96, 150)),
      (0.5, -0.3, (90, 226, 250)))):
    y += 0.04 * math.sin(2 * math.pi * (phase + i / 3))
    colour = fabric.accent(look, INK, colour)
    stem = [(x + 0.055, y), (x + 0.055, y - 0.18), (x + 0.14, y - 0.13)]
    p.line(stem, INK, 0.078)
    p.oval(x, y, 0.07, 0.056, colour, 0.02, turn=-0.3)
    p.line(stem, colour, 0.038)


def dust(p: Pen, phase: float, lift: float, look: Look) -> None:
  """A shadow, puffs behind and lines of speed."""
  del lift, look
  p.oval(0, 0, 0.3, 0.045, _SHADOW)
  for i in range(3):
    far = (2 * phase + i / 3) % 1
    p.oval(-0.32 - 0.2 * far, -0.03 - 0.05 * i, 0.075 * (1 - 0.5 * far),
           0.06 * (1 - 0.5 * far), (244, 240, 232))
  for y in (-0.3, -0.5, -0.7):
    p.line([(-0.4, y), (-0.62, y)], WHITE, 0.04)


def _nothing(p: Pen, phase: float, lift: float, look: Look) -> None:
  del p, phase, lift, look


# Functions of the things behind the character, and of those in front of it.
TABLE = {
    "skiing": (skis, _nothing),
    "surfing": (surfboard, _nothing),
    "jumping": (leap, _nothing),
    "dancing": (_nothing, music),
    "running": (dust, _nothing),
}
