"""The characters. Each is one function `(pen, pose, colour, look)`.

`colour` is that of the body (of the clothes, for people); `NATURAL` says which
it is when the scene names none. Later lines are drawn over earlier ones.
"""

from collections.abc import Callable
import dataclasses

import numpy as np

from tav_jax.storybook.world import body, fabric
from tav_jax.storybook.world.look import Look
from tav_jax.storybook.world.pen import Colour, mix, OUTLINE, Pen, WHITE
from tav_jax.storybook.world.poses import Pose

_SKIN, _HAIR = (248, 204, 166), (104, 62, 36)
_BLACK, _PINK = (46, 44, 52), (250, 170, 180)
_ORANGE = (250, 150, 40)


def man(
    p: Pen, pose: Pose, colour: Colour, look: Look
) -> None:
  """Shirt, dark trousers, short hair and a moustache."""
  trousers, hair = (70, 66, 92), fabric.toned(look, _HAIR, 1.2)
  body.arm(p, pose.back_arm, colour, _SKIN)
  body.legs(p, pose, trousers, fabric.accent(look, trousers, (70, 50, 44)))
  p.oval(0, -0.38, 0.165, 0.185, colour, OUTLINE)
  _clothe(p, look, colour, -0.55, -0.29, fabric.oval_half(-0.38, 0.165, 0.185))
  p.polygon([(-0.155, -0.29), (0.155, -0.29), (0.12, -0.19), (-0.12, -0.19)],
            trousers)
  body.arm(p, pose.front_arm, colour, _SKIN)
  body.head(p, _SKIN)
  body.fringe(p, hair)
  body.eyes(p)
  body.cheeks(p)
  body.moustache(p, hair)


def woman(
    p: Pen, pose: Pose, colour: Colour, look: Look
) -> None:
  """A dress and long hair."""
  hair = fabric.toned(look, _HAIR, 1.2)
  for x, y, rx, ry in (
      (0, -0.72, 0.25, 0.25), (-0.14, -0.55, 0.12, 0.17),
      (0.14, -0.55, 0.12, 0.17)):
    p.oval(x, y, rx, ry, hair, OUTLINE)
  body.arm(p, pose.back_arm, colour, _SKIN)
  body.legs(
      p, pose, _SKIN, fabric.accent(look, _SKIN, body.shade(colour)), 0.075)
  p.polygon(
      [(-0.09, -0.55), (0.09, -0.55), (0.14, -0.4), (0.23, -0.17),
       (-0.23, -0.17), (-0.14, -0.4)], colour, OUTLINE)
  _clothe(p, look, colour, -0.55, -0.17, lambda y: float(np.interp(
      y, (-0.55, -0.4, -0.17), (0.09, 0.14, 0.23))))
  body.arm(p, pose.front_arm, colour, _SKIN)
  body.head(p, _SKIN)
  body.fringe(p, hair)
  body.eyes(p)
  body.cheeks(p)
  body.smile(p, (200, 50, 60))


def robot(
    p: Pen, pose: Pose, colour: Colour, look: Look
) -> None:
  """Boxes, a screen for a face and an antenna."""
  dark, glow = body.shade(colour), (120, 244, 250)
  body.arm(p, pose.back_arm, colour, dark)
  body.legs(p, pose, colour, fabric.accent(look, colour, dark), 0.08)
  p.polygon([(-0.16, -0.54), (0.16, -0.54), (0.16, -0.2), (-0.16, -0.2)],
            colour, OUTLINE)
  if look.pattern == "plain":
    p.polygon([(-0.09, -0.46), (0.09, -0.46), (0.09, -0.33), (-0.09, -0.33)],
              body.tint(colour))
  _clothe(p, look, colour, -0.53, -0.21, lambda _: 0.15)
  body.arm(p, pose.front_arm, colour, dark)
  x, y = body.HEAD
  p.limb([(x, y - 0.18), (x, y - 0.28)], dark, 0.03, 0.018)
  p.oval(x, y - 0.3, 0.045, 0.045, _ORANGE, 0.02)
  p.polygon([(x - 0.23, y - 0.19), (x + 0.23, y - 0.19), (x + 0.23, y + 0.18),
             (x - 0.23, y + 0.18)], colour, OUTLINE)
  p.polygon([(x - 0.17, y - 0.12), (x + 0.19, y - 0.12), (x + 0.19, y + 0.12),
             (x - 0.17, y + 0.12)], (40, 52, 72))
  for side in (-1, 1):
    p.oval(body.EYES[0] + side * 0.09, y - 0.02, 0.036, 0.046, glow)
  p.line([(x - 0.05, y + 0.07), (x + 0.09, y + 0.07)], glow, 0.028)


