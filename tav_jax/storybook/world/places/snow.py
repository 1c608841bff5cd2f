"""On the snow."""

from tav_jax.storybook.world.pen import INK, mix, WHITE
from tav_jax.storybook.world.places.view import FAR, MIDDLE, NEAR, View


def snow(v: View) -> None:
  """A mountain, firs and white slopes."""
  v.sky((126, 186, 240), (208, 232, 252), 0.6)
  v.heaven()
  x = v.x(0.2 + v.layout, FAR)
  v.pen.polygon([(x - 0.4, 0.64), (x, 0.2), (x + 0.4, 0.64)], (150, 172, 204))
  v.pen.polygon(
      [(x - 0.13, 0.343), (x, 0.2), (x + 0.13, 0.343), (x + 0.04, 0.31),
       (x - 0.03, 0.36)], WHITE)
  v.hills(0.55, 0.03, 1, FAR, (224, 236, 250))
  for _, x in v.row(3, MIDDLE):
    {"first": _fir, "second": _snowman, "third": _hut}[v.look.kind](v, x)
  v.hills(0.72, 0.02, 1, NEAR, (250, 252, 255))


def _fir(v: View, x: float) -> None:
  for k in range(3):
    y, width = 0.62 - 0.1 * k, 0.115 - 0.025 * k
    v.pen.polygon(
        [(x - width, y), (x, y - 0.17), (x + width, y)],
        v.tint((38, 110, 88), 0.65, 0.5))


def _snowman(v: View, x: float) -> None:
  colour = v.tint((230, 60, 60), 0.8, 0.8)
  for y, r in ((0.62, 0.085), (0.49, 0.06)):
    v.pen.oval(x, y, r, r, (246, 248, 255), 0.012)
  v.pen.line([(x - 0.05, 0.545), (x + 0.05, 0.545)], colour, 0.035)
  v.pen.polygon(
      [(x - 0.06, 0.45), (x - 0.045, 0.37), (x + 0.045, 0.37),
       (x + 0.06, 0.45)], colour)
  for dx in (-0.022, 0.022):
    v.pen.oval(x + dx, 0.485, 0.011, 0.011, INK)


def _hut(v: View, x: float) -> None:
  wall = v.tint((150, 98, 56), 0.55, 0.66)
  v.pen.polygon(
      [(x - 0.1, 0.7), (x - 0.1, 0.48), (x + 0.1, 0.48), (x + 0.1, 0.7)], wall)
  v.pen.polygon(
      [(x - 0.14, 0.49), (x, 0.34), (x + 0.14, 0.49)], (236, 242, 252), 0.012)
  v.glow.polygon(
      [(x - 0.035, 0.6), (x - 0.035, 0.52), (x + 0.035, 0.52),
       (x + 0.035, 0.6)], mix(wall, (255, 236, 150), 0.75))
