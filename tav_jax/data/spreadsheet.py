"""Tables as spreadsheets write them: CSV of any of its habits."""

from collections.abc import Iterator, Sequence
import csv
import io
import pathlib
import re
from typing import Any

from tav_jax.data import texts
from tav_jax.errors import InputError

_SEPARATORS = ",;\t"  # Where a comma is for decimals, Excel writes ";".


def read(
    path: pathlib.Path, columns: Sequence[str]
) -> Iterator[tuple[str, dict[str, str]]]:
  """Yields each row's place in the file, "FILE line 3", and its fields.

  Fields are without spaces around them, empty fields are left out, and so are
  rows without any. What separates fields is seen from the first row, or said by
  a first line `sep=;`. Columns that need no name may be empty throughout.

  Args:
    path: The file, in UTF-8 or with a byte order mark.
    columns: Names that the first row must have, in any case of letters.

  Raises:
    InputError: If the file is no such table; it names the line.
  """
  text = texts.read(path, f"a table of {', '.join(columns)}")
  skipped, separators = 0, _SEPARATORS
  if said := re.match(r"sep=([^\w\s\"]|\t)\r?\n", text, re.I):
    skipped, separators = text.count("\n", 0, said.end()), said[1]
    text = text[said.end():]
  known = {column.lower(): column for column in columns}

  def named(separator: str) -> list[str]:
    try:
      fields = next(_rows(path, text, separator, skipped), ("", []))[1]
    except InputError:  # Quotes that are none with another separator.
      return []
    return [known.get(field.lower(), field) for field in fields]

  separator = max(separators, key=lambda s: len(set(columns) & {*named(s)}))
  rows = _rows(path, text, separator, skipped)
  next(rows, None)
  names = named(separator)
  _check(path, names, columns)
  for where, fields in rows:
    if any(fields[len(names):]) or any(
        field and not name
        for name, field in zip(names, fields, strict=False)):
      raise InputError(
          f"{where}: it has more fields than there are columns; put a field "
          f"with {separator!r} into quotes")
    yield where, {
        name: field for name, field in zip(names, fields, strict=False)
        if field}


def _rows(
    path: pathlib.Path, text: str, separator: str, skipped: int
) -> Iterator[tuple[str, list[str]]]:
  """Yields place and fields of every row that is not empty."""
  reader: Any = csv.reader(
      io.StringIO(text, newline=""), delimiter=separator,
      skipinitialspace=True, strict=True)
  while True:
    where = f"{path} line {reader.line_num + skipped + 1}"
    try:
      fields = [field.strip() for field in next(reader)]
    except StopIteration:
      return
    except csv.Error as error:
      why = ("a quote (\") is opened and never closed"
             if "end of data" in str(error) else error)
      raise InputError(
          f"{where}: it cannot be read ({why}); expected a text with quotes "
          'in it as "so ""quoted"" here"') from error
    if any(fields):
      yield where, fields


def _check(
    path: pathlib.Path, names: Sequence[str], columns: Sequence[str]
) -> None:
  """Raises an InputError unless each column is there, once."""
  places: dict[str, int] = {}
  for place, name in enumerate(names, 1):
    if name and places.setdefault(name, place) != place:
      raise InputError(
          f"{path}: columns {places[name]} and {place} are both called "
          f"{name!r}; expected each once")
  missing = [column for column in columns if column not in names]
  if missing:
    there = ", ".join(map(repr, filter(None, names)))[:300] or "nothing"
    raise InputError(
        f"{path}: no column {missing[0]!r}; its first row has {there}; "
        f"expected {', '.join(columns)} there, with commas, semicolons or tabs "
        "between them")
