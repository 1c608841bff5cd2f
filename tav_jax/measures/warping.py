r"""Whether an edited video moves as its source does, pixel by pixel.

With e_i the edited and s_i the source frames, 0 to 255, u_i the *source's* flow
from frame i to frame i-1 (optical_flow.py) and W_u(e)(x) = e(x + u(x)):

  obeyed_i = {x: grey |s_i - W_u(s_{i-1})| <= 5, x + u_i(x) in the picture} (1)
  valid_i = {x in obeyed_i: |u_i(x)| >= 1/2}                                (2)
  warping error = mean over i of the mean over valid_i of
                  max over channels of |e_i - W_u(e_{i-1})|                 (3)

With obeyed_i for valid_i this is FF-alpha of EditBoard (AAAI 2025,
editboard/ff_alpha.py). There a still video is perfect wherever the source
stands still, and so beats edits that move well and flicker a little. The flow
differs, too: there it is Farneback's from frame i-1 to i, its sign changed. If
few pixels are valid, this says None; there, 0, the best value. Grey is rounded,
as in eight bits. In grey levels; less is better.

What wins trivially: a video of one colour, and the unedited source. A still
video does not: it disagrees with the source's flow wherever that counts.
"""

import numpy as np

from tav_jax.measures.optical_flow import Flows, Frames, inside, Masks, warp

_OBEYED = 5  # Of 255.
_MOVES = 0.5  # Pixels.
_LEAST = 0.01  # Of the pixels.
_GREY = np.array([0.299, 0.587, 0.114], np.float32)


def obeyed(source: Frames, flow: Flows) -> Masks:
  """Eq. (1): where the source obeys its own flow."""
  apart = np.rint(np.abs(source[1:] - warp(source, flow))) @ _GREY
  return inside(flow) & (np.rint(apart) <= _OBEYED)


def valid(source: Frames, flow: Flows) -> Masks:
  """Eq. (2): where it also moves."""
  return obeyed(source, flow) & (np.linalg.norm(flow, axis=-1) >= _MOVES)


def warping_error(
    edited: Frames, flow: Flows, where: Masks
) -> float | None:
  """Eq. (3).

  Args:
    edited: The edited video.
    flow: The source's flow, true or estimated.
    where: Where it counts: `valid`, perhaps without what a true flow knows to
      be hidden. Pairs of frames without any such pixel do not count.

  Returns:
    The error, or None if it counts at less than a hundredth of all pixels.
  """
  if where.mean() < _LEAST:
    return None
  apart = np.abs(edited[1:] - warp(edited, flow)).max(axis=-1)
  return float(np.mean([
      pair[counts].mean() for pair, counts in zip(apart, where, strict=True)
      if counts.any()]))