def panda(
    p: Pen, pose: Pose, colour: Colour, look: Look
) -> None:
  """Black limbs, ears and patches around the eyes."""
  def ear(p, side):
    p.oval(x + side * 0.18, y - 0.16, 0.08, 0.08, _BLACK, OUTLINE)

  x, y = body.HEAD
  body.arm(p, pose.back_arm, _BLACK, _BLACK)
  body.legs(p, pose, _BLACK, fabric.accent(look, _BLACK, _BLACK))
  body.belly(p, colour, colour)
  _clothe(p, look, colour, *_BELLY)
  body.arm(p, pose.front_arm, _BLACK, _BLACK)
  body.ears(p, ear)
  body.head(p, colour)
  for side in (-1, 1):
    ex, ey = body.EYES[0] + side * 0.09, body.EYES[1]
    p.oval(ex, ey + 0.005, 0.066, 0.08, _BLACK, turn=side * 0.5)
    p.oval(ex, ey - 0.005, 0.03, 0.036, WHITE)
  body.muzzle(p, WHITE, _BLACK)


def rabbit(
    p: Pen, pose: Pose, colour: Colour, look: Look
) -> None:
  """Long ears."""
  def ear(p, side):
    p.oval(x + side * 0.095, y - 0.3, 0.064, 0.18, colour, OUTLINE,
           turn=side * 0.18)
    p.oval(x + side * 0.095, y - 0.29, 0.03, 0.125, _PINK, turn=side * 0.18)

  x, y = body.HEAD
  body.arm(p, pose.back_arm, colour, colour)
  body.legs(
      p, pose, colour, fabric.accent(look, colour, body.shade(colour)))
  body.belly(p, colour, body.tint(colour))
  _clothe(p, look, body.tint(colour), *_BELLY)
  body.arm(p, pose.front_arm, colour, colour)
  body.ears(p, ear)
  body.head(p, colour)
  body.eyes(p)
  body.muzzle(p, body.tint(colour), (240, 110, 140))


def penguin(
    p: Pen, pose: Pose, colour: Colour, look: Look
) -> None:
  """White belly and face, orange beak and feet."""
  body.arm(p, pose.back_arm, colour, colour)
  body.legs(p, pose, _ORANGE, fabric.accent(look, _ORANGE, _ORANGE))
  body.belly(p, colour, WHITE)
  _clothe(p, look, WHITE, *_BELLY)
  body.arm(p, pose.front_arm, colour, colour)
  body.head(p, colour)
  x, y = body.HEAD
  for dx in (-0.065, 0.105):
    p.oval(x + dx, y + 0.02, 0.11, 0.145, WHITE)
  body.eyes(p)
  body.beak(p, _ORANGE)


def _clothe(p, look: Look, colour: Colour, top, bottom, half) -> None:
  """The look's pattern on a part of a colour; see `fabric.pattern`."""
  fabric.pattern(
      p, look.pattern, fabric.accent(look, colour, body.shade(colour)),
      top, bottom, half)


# Upper end, lower end and half width of the animals' patterned bellies.
_BELLY = (-0.53, -0.2, fabric.oval_half(-0.36, 0.175, 0.19))


@dataclasses.dataclass(frozen=True)
class Subject:
  """A character.

  Attributes:
    draw: The function.
    natural: Colour when none is named.
    height: How tall it is beside the others.
  """

  draw: Callable[[Pen, Pose, Colour, Look], None]
  natural: Colour
  height: float = 1.0


TABLE = {
    "man": Subject(man, (238, 236, 228)),
    "woman": Subject(woman, (168, 84, 190)),
    "robot": Subject(robot, mix((168, 178, 192), WHITE, 0.1), 0.95),
    "panda": Subject(panda, (248, 248, 246)),
    "rabbit": Subject(rabbit, (214, 196, 182), 0.86),
    "penguin": Subject(penguin, (66, 64, 76)),
}
