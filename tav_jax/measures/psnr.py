"""How far two pictures or videos are apart, in decibels."""

import math

import numpy as np
from skimage import metrics

# Of an error as small as that of rounding to 8 bits, (1/255)^2 / 12.
_MOST = 10 * math.log10(12 * 255**2)


def psnr(a: np.ndarray, b: np.ndarray, span: float = 255.0) -> float:
  """Peak signal-to-noise ratio of two arrays: 58.9 dB at most.

  Errors below that of rounding to 8 bits count as that one, so that equal
  arrays have a number, which JSON can hold.

  Args:
    a: Pixels, such as uint8.
    b: Pixels of the same shape and type.
    span: From the darkest to the brightest value that a pixel may have.
  """
  with np.errstate(divide="ignore"):
    found = metrics.peak_signal_noise_ratio(a, b, data_range=span)
  return float(min(found, _MOST))
