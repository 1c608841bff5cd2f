"""Optical flow: where each pixel of a frame was in the frame before.

A flow `f-1 h w 2` has for every pixel of frames 2 to f how far right and down,
in pixels, it has to be followed to arrive at the same thing one frame earlier.
"""

import itertools

from jaxtyping import Bool, Float, UInt8
import numpy as np
from PIL import Image
from scipy import ndimage
from skimage import color, registration

Frames = UInt8[np.ndarray, "f h w 3"]
Flows = Float[np.ndarray, "n h w 2"]
"""One for each pair of neighbours: n = f - 1."""
Masks = Bool[np.ndarray, "n h w"]


_LARGEST = 256


def reduced(frames: Frames) -> UInt8[np.ndarray, "f _ _ 3"]:
  """The frames, with their shorter side of 256 pixels if it was longer.

  Flows are estimated at that size and are in its pixels, so that those of large
  videos compare, and do not take hours.
  """
  height, width = frames.shape[1:3]
  by = _LARGEST / min(height, width)
  if by >= 1:
    return frames
  size = round(width * by), round(height * by)
  return np.stack([
      np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BOX))
      for frame in frames])


def estimate(frames: Frames) -> Flows:
  """The flow by TV-L1 (Zach, Pock and Bischof, DAGM 2007), of scikit-image.

  It needs no network, and 0.03 seconds a pair at 64x64 pixels, 0.07 at 96x96,
  0.5 at 256x256, 2 at 512x512 on one core. How it compares with the true flow
  of drawn clips: docs/storybook_edit.md.
  """
  grey = color.rgb2gray(frames)
  return np.stack([
      np.moveaxis(registration.optical_flow_tvl1(now, before)[::-1], 0, -1)
      for before, now in itertools.pairwise(grey)])


def warp(frames: Frames, flow: Flows) -> Float[np.ndarray, "n h w 3"]:
  """The frames 2 to f as the flow fetches them from the frames before."""
  return np.stack([
      np.stack([
          ndimage.map_coordinates(
              channel.astype(np.float32), _places(moved), order=1,
              mode="nearest")
          for channel in np.moveaxis(before, -1, 0)], axis=-1)
      for before, moved in zip(frames[:-1], flow, strict=True)])


def inside(flow: Flows) -> Masks:
  """Which pixels the flow fetches from inside of the picture."""
  height, width = flow.shape[1:3]
  rows, columns = np.stack([_places(moved) for moved in flow], axis=1)
  return (
      (rows >= 0) & (rows <= height - 1) &
      (columns >= 0) & (columns <= width - 1))


def _places(moved: np.ndarray) -> np.ndarray:
  """Row and column where each pixel was, `2 h w`."""
  return np.indices(moved.shape[:2]) + np.moveaxis(moved[..., ::-1], -1, 0)
