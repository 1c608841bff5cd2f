"""How far two pictures or videos are apart, in decibels."""

import math

import numpy as np

_LEAST = 1 / 12  # Mean square error of rounding to whole numbers.


def psnr(a: np.ndarray, b: np.ndarray) -> float:
  """Peak signal-to-noise ratio of two uint8 arrays: 58.9 dB at most.

  A mean square error below that of rounding to 8 bits counts as that, so that
  equal arrays have a number too.
  """
  error = np.mean((a.astype(np.float64) - b) ** 2)
  return 10 * math.log10(255**2 / max(error, _LEAST))
