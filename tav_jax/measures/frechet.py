r"""The Fréchet distance of two sets of clips, by their features.

Of Gaussians with the means m, m' and the covariances C, C' of the features
(Heusel et al., arXiv 1706.08500, Eq. 6):

  d^2 = |m - m'|^2 + tr(C + C' - 2 (C C')^(1/2)).                        (1)

With X the n centred features over sqrt(n - 1), C = X^T X. The eigenvalues of
C C' are the squares of the singular values of X X'^T, so that

  tr (C C')^(1/2) = sum of the singular values of X X'^T,                (2)

and any R with C = R^T R will do for X. So no root of C C' is taken, which for
fewer samples than dimensions is singular. What is called FID is d^2, of another
network's features.

Fitted to few samples, d^2 is too large, also between two sets of the same
kind: covariances of n samples differ by chance. So both sides must have as many
clips, and a distance is read beside that of true clips to other true clips of
the same captions, which is what a perfect model would get.

Intervals are d^2 -+ t s, with s the standard deviation of d^2 over draws of
captions with replacement (the bootstrap); a caption brings its clips on both
sides, with all their frames. They say how much the value at this number of
clips is due to the captions, not where that of infinitely many lies. (The
bootstrap's percentiles would not do: a draw repeats clips, so its d^2 is more
biased.)
"""

from collections.abc import Callable

from jaxtyping import Float
import numpy as np
from scipy import stats

from tav_jax.measures.intervals import Mean

_DRAWS = 100

Features = Float[np.ndarray, "_ _ e"]
"""Some features of each of some clips, of any number."""


def distance(
    a: Float[np.ndarray, "n e"], b: Float[np.ndarray, "m e"]
) -> float:
  """Eq. (1), of two samples or more a side; 0 for equal sets."""
  means, spreads = zip(*map(_fit, (a, b)), strict=True)
  common = np.linalg.svd(spreads[0] @ spreads[1].T, compute_uv=False).sum()
  own = sum(np.square(spread).sum() for spread in spreads)
  apart = np.square(means[0] - means[1]).sum()
  return max(0.0, float(apart + own - 2 * common))


def to_true(clips: Features, true: Features) -> Mean:
  """Eq. (1) between clips and true clips of the same captions, in order."""
  return _bootstrap(
      lambda some: _distance(clips[some], true[some]), len(clips))


def difference(first: Features, second: Features, true: Features) -> Mean:
  """By how much the first clips are farther from the true ones.

  Args:
    first: Features of a system's clips.
    second: Those of another system's clips of the same captions, in order.
    true: Those of true clips of these.
  """
  return _bootstrap(
      lambda some: _distance(first[some], true[some]) - _distance(
          second[some], true[some]), len(first))


def _distance(a: Features, b: Features) -> float:
  return distance(*(x.reshape(-1, x.shape[-1]) for x in (a, b)))


def _fit(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """The mean, and an R with R^T R the covariance."""
  samples = samples.astype(np.float64)
  mean = samples.mean(axis=0)
  centred = samples - mean
  # Not by QR, whose threads take a hundred times as long on busy cores.
  values, vectors = np.linalg.eigh(centred.T @ centred / (len(samples) - 1))
  return mean, np.sqrt(values.clip(0))[:, None] * vectors.T


def _bootstrap(value: Callable[[np.ndarray], float], count: int) -> Mean:
  """A function of numbers of captions, with its interval over draws of these.
  """
  middle = value(np.arange(count))
  if count < 2:
    return Mean(middle, None, None, count)
  rng = np.random.default_rng(0)
  drawn = [value(rng.integers(count, size=count)) for _ in range(_DRAWS)]
  half = float(stats.t.ppf(0.975, count - 1) * np.std(drawn, ddof=1))
  return Mean(middle, middle - half, middle + half, count)
