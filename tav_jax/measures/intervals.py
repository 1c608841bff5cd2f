"""How sure a mean over prompts is."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats


class Mean(NamedTuple):
  """A mean with the ends of its 95 % bootstrap interval.

  They are None if there is but one value, and all are if there is none.
  """

  mean: float | None
  low: float | None
  high: float | None

  def __str__(self) -> str:
    if self.mean is None:
      return "-"
    if self.low is None:
      return f"{self.mean:.2f}"
    return f"{self.mean:.2f} [{self.low:.2f}, {self.high:.2f}]"


def mean(values: Sequence[float], seed: int = 0) -> Mean:
  """The mean of values, one a prompt, and how it varies from sample to sample.

  A percentile bootstrap of 10,000 resamples, the same for a seed.
  """
  values = np.asarray(values, np.float64)
  if not len(values):
    return Mean(None, None, None)
  if len(values) < 2:
    return Mean(float(values.mean()), None, None)
  ends = stats.bootstrap(
      (values,), np.mean, n_resamples=10_000, method="percentile",
      rng=np.random.default_rng(seed)).confidence_interval
  return Mean(float(values.mean()), float(ends.low), float(ends.high))
