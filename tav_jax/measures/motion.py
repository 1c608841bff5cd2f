r"""How a video moves, by itself and beside its source.

With u_i and v_i the flows (optical_flow.py) of the edited and of the source
video, in pixels, n frames, and e_i the edited frames, 0 to 255:

  flow error       mean over pixels and pairs of |u - v|, in pixels          (1)
  flow direction   mean of 1 - u.v / ((|u| + 1e-7) (|v| + 1e-7)), 0 to 2     (2)
  dynamic degree   100 if round(n / 4) pairs, at least one, or more move, else
                   0; a pair moves if the largest twentieth of its |u| is on
                   average longer than 6 min(h, w) / 256 pixels              (3)
  flicker          100 (1 - mean |e_i - e_{i-1}| / 255)                      (4)

(1) is minus the motion alignment of V2VBench (v2vbench/motion_alignment.py),
(2) FF-beta of EditBoard (editboard/ff_beta.py), (3) and (4) VBench's
(CVPR 2024; vbench/dynamic_degree.py at 8 frames a second, and
temporal_flickering.py), in per cent. Their flows are of GMFlow, Farneback and
RAFT, from each frame to the next, so values compare within this project only.

What wins trivially: the unedited source in (1) and (2), where less is better;
a still video in (4), where more is; noise in (3), which tells that a video
moves, and not how well. Where nothing moves, (2) says 1 or what noise has.
"""

import numpy as np

from tav_jax.measures.optical_flow import Flows, Frames, Masks

_MOVES, _OF = 6.0, 256  # Pixels a frame, of a picture of that size.
_LONGEST = 0.05
_PARALLEL = 1e-7


def flow_error(
    edited: Flows, other: Flows, where: Masks | None = None
) -> float | None:
  """Eq. (1); only at the pixels `where`, if given. None if there are none."""
  apart = np.linalg.norm(edited - other, axis=-1)
  if where is not None:
    apart = apart[where]
  return float(apart.mean()) if apart.size else None


def flow_direction(edited: Flows, source: Flows) -> float:
  """Eq. (2)."""
  length = lambda flow: np.linalg.norm(flow, axis=-1) + _PARALLEL
  cosine = np.einsum("nhwc,nhwc->nhw", edited, source) / (
      length(edited) * length(source))
  return float(np.mean(1 - cosine))


def dynamic_degree(flow: Flows) -> float:
  """Eq. (3): 100 or 0, whose mean over videos is the share that move."""
  height, width = flow.shape[1:3]
  lengths = np.sort(
      np.linalg.norm(flow, axis=-1).reshape(len(flow), -1), axis=-1)
  longest = lengths[:, -max(1, int(_LONGEST * height * width)):].mean(axis=-1)
  move = longest > _MOVES * min(height, width) / _OF
  needed = max(1, round(4 * (len(flow) + 1) / 16))
  return 100.0 if move.sum() >= needed else 0.0


def flicker(frames: Frames) -> float:
  """Eq. (4)."""
  apart = np.abs(np.diff(frames.astype(np.float32), axis=0))
  return float(100 * (1 - apart.mean() / 255))
