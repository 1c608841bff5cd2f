"""On the grass."""

from tav_jax.storybook.world.places.view import cloud, FAR, NEAR, View


def grass(v: View) -> None:
  """Clouds, a tree, meadows with flowers."""
  v.sky((120, 198, 250), (214, 240, 252), 0.6)
  if v.look.sun is None:
    for i, x in v.row(2, FAR):
      cloud(v.pen, x, 0.13 + 0.09 * i)
  v.heaven()
  v.hills(0.54, 0.05, 1, FAR, (140, 206, 100))
  for x in v.things(0.1, 2):
    {"first": _tree, "second": _poplar, "third": _orchard}[v.look.kind](v, x)
  v.hills(0.66, 0.02, 1, NEAR, (94, 184, 70))
  for i, x in v.row(5, NEAR):
    colour = (v.tint((255, 110, 150), 0.7, 1.0), (255, 255, 255))[i % 2]
    y = 0.76 + 0.05 * (2 * i % 5)
    v.pen.oval(x, y, 0.024, 0.024, colour)
    v.pen.oval(x, y, 0.01, 0.01, (250, 180, 40))


def _trunk(v: View, x: float, top: float) -> None:
  v.pen.polygon(
      [(x - 0.028, 0.68), (x - 0.02, top), (x + 0.02, top),
       (x + 0.028, 0.68)], (124, 80, 48))


def _tree(v: View, x: float) -> None:
  _trunk(v, x, 0.42)
  for dx, y, r in ((-0.07, 0.41, 0.09), (0.07, 0.41, 0.09), (0, 0.33, 0.11)):
    v.pen.oval(x + dx, y, r, 0.9 * r, v.tint((44, 140, 62), 0.65, 0.66))


def _poplar(v: View, x: float) -> None:
  _trunk(v, x, 0.5)
  v.pen.oval(x, 0.39, 0.065, 0.21, v.tint((70, 130, 60), 0.7, 0.58))


def _orchard(v: View, x: float) -> None:
  _trunk(v, x, 0.42)
  v.pen.oval(x, 0.38, 0.15, 0.13, (58, 142, 70))
  for dx, dy in ((-0.08, 0.02), (0.01, -0.07), (0.08, 0), (0, 0.06)):
    v.pen.oval(x + dx, 0.38 + dy, 0.03, 0.03, v.tint((226, 50, 50), 0.8, 1.0))
