"""How colours look at a time of day."""

from collections.abc import Callable

from tav_jax.storybook.world.pen import Colour, mix

# The share of red, green and blue that is left.
_LEFT = {
    "day": (1.0, 1.0, 1.0),
    "evening": (0.98, 0.78, 0.68),
    "night": (0.42, 0.48, 0.74),
}
_SKIES = {
    "evening": ((96, 74, 142), (255, 172, 112)),
    "night": ((14, 18, 54), (48, 58, 110)),
}


def of(time: str, strength: float = 1.0) -> Callable[[Colour], Colour]:
  """The light at a time of day, or `strength` of the way towards it."""
  left = _LEFT[time]
  if time == "day":
    return lambda colour: colour
  red, green, blue = left
  return lambda colour: mix(
      colour,
      (round(colour[0] * red), round(colour[1] * green),
       round(colour[2] * blue)), strength)


def sky(time: str, top: Colour, bottom: Colour) -> tuple[Colour, Colour]:
  """The upper and lower colour of a sky that has these by day."""
  if time == "day":
    return top, bottom
  upper, lower = _SKIES[time]
  return mix(top, upper, 0.85), mix(bottom, lower, 0.85)
