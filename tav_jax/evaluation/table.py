"""Tables of results as markdown, CSV and JSON."""

from collections.abc import Mapping, Sequence
import csv
import json
import pathlib

Row = Mapping[str, str | float]


def write(directory: pathlib.Path, name: str, rows: Sequence[Row]) -> None:
  """Writes `name`.md, .csv and .json.

  Args:
    directory: Where to.
    name: Of the files.
    rows: All with the same keys, in the columns' order; shares in [0, 1].
  """
  (directory / f"{name}.json").write_text(json.dumps(rows, indent=2) + "\n")
  with (directory / f"{name}.csv").open("w", newline="") as file:
    writer = csv.DictWriter(file, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
  (directory / f"{name}.md").write_text(markdown(rows))


def markdown(rows: Sequence[Row]) -> str:
  """A table with shares in percent."""
  lines = [list(rows[0]), ["---"] * len(rows[0])]
  lines += [[_cell(value) for value in row.values()] for row in rows]
  return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(value: str | float) -> str:
  return value if isinstance(value, str) else f"{100 * value:.1f} %"
