"""Frames to write, uint8 `f h w c`: easy ones and hard ones."""

import numpy as np


def smooth(frames=6, height=48, width=64):
  """A moving gradient, which compresses well."""
  t, y, x = np.ogrid[:frames, :height, :width]
  channels = np.broadcast_arrays(
      120 + 100 * np.sin(x / 9 + t / 2), 3 * y + x, 200 - 2 * y + 8 * t)
  return np.stack(channels, -1).clip(0, 255).astype(np.uint8)


def noise(frames=6, height=48, width=64):
  shape = (frames, height, width, 3)
  return np.random.default_rng(0).integers(0, 256, shape, np.uint8)
