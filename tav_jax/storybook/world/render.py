"""A scene's picture."""

from jaxtyping import UInt8
import numpy as np
from PIL import Image, ImageDraw

from tav_jax.storybook.world import (
  clothes,
  fabric,
  light,
  places,
  poses,
  props,
  styles,
)
from tav_jax.storybook.world.pen import COLOURS, Pen
from tav_jax.storybook.world.scene import Scene
from tav_jax.storybook.world.subjects import TABLE as SUBJECTS

FINER = 3
"""Canvas pixels a picture's pixel, along each side."""


def render(scene: Scene, size: int = 64) -> UInt8[np.ndarray, "size size 3"]:
  """Draws a scene, `size` pixels high and wide."""
  whole = FINER * size
  canvas = Image.new("RGB", (whole, whole))
  draw(canvas, Pen.whole(ImageDraw.Draw(canvas), whole, scene.zoom), scene)
  return styles.apply(canvas, scene.style, size)


def draw(canvas: Image.Image, pen: Pen, scene: Scene) -> None:
  """Draws a scene without its style, with a pen that has the scene's zoom."""
  places.draw(canvas, pen, scene)
  _character(pen.lit(light.of(scene.look.time, 0.3)), scene)


def _character(p: Pen, scene: Scene) -> None:
  """The subject with what it wears and what its verb brings."""
  look = scene.look
  pose = poses.POSES[scene.verb](scene.phase)
  subject = SUBJECTS[scene.subject]
  ground = p.at(scene.x, scene.y, scene.scale, flip=scene.facing)
  behind, before = props.TABLE[scene.verb]
  behind(ground, scene.phase, pose.lift, look)
  body = ground.at(0, -pose.lift, subject.height, pose.lean)
  colour = (
      fabric.toned(look, COLOURS[scene.colour], 0.4) if scene.colour
      else fabric.toned(look, subject.natural))
  subject.draw(body, pose, colour, look)
  if scene.wearing:
    clothes.wear(body, scene.wearing, look)
  before(ground, scene.phase, pose.lift, look)
