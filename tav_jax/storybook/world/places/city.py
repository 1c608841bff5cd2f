"""In the city."""

import numpy as np

from tav_jax.storybook.world.pen import mix
from tav_jax.storybook.world.places.view import FAR, MIDDLE, NEAR, View


def city(v: View) -> None:
  """Two rows of houses and a road."""
  v.sky((150, 178, 212), (222, 226, 234), 0.6)
  v.heaven()
  for i, x in v.row(6, FAR):
    top = 0.26 + 0.09 * (i * 2 % 3)
    v.pen.polygon(
        [(x, 0.7), (x, top), (x + 0.2, top), (x + 0.2, 0.7)], (150, 158, 182))
  walls = ((172, 104, 92), (92, 108, 142), (138, 130, 130))
  for i, x in v.row(5, MIDDLE):
    top, wall = 0.36 + 0.08 * (i * 2 % 3), v.tint(walls[i % 3], 0.45, 0.68)
    v.pen.polygon([(x, 0.7), (x, top), (x + 0.22, top), (x + 0.22, 0.7)], wall)
    window = mix(wall, (255, 236, 150), 0.75)
    for a in (x + 0.03, x + 0.09, x + 0.15):
      for b in np.arange(top + 0.05, 0.62, 0.1):
        if v.look.kind == "second":
          v.glow.oval(a + 0.02, b + 0.025, 0.026, 0.03, window)
          continue
        height = 0.05 if v.look.kind == "first" else 0.085
        v.glow.polygon(
            [(a, b), (a + 0.04, b), (a + 0.04, b + height), (a, b + height)],
            window)
  for y, colour in ((0.66, (186, 184, 184)), (0.73, (88, 90, 100))):
    v.pen.polygon([(0, y), (1, y), (1, 1.01), (0, 1.01)], colour)
  for _, x in v.row(4, NEAR):
    v.pen.polygon(
        [(x, 0.93), (x + 0.16, 0.93), (x + 0.15, 0.96), (x - 0.01, 0.96)],
        (240, 240, 240))
