r"""Whether what an edit leaves is left (uint8 `f h w c`, masks `f h w`).

With U the unedited pixels, and a U the picture a, black elsewhere:

  unedited PSNR   PSNR over the pixels of U in all frames                  (1)
  unedited SSIM   mean over U of the SSIM map of a U and b U               (2)
  masked PSNR     mean over frames of PSNR(a U, b U), whole pictures       (3)
  masked SSIM     mean over frames and pixels of the map of (2)            (4)

(3) and (4) are of PIE-Bench (ICLR 2024, evaluation/matrics_calculator.py in
cure-lab/PnPInversion), where the black part counts as kept: the more is edited,
the better their values. (1) and (2) do not depend on how much is edited. PSNR
in dB; SSIM in per cent, with the Gaussian window of 11x11 pixels of Wang et al.
(IEEE TIP 2004), also at the border. What wins trivially: the unedited source.
"""

from jaxtyping import Bool
import numpy as np
from skimage import metrics

from tav_jax.measures.optical_flow import Frames
from tav_jax.measures.psnr import psnr

_LEAST = 0.05  # Of the pixels.


def preservation(
    edited: Frames, source: Frames, unedited: Bool[np.ndarray, "f h w"]
) -> dict[str, float | None]:
  """Eqs. (1) to (4), None if less than a twentieth of all pixels is unedited.
  """
  names = "unedited PSNR", "unedited SSIM", "masked PSNR", "masked SSIM"
  if unedited.mean() < _LEAST:
    return dict.fromkeys(names)
  black = lambda frames: frames * unedited[..., None]
  pairs = list(zip(black(edited), black(source), strict=True))
  maps = np.stack([_ssim_map(a, b) for a, b in pairs])
  values = (
      psnr(edited[unedited], source[unedited]),
      100 * float(maps[unedited].mean()),
      float(np.mean([psnr(a, b) for a, b in pairs])),
      100 * float(maps.mean()))
  return dict(zip(names, values, strict=True))


def _ssim_map(a: np.ndarray, b: np.ndarray) -> np.ndarray:
  """SSIM of two pictures around every pixel, `h w c`."""
  _, similarity = metrics.structural_similarity(
      a, b, channel_axis=-1, gaussian_weights=True, sigma=1.5,
      use_sample_covariance=False, full=True)
  return similarity
