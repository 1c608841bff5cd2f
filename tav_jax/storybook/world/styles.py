"""Styles: from the canvas, some times too large, to the finished picture.

Each is one function `(pixels float32 h w 3, 0 to 255) -> the same`, at twice
the size of the picture.
"""

from jaxtyping import Float, UInt8
import numpy as np
from PIL import Image, ImageFilter

_PAPER = np.array([255, 252, 244], np.float32)
_GRAPHITE, _NIGHT = 56.0, np.array([12, 4, 30], np.float32)

Pixels = Float[np.ndarray, "h w 3"]


def sketch(pixels: Pixels) -> Pixels:
  """Coloured pencil: dark lines, pale colours."""
  pale = _PAPER * (0.52 + 0.48 * pixels / 255)
  line = np.clip(_edges(pixels) / 110, 0, 1)
  return pale * (1 - line) + _GRAPHITE * line


def neon(pixels: Pixels) -> Pixels:
  """Lines of light in the picture's colours, on a dim picture."""
  low = pixels.min(-1, keepdims=True)
  vivid = np.clip((pixels - 0.75 * low) * 2.2 + 25, 0, 255)
  vivid = _filtered(vivid, ImageFilter.MaxFilter(5))
  tubes = vivid * np.clip(_edges(pixels) / 140, 0, 1)
  glow = _filtered(tubes, ImageFilter.GaussianBlur(3))
  return _NIGHT + 0.34 * pixels + 0.95 * tubes + 0.8 * glow


TABLE = {"sketch style": sketch, "neon style": neon}


def apply(
    canvas: Image.Image, style: str, size: int
) -> UInt8[np.ndarray, "size size 3"]:
  """The picture of a canvas in a style; "" is plain."""
  if style:
    twice = canvas.resize((2 * size, 2 * size), Image.Resampling.BOX)
    canvas = _image(TABLE[style](np.asarray(twice, np.float32)))
  return np.asarray(canvas.resize((size, size), Image.Resampling.BOX))


def _edges(pixels: Pixels) -> Float[np.ndarray, "h w 1"]:
  """Strength of the strongest channel's central difference."""
  dx, dy = np.zeros_like(pixels), np.zeros_like(pixels)
  dx[:, 1:-1] = pixels[:, 2:] - pixels[:, :-2]
  dy[1:-1] = pixels[2:] - pixels[:-2]
  return np.hypot(dx, dy).max(-1, keepdims=True)


def _filtered(pixels: Pixels, kind) -> Pixels:
  return np.asarray(_image(pixels).filter(kind), np.float32)


def _image(pixels: Pixels) -> Image.Image:
  return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
