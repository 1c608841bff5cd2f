"""JSON lines: a file with an object of JSON on each line."""

from collections.abc import Iterator
import json
import pathlib
from typing import Any

from tav_jax.errors import InputError


def read(
    path: pathlib.Path, expected: str
) -> Iterator[tuple[str, dict[str, Any]]]:
  """Yields each object's place in the file, "FILE line 3", and the object.

  Only a line feed ends a line: a text may hold U+2028 and other characters at
  which `str.splitlines` would break it. Blank lines are passed over.

  Args:
    path: The file, in UTF-8.
    expected: What the error message names as expected.

  Raises:
    InputError: If the file cannot be read, or a line is not an object.
  """
  try:
    content = path.read_bytes()
  except OSError as error:
    raise InputError(
        f"{path}: cannot be read ({error.strerror}); expected {expected}"
    ) from error
  for number, line in enumerate(content.split(b"\n"), 1):
    if not line.strip():
      continue
    where = f"{path} line {number}"
    try:
      row = json.loads(line.decode("utf-8-sig"))
    except ValueError as error:
      raise InputError(
          f"{where}: not JSON ({error}); expected {expected}") from error
    if not isinstance(row, dict):
      raise InputError(f"{where}: not a JSON object; expected {expected}")
    yield where, row
