"""The places. Each is one function `(view)` that fills the canvas.

Things scroll with the scene's `pan`, near things faster than far ones, and come
back on the other side. `view.layout`, 0 to 1, shifts them. The repeated things
of a place (trees, houses, corals) have one kind and one tint.
"""

from PIL import Image

from tav_jax.storybook.world import light
from tav_jax.storybook.world.pen import Pen
from tav_jax.storybook.world.places import (
  beach,
  city,
  grass,
  moon,
  sea,
  snow,
)
from tav_jax.storybook.world.places.view import View
from tav_jax.storybook.world.scene import Scene

_LAYOUTS = 4

TABLE = {
    "on the snow": snow.snow,
    "on the beach": beach.beach,
    "on the grass": grass.grass,
    "in the city": city.city,
    "on the moon": moon.moon,
    "under the sea": sea.sea,
}


def draw(canvas: Image.Image, pen: Pen, scene: Scene) -> None:
  """Fills the canvas with the scene's place, drawn by a pen of its size."""
  TABLE[scene.place](View(
      canvas=canvas,
      pen=pen.lit(light.of(scene.look.time)),
      glow=pen,
      look=scene.look,
      layout=(scene.seed % _LAYOUTS / _LAYOUTS + scene.look.layout) % 1,
      pan=scene.pan,
      phase=scene.phase,
      zoom=scene.zoom))
