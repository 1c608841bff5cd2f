"""How far two pictures or videos are apart, in decibels."""

import math

import numpy as np
from skimage import metrics

# The PSNR of rounding to 8 bits, whose mean squared error is (1/255)^2 / 12.
_MOST = 10 * math.log10(12 * 255**2)


def psnr(a: np.ndarray, b: np.ndarray, span: float = 255.0) -> float:
  """Peak signal-to-noise ratio of two arrays: 58.9 dB at most.

  Errors smaller than that of rounding to 8 bits count as it, so that equal
  arrays have a finite value, which JSON can hold.

  Args:
    a: Pixels, such as uint8.
    b: Pixels of the same shape and type.
    span: Difference of the brightest and the darkest value that a pixel may
      have.
  """
  with np.errstate(divide="ignore"):
    found = metrics.peak_signal_noise_ratio(a, b, data_range=span)
  return float(min(found, _MOST))
