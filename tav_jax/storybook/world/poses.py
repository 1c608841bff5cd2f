"""Where arms and legs are at each moment of a verb.

Lengths are in heights of the character; the origin is between its feet, y
points down.
Phase has period 1.
"""

import dataclasses
import math

Points = list[tuple[float, float]]


@dataclasses.dataclass(frozen=True)
class Pose:
  """Limbs as polylines, the body's lean (radians) and its height above ground.

  "Front" is the side that the character faces.
  """

  back_arm: Points
  front_arm: Points
  back_leg: Points
  front_leg: Points
  lean: float = 0.0
  lift: float = 0.0


def skiing(phase: float) -> Pose:
  """Knees bent, leaning into the slope, both poles in front."""
  s = math.sin(2 * math.pi * phase)
  return Pose(
      back_arm=[(-0.12, -0.5), (0.02, -0.38), (0.14, -0.36 + 0.03 * s)],
      front_arm=[(0.13, -0.5), (0.2, -0.37), (0.32, -0.38 + 0.03 * s)],
      back_leg=[(-0.07, -0.24), (0.02, -0.14), (-0.08, -0.03)],
      front_leg=[(0.08, -0.24), (0.17, -0.14), (0.08, -0.03)],
      lean=0.2 + 0.03 * s, lift=0.02 + 0.015 * s)


def surfing(phase: float) -> Pose:
  """Legs apart, arms out for balance."""
  s = math.sin(2 * math.pi * phase)
  return Pose(
      back_arm=[(-0.13, -0.5), (-0.26, -0.5 - 0.05 * s),
                (-0.38, -0.56 - 0.09 * s)],
      front_arm=[(0.13, -0.5), (0.26, -0.5 + 0.05 * s),
                 (0.38, -0.54 + 0.09 * s)],
      back_leg=[(-0.08, -0.24), (-0.19, -0.15), (-0.2, -0.03)],
      front_leg=[(0.08, -0.24), (0.2, -0.15), (0.2, -0.03)],
      lean=-0.08 + 0.1 * s, lift=0.09 + 0.02 * s)


def jumping(phase: float) -> Pose:
  """Up and down once a period, arms up, knees out."""
  height = math.sin(math.pi * (phase % 1))
  return Pose(
      back_arm=[(-0.13, -0.5), (-0.26, -0.54 - 0.06 * height),
                (-0.31, -0.66 - 0.1 * height)],
      front_arm=[(0.13, -0.5), (0.26, -0.54 - 0.06 * height),
                 (0.31, -0.66 - 0.1 * height)],
      back_leg=[(-0.08, -0.24), (-0.19, -0.2), (-0.15, -0.05)],
      front_leg=[(0.08, -0.24), (0.19, -0.2), (0.15, -0.05)],
      lift=0.05 + 0.12 * height)


def dancing(phase: float) -> Pose:
  """From one foot to the other, arms in turn."""
  s = math.sin(2 * math.pi * phase)
  left, right = max(s, 0), max(-s, 0)
  return Pose(
      back_arm=[(-0.13, -0.5), (-0.27, -0.5), (-0.3, -0.5 - 0.2 * s)],
      front_arm=[(0.13, -0.5), (0.27, -0.5), (0.3, -0.5 + 0.2 * s)],
      back_leg=[(-0.08, -0.24), (-0.12 - 0.05 * left, -0.13),
                (-0.12 - 0.16 * left, -0.03 - 0.08 * left)],
      front_leg=[(0.08, -0.24), (0.12 + 0.05 * right, -0.13),
                 (0.12 + 0.16 * right, -0.03 - 0.08 * right)],
      lean=0.12 * s, lift=0.02 * abs(math.cos(2 * math.pi * phase)))


def running(phase: float) -> Pose:
  """Long strides, arms bent."""
  s, c = math.sin(2 * math.pi * phase), math.cos(2 * math.pi * phase)
  return Pose(
      back_arm=[(-0.1, -0.48), (-0.13 - 0.1 * s, -0.36),
                (0.02 - 0.2 * s, -0.32 - 0.06 * s)],
      front_arm=[(0.1, -0.48), (0.15 + 0.1 * s, -0.36),
                 (0.22 + 0.14 * s, -0.36 - 0.06 * s)],
      back_leg=[(-0.05, -0.24), (-0.02 - 0.14 * s, -0.14),
                (-0.1 - 0.22 * s, -0.05 - 0.06 * max(s, 0))],
      front_leg=[(0.05, -0.24), (0.1 + 0.14 * s, -0.15),
                 (0.04 + 0.24 * s, -0.05 - 0.06 * max(-s, 0))],
      lean=0.13, lift=0.03 * abs(c))


POSES = {
    "skiing": skiing,
    "surfing": surfing,
    "jumping": jumping,
    "dancing": dancing,
    "running": running,
}
