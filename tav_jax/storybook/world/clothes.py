"""Garments: functions `(pen, colour, look)` on a standing character."""

from tav_jax.storybook.world import body, fabric
from tav_jax.storybook.world.look import Look
from tav_jax.storybook.world.pen import Colour, COLOURS, INK, mix, OUTLINE, Pen


def hat(p: Pen, colour: Colour, look: Look) -> None:
  """A tall hat with a band."""
  x, y = body.HEAD[0], body.HEAD[1] - 0.14
  p.polygon([(x - 0.165, y), (x - 0.135, y - 0.2), (x + 0.135, y - 0.2),
             (x + 0.165, y)], colour, OUTLINE)
  crown = p.at(x, 0)
  fabric.pattern(
      crown, look.pattern, fabric.accent(look, colour, body.shade(colour)),
      y - 0.2, y - 0.065, lambda _: 0.135)
  p.polygon([(x - 0.16, y - 0.01), (x - 0.152, y - 0.065),
             (x + 0.152, y - 0.065), (x + 0.16, y - 0.01)],
            fabric.accent(look, colour, mix(colour, INK, 0.35)))
  p.oval(x, y + 0.005, 0.28, 0.046, colour, OUTLINE)


def sunglasses(p: Pen, colour: Colour, look: Look) -> None:
  """Large dark sunglasses, rimmed in white so that they show on black."""
  del look
  x, y = body.EYES
  for width, ink in ((0.075, (250, 250, 250)), (0.04, colour)):
    p.line([(x - 0.22, y - 0.02), (x + 0.21, y - 0.02)], ink, width)
  for side in (-1, 1):
    p.oval(x + side * 0.1, y + 0.01, 0.108, 0.098, (250, 250, 250))
  for side in (-1, 1):
    p.oval(x + side * 0.1, y + 0.01, 0.088, 0.078, colour)
    middle = x + side * 0.1
    p.line([(middle - 0.03, y + 0.02), (middle + 0.01, y - 0.03)],
           (150, 170, 200), 0.022)


# A garment's function, and its colour if its name has none.
TABLE = {
    "hat": (hat, (126, 80, 48)),
    "sunglasses": (sunglasses, (22, 20, 28)),
}


def wear(p: Pen, wearing: str, look: Look) -> None:
  """Draws a garment such as "hat" or "red hat"."""
  *colour, garment = wearing.split()
  draw, natural = TABLE[garment]
  draw(p, COLOURS[colour[0]] if colour else natural, look)
