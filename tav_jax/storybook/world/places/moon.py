"""On the moon."""

from tav_jax.storybook.world.pen import WHITE
from tav_jax.storybook.world.places.view import FAR, NEAR, View


def moon(v: View) -> None:
  """Stars, the Earth, grey ground with craters."""
  v.sky((10, 10, 34), (30, 28, 70), 0.7)
  for i, x in v.row(7, 0.3 * FAR):
    r = 0.012 + 0.005 * (i % 2)
    v.glow.oval(x, 0.06 + 0.5 * (i * 3 % 7) / 7, r, r, (255, 255, 236))
  x = v.x(0.2 + v.layout, FAR) if v.look.sun is None else v.look.sun
  v.glow.oval(x, 0.18, 0.12, 0.12, (62, 132, 226))
  v.glow.oval(x - 0.03, 0.15, 0.055, 0.04, (88, 190, 104), turn=0.5)
  v.glow.oval(x + 0.05, 0.23, 0.04, 0.028, (88, 190, 104))
  v.hills(0.62, 0.03, 1, FAR, (128, 128, 142))
  if v.look.tint is not None:
    for x in v.things(0.0, 3):
      {"first": _crystals, "second": _dome, "third": _rocket}[v.look.kind](v, x)
  v.hills(0.69, 0.02, 1, NEAR, (186, 186, 196))
  for i, x in v.row(4, NEAR):
    y = 0.8 + 0.07 * (2 * i % 3)
    v.pen.oval(x, y, 0.08, 0.032, (142, 142, 156))
    v.pen.oval(x, y + 0.008, 0.062, 0.022, (160, 160, 172))


def _crystals(v: View, x: float) -> None:
  colour = v.tint(WHITE, 0.5, 0.9)
  for dx, lean, height in (
      (-0.05, -0.05, 0.16), (0.05, 0.05, 0.2), (0, 0, 0.27)):
    v.pen.polygon(
        [(x + dx - 0.035, 0.72), (x + dx + lean, 0.72 - height),
         (x + dx + 0.035, 0.72)], colour, 0.01)


def _dome(v: View, x: float) -> None:
  v.pen.oval(x, 0.7, 0.12, 0.15, v.tint(WHITE, 0.45, 0.8))
  for dx in (-0.05, 0.05):
    v.glow.oval(x + dx, 0.63, 0.022, 0.03, (255, 240, 180))


def _rocket(v: View, x: float) -> None:
  colour = v.tint(WHITE, 0.75, 0.85)
  v.pen.polygon(
      [(x - 0.1, 0.73), (x, 0.56), (x + 0.1, 0.73)], colour)
  v.pen.oval(x, 0.57, 0.05, 0.14, (232, 234, 240))
  v.pen.polygon([(x - 0.035, 0.48), (x, 0.4), (x + 0.035, 0.48)], colour)
  v.glow.oval(x, 0.55, 0.02, 0.022, (90, 190, 250))
