"""Frames of a video with their times, and which of them a viewer sees when.

A video of a constant rate r has its frame i at time i / r. Of any other, what
counts is time: place i of the video shows the frame that is on the screen at
time i / r. A frame that comes less than half a place early or late is taken
for punctual, since files round their times.
"""

from collections.abc import Callable, Iterator, Sequence
import dataclasses
import itertools
import math
from typing import NamedTuple

import numpy as np
from PIL import Image

_HELD_PLACES = 10**7  # A frame is held for no more, whatever a file declares.
_FASTEST = 1000.0  # Frames a second.


@dataclasses.dataclass(frozen=True)
class Clip:
  """Some frames of a video.

  Attributes:
    frames: `f h w c`, uint8, RGB.
    fps: Frames a second at which the clip plays at the video's own speed.
  """

  frames: np.ndarray
  fps: float


class Frame(NamedTuple):
  """A frame that is decoded when it is asked for.

  Attributes:
    image: Gives the frame as a person sees it, but for its pixels' shape.
    pixel: Width of a pixel over its height, as displayed.
    time: Seconds at which it is first shown; None if the file does not say.
    seconds: How long it is shown, if it is the last; 0 if that is unknown.
  """

  image: Callable[[], Image.Image]
  pixel: float = 1.0
  time: float | None = None
  seconds: float = 0.0


class Source(NamedTuple):
  """A video that is about to be read.

  Attributes:
    frames: Its frames, in order.
    rate: Places a second; 0 if that is unknown.
    timed: Whether the frames' times say where they are seen; otherwise each
      has one place.
  """

  frames: Iterator[Frame]
  rate: float = 0.0
  timed: bool = False


def rate(
    times: Sequence[float], last: float, declared: Sequence[float]
) -> tuple[float, bool]:
  """The rate of a video, and whether it is variable.

  The rate is constant if the frames come one a place by the first rate that is
  declared, or else punctually by the mean one. A variable rate is the one that
  nine tenths of the frames keep or are slower than; as declared, if that is
  within a twentieth.

  Args:
    times: Seconds at which frames are shown, in order.
    last: How long the last one is shown; 0 if that is unknown.
    declared: What the file says of its rate; zeros count for nothing.
  """
  said = [x for x in declared if 0 < x <= _FASTEST]
  first = said[0] if said else 0.0
  if len(times) < 2 or times[-1] <= times[0]:
    return first or (min(_FASTEST, 1 / last) if last > 0 else 0.0), False
  mean = (len(times) - 1) / (times[-1] - times[0])
  for constant, jitter in ((first, 0.5), (mean, 0.1)):
    if 0 < constant <= _FASTEST and place(last, constant) <= 1 and all(
        abs((time - times[0]) * constant - i) < jitter
        for i, time in enumerate(times)):
      return constant, False
  gaps = sorted(
      x for x in [b - a for a, b in itertools.pairwise(times)] + [last]
      if x > 0)
  tenth = gaps[len(gaps) // 10]
  near = [x for x in gaps if 0.9 * tenth < x < 1.1 * tenth]  # But for rounding.
  usual = min(_FASTEST, len(near) / sum(near))
  return next((x for x in said if abs(x / usual - 1) < 0.05), usual), True


def place(time: float, rate: float) -> int:
  """The place from which on a frame is seen that comes at `time`."""
  return math.floor(time * rate + 0.5 + 1e-6)


def by_place(source: Source) -> Iterator[tuple[range, Frame]]:
  """Yields the places of each frame that is seen, in order without gaps.

  An error while frames are read is raised after the frames before it.
  """
  held: Frame | None = None
  origin, start, at, error = 0.0, 0, 0, None
  while True:
    try:
      frame = next(source.frames)
    except StopIteration:
      break
    except Exception as caught:
      error = caught
      break
    if held is None:
      origin = frame.time or 0.0
    elif not source.timed or frame.time is None:
      at = start + 1
    elif held.time is not None and frame.time >= held.time:
      at = max(start, place(frame.time - origin, source.rate))
    else:  # The clock was set back, or begins to run.
      at = start + 1
      origin = frame.time - at / source.rate
    if held is not None and at > start:
      yield range(start, min(at, start + _HELD_PLACES)), held
    held, start = frame, at
  if held is not None:
    end = start + 1
    if source.timed and held.time is not None and not error:
      end = max(end, place(held.time + held.seconds - origin, source.rate))
    yield range(start, min(end, start + _HELD_PLACES)), held
  if error:
    raise error
