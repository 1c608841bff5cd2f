"""Plots as SVG."""

from collections.abc import Sequence
import io

import matplotlib
from matplotlib.figure import Figure

from tav_jax.measures.intervals import Mean
from tav_jax.reports import table


def means(rows: Sequence[table.Row]) -> str:
  """A panel for each mean: every row's, with its 95 % interval.

  Args:
    rows: What `scoring.summary` returns for one key, such as "system".

  Returns:
    An `<svg>` element.
  """
  first, *others = rows[0]
  scores = [key for key in others if isinstance(rows[0][key], Mean)]
  names = [row[first] for row in rows]
  across = min(4, len(scores))
  down = -(-len(scores) // across)
  figure = Figure(
      figsize=(2.2 + 2.3 * across, (0.8 + 0.27 * len(names)) * down),
      layout="constrained")
  axes = figure.subplots(down, across, sharey=True, squeeze=False).ravel()
  places = range(len(names))
  for ax, score in zip(axes, scores, strict=False):
    for place, row in zip(places, rows, strict=True):
      mean = row[score]
      if not isinstance(mean, Mean) or mean.mean is None:
        continue
      half = None if mean.high is None else mean.high - mean.mean
      ax.errorbar(
          mean.mean, place, xerr=half, fmt="o", markersize=4, capsize=2,
          color=f"C{place % 10}")
    ax.set_title(score, fontsize=9)
    ax.tick_params(labelsize=8)
    ax.grid(axis="x", alpha=0.3)
  for ax in axes[len(scores):]:
    ax.set_visible(False)
  axes[0].set_yticks(list(places), names)
  for label in axes[0].get_yticklabels():
    label.set_parse_math(False)  # A name may have dollars.
  axes[0].invert_yaxis()
  file = io.StringIO()
  # Text as text, and the same file for the same numbers.
  with matplotlib.rc_context({
      "svg.fonttype": "none", "svg.hashsalt": "tav_jax"}):
    figure.savefig(file, format="svg", metadata={"Date": None})
  text = file.getvalue()
  return text[text.index("<svg"):]
