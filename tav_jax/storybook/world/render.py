"""A scene's picture."""

from jaxtyping import Bool, UInt8
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
from tav_jax.storybook.world.pen import COLOURS, Pen, WHITE
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


def without_subject(
    scene: Scene, size: int
) -> UInt8[np.ndarray, "size size 3"]:
  """Draws a scene without its subject and what the subject brings."""
  whole = FINER * size
  canvas = Image.new("RGB", (whole, whole))
  places.draw(
      canvas, Pen.whole(ImageDraw.Draw(canvas), whole, scene.zoom), scene)
  return styles.apply(canvas, scene.style, size)


def silhouette(scene: Scene, size: int) -> Bool[np.ndarray, "size size"]:
  """The pixels of which more than half is the subject or what it brings."""
  whole = FINER * size
  canvas = Image.new("RGB", (whole, whole))
  pen = Pen.whole(ImageDraw.Draw(canvas), whole, scene.zoom)
  _character(pen.lit(lambda colour: WHITE), scene)
  covered = canvas.convert("L").resize((size, size), Image.Resampling.BOX)
  return np.asarray(covered) > 127


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
