r"""Scores of an edited video against the true one (uint8 `f h w c` both).

  PSNR, SSIM          mean over frames (Wang et al., IEEE TIP 2004)
  motion error        mean over pixels and steps of |u - u*|, in pixels,  (1)
                      u and u* the optical flow of the two from frame i to i+1
  preservation        PSNR to the *source* where the true edit changes nothing;
                      None if it leaves less than a twentieth of the pixels
"""

import itertools

import numpy as np
from skimage import color, metrics, registration

from tav_jax.measures.psnr import psnr

_SAME = 8  # Of 255: differences that the eye does not see.
_LEAST = 0.05


def scores(
    edited: np.ndarray, truth: np.ndarray, source: np.ndarray
) -> dict[str, float | None]:
  """All four scores."""
  return {
      "PSNR": float(np.mean([
          psnr(a, b) for a, b in zip(edited, truth, strict=True)])),
      "SSIM": float(np.mean([
          metrics.structural_similarity(a, b, channel_axis=-1)
          for a, b in zip(edited, truth, strict=True)])),
      "motion error": motion_error(edited, truth),
      "preservation": preservation(edited, truth, source),
  }


def motion_error(edited: np.ndarray, truth: np.ndarray) -> float:
  """Eq. (1)."""
  apart = _flow(edited) - _flow(truth)
  return float(np.mean(np.linalg.norm(apart, axis=1)))


def preservation(
    edited: np.ndarray, truth: np.ndarray, source: np.ndarray
) -> float | None:
  """PSNR of what should not have changed, in dB."""
  change = np.abs(truth.astype(int) - source).max(axis=-1)
  same = change <= _SAME
  return psnr(edited[same], source[same]) if same.mean() >= _LEAST else None


def _flow(frames: np.ndarray) -> np.ndarray:
  """Optical flow from each frame to the next, `f-1 2 h w`, in pixels."""
  grey = color.rgb2gray(frames)
  return np.stack([
      registration.optical_flow_tvl1(a, b)
      for a, b in itertools.pairwise(grey)])
