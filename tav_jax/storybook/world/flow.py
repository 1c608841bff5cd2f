"""The true optical flow between two scenes of a clip.

Both scenes are drawn by the same strokes in the same order: polygons, discs and
the segments of lines. A pixel belongs to the stroke that is on top there, and
moves as that stroke's corners do.
"""

import itertools
from typing import NamedTuple

from jaxtyping import Bool, Float, Int
import numpy as np
from PIL import Image, ImageDraw

from tav_jax.storybook.world.pen import Pen
from tav_jax.storybook.world.render import draw, FINER
from tav_jax.storybook.world.scene import Scene

Corners = Float[np.ndarray, "n 2"]


class Flow(NamedTuple):
  """Where the pixels of one picture are in another.

  Attributes:
    flow: How far each pixel moves, right and down, in pixels, `h w 2`.
    visible: Which pixels are still visible, `h w`.
  """

  flow: Float[np.ndarray, "h w 2"]
  visible: Bool[np.ndarray, "h w"]


def flow(a: Scene, b: Scene, size: int = 64) -> Flow:
  """The flow from scene a to scene b of the same clip, `size` pixels square.

  Raises:
    ValueError: If the scenes are not drawn by the same strokes.
  """
  before, after = _Strokes(a, size), _Strokes(b, size)
  if [len(c) for c in before.corners] != [len(c) for c in after.corners]:
    raise ValueError("expected two scenes of one clip, with the same strokes")
  motions = np.stack([
      _motion(p, q)
      for p, q in zip(before.corners, after.corners, strict=True)])
  middle = FINER // 2
  owner = before.owner[middle::FINER, middle::FINER]
  y, x = FINER * np.indices((size, size)) + middle
  here = np.stack([x, y, np.ones_like(x)], -1).astype(float)
  there = np.einsum("hwij,hwj->hwi", motions[owner], here)
  column, row = np.round(there).astype(int).transpose(2, 0, 1)
  visible = np.zeros((size, size), bool)
  padded = np.pad(after.owner, 1, constant_values=-1)
  inside = (
      (row >= 0) & (row < FINER * size) & (column >= 0) &
      (column < FINER * size))
  for dy in range(3):  # Strokes are drawn to the nearest canvas pixel.
    for dx in range(3):
      found = padded[
          np.where(inside, row + dy, 0), np.where(inside, column + dx, 0)]
      visible |= inside & (found == owner)
  return Flow(((there - here[..., :2]) / FINER).astype(np.float32), visible)


class _Strokes:
  """Records a pen's strokes in place of a canvas.

  Attributes:
    corners: Corners of each stroke; the first stroke is the background.
    owner: Number of the stroke that is on top at each canvas pixel.
  """

  corners: list[Corners]
  owner: Int[np.ndarray, "H W"]

  def __init__(self, scene: Scene, size: int):
    whole = FINER * size
    image = Image.new("I", (whole, whole))
    self._image = ImageDraw.Draw(image)
    pen = Pen.whole(self, whole, scene.zoom)
    corner = (1 - scene.zoom) / 2 * whole
    far = corner + scene.zoom * whole
    self.corners = [np.array(
        [(corner, corner), (far, corner), (far, far), (corner, far)])]
    draw(Image.new("RGB", (whole, whole)), pen, scene)
    self.owner = np.asarray(image)

  def polygon(self, points, fill) -> None:
    del fill
    self._image.polygon(points, fill=len(self.corners))
    self.corners.append(np.array(points))

  def line(self, points, fill, width, joint) -> None:
    del fill
    for start, end in itertools.pairwise(points):
      pair = [start, end]
      self._image.line(pair, fill=len(self.corners), width=width, joint=joint)
      self.corners.append(np.array(pair))

  def ellipse(self, box, fill) -> None:
    del fill
    self._image.ellipse(box, fill=len(self.corners))
    self.corners.append(np.array(
        [((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)]))


def _motion(p: Corners, q: Corners) -> Float[np.ndarray, "2 3"]:
  """The affine motion that takes corners p to q, by least squares.

  One corner gives a translation, two a translation, a turn and a zoom.
  """
  if len(p) == 1:
    return np.concatenate([np.eye(2), (q - p).T], axis=1)
  if len(p) == 2:  # Complex numbers turn and zoom by multiplication.
    (a, b), (c, d) = p @ [1, 1j], q @ [1, 1j]
    by = (d - c) / (b - a) if abs(b - a) > 1e-9 else 1.0 + 0j
    shift = c - by * a
    return np.array([[by.real, -by.imag, shift.real],
                     [by.imag, by.real, shift.imag]])
  ones = np.ones((len(p), 1))
  return np.linalg.lstsq(np.concatenate([p, ones], 1), q, rcond=None)[0].T
