"""Confidence intervals of means over videos.

With n draws of mean m and standard deviation s, Student's interval

  m -+ t s / sqrt(n),   t the 97.5 % quantile with n - 1 degrees of freedom,

covers the true mean in 95 % of samples for every n, if draws are normal. (A
percentile bootstrap of eight draws covers it in 90 %.) Draws have to be
independent: first average the values that belong to one video.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats


class Mean(NamedTuple):
  """A mean with the ends of its 95 % interval and the number of draws.

  Of one draw there is no interval, of no draw no mean: these fields are None.
  """

  mean: float | None
  low: float | None
  high: float | None
  n: int

  def __str__(self) -> str:
    if self.mean is None:
      return "-"
    if self.low is None:
      return f"{self.mean:.2f} n={self.n}"
    return f"{self.mean:.2f} [{self.low:.2f}, {self.high:.2f}] n={self.n}"


def mean(values: Sequence[float]) -> Mean:
  """The mean of independent draws, such as one value a video."""
  draws = np.asarray(values, np.float64)
  n = len(draws)
  if not n:
    return Mean(None, None, None, n)
  middle = float(draws.mean())
  if n == 1:
    return Mean(middle, None, None, n)
  half = float(stats.t.ppf(0.975, n - 1) * stats.sem(draws))
  return Mean(middle, middle - half, middle + half, n)
