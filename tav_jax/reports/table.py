"""Tables of results as markdown, CSV and JSON."""

from collections.abc import Callable, Mapping, Sequence
import csv
import json
import pathlib
import re

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

  Texts are data: in the CSV an apostrophe stands before one that a spreadsheet
  would compute, in the markdown every mark is escaped; the JSON has them as
  they are.

  Args:
    directory: Directory of the files.
    name: Name of the files, before the dot.
    rows: All with the same keys, in the columns' order.
    cell: Formats a number in markdown.
  """
  with atomic.replacing(directory / f"{name}.json") as partial:
    partial.write_text(json.dumps(rows, indent=2) + "\n")
  with (atomic.replacing(directory / f"{name}.csv") as partial,
        partial.open("w", newline="", encoding="utf-8") as file):
    # All texts in quotes, since some spreadsheets divide at semicolons.
    writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(rows[0])
    writer.writerows(map(_inert, row.values()) for row in rows)
  with atomic.replacing(directory / f"{name}.md") as partial:
    partial.write_text(markdown(rows, cell), encoding="utf-8")


def _inert(value):
  """A text that a spreadsheet takes for no formula."""
  formula = isinstance(value, str) and re.match(
      "\\s*[=+@\\-\uff1d\uff0b\uff20\uff0d]|[\\t\\r\\n]", value)
  return f"'{value}" if formula else value


def escape(text: str) -> str:
  """Markdown that shows the text itself, on one line."""
  text = " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", text).split())
  return re.sub(r"[\\`*\[\]<>|~&$]|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", text)


def markdown(
    rows: Sequence[Row], cell: Callable[[float], str] = percent
) -> str:
  """A markdown table; `cell` formats its numbers."""
  lines = [list(rows[0]), ["---"] * len(rows[0])]
  lines += [
      [cell(value) if isinstance(value, float)
       else "-" if value is None
       else escape(value) if isinstance(value, str) else str(value)
       for value in row.values()] for row in rows]
  return "".join(f"| {' | '.join(line)} |\n" for line in lines)
