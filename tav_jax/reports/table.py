"""Tables of results as markdown, CSV and JSON."""

from collections.abc import Callable, Mapping, Sequence
import csv
import json
import pathlib

from tav_jax.data import atomic
from tav_jax.measures.intervals import Mean

Row = Mapping[str, str | float | Mean | None]


def percent(share: float) -> str:
  """A share in [0, 1] as a percentage."""
  return f"{100 * share:.1f} %"


def write(
    directory: pathlib.Path,
    name: str,
    rows: Sequence[Row],
    cell: Callable[[float], str] = percent,
) -> None:
  """Writes `name`.md, .csv and .json, each whole or not at all.

  Args:
    directory: Directory of the files.
    name: Name of the files, before the dot.
    rows: All with the same keys, in the columns' order.
    cell: Formats a number in markdown.
  """
  with atomic.replacing(directory / f"{name}.json") as partial:
    partial.write_text(json.dumps(rows, indent=2) + "\n")
  with (atomic.replacing(directory / f"{name}.csv") as partial,
        partial.open("w", newline="") as file):
    writer = csv.DictWriter(file, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
  with atomic.replacing(directory / f"{name}.md") as partial:
    partial.write_text(markdown(rows, cell))


def markdown(
    rows: Sequence[Row], cell: Callable[[float], str] = percent
) -> str:
  """A markdown table; `cell` formats its numbers."""
  lines = [list(rows[0]), ["---"] * len(rows[0])]
  lines += [
      [cell(value) if isinstance(value, float)
       else "-" if value is None else str(value)
       for value in row.values()] for row in rows]
  return "".join(f"| {' | '.join(line)} |\n" for line in lines)
