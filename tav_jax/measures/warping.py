r"""Whether an edited video moves as its source does, pixel by pixel.

With e_i the edited and s_i the source frames, 0 to 255, u_i the *source's* flow
from frame i to frame i-1 (optical_flow.py) and W_u(e)(x) = e(x + u(x)):

  valid_i = {x: grey |s_i - W_u(s_{i-1})| <= 5, x + u_i(x) in the picture} (1)
  warping error = mean over i of the mean over valid_i of
                  max over channels of |e_i - W_u(e_{i-1})|                (2)

That is FF-alpha of EditBoard (AAAI 2025, editboard/ff_alpha.py) with another
flow: there it is Farneback's from frame i-1 to i, its sign changed. If few
pixels are valid, this says None; there, 0, the best value. Grey is rounded, as
in eight bits. In grey levels; less is better.

What wins trivially: a video of one colour, and the unedited source. A still
video does not: it disagrees with the source's flow wherever the source moves.
"""

import numpy as np

from tav_jax.measures.optical_flow import Flows, Frames, inside, Masks, warp

_OBEYED = 5  # Of 255.
_LEAST = 0.05  # Of the pixels.
_GREY = np.array([0.299, 0.587, 0.114], np.float32)


def obeyed(source: Frames, flow: Flows) -> Masks:
  """Eq. (1): where the source obeys its own flow."""
  apart = np.rint(np.abs(source[1:] - warp(source, flow))) @ _GREY
  return inside(flow) & (np.rint(apart) <= _OBEYED)


def warping_error(
    edited: Frames, flow: Flows, valid: Masks
) -> float | None:
  """Eq. (2).

  Args:
    edited: The edited video.
    flow: The source's flow, true or estimated.
    valid: Where it counts: `obeyed`, perhaps without what a true flow knows to
      be hidden. Pairs of frames without any such pixel do not count.

  Returns:
    The error, or None if less than a twentieth of all pixels is valid.
  """
  if valid.mean() < _LEAST:
    return None
  apart = np.abs(edited[1:] - warp(edited, flow)).max(axis=-1)
  return float(np.mean([
      pair[counts].mean() for pair, counts in zip(apart, valid, strict=True)
      if counts.any()]))
