"""JSON lines: a file with an object of JSON on each line."""

from collections.abc import Iterator
import json
import math
import pathlib
from typing import Any

from tav_jax.data import texts
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
    InputError: If the file cannot be read, or a line is not an object of JSON
      (which knows no NaN and no infinity) with each key once.
  """
  for number, line in enumerate(texts.read(path, expected).split("\n"), 1):
    line = line.strip("\ufeff \t\r")
    if not line:
      continue
    where = f"{path} line {number}"
    row = loads(line, where, expected)
    if not isinstance(row, dict):
      raise InputError(f"{where}: not a JSON object; expected {expected}")
    yield where, row


def loads(text: str, where: str, expected: str) -> Any:
  """A value of JSON, whose numbers are finite and whose texts are Unicode.

  Args:
    text: The JSON.
    where: What the error message begins with.
    expected: What the error message names as expected.

  Raises:
    InputError: If it is something else.
  """
  try:
    value = json.loads(
        text, parse_constant=_no_constant, parse_float=_finite,
        object_pairs_hook=_once)
    if "\\ud" in text.lower():  # Two halves make a character, one does not.
      json.dumps(value, ensure_ascii=False).encode()
    if "\\u0000" in text:
      raise ValueError("a text has a zero character")
    return value
  except (ValueError, RecursionError) as error:
    raise InputError(
        f"{where}: not JSON ({_why(text, error)}); expected {expected}"
    ) from error


def _why(text: str, error: Exception) -> str:
  if isinstance(error, RecursionError):
    return "lists in lists in lists, too many"
  if isinstance(error, UnicodeEncodeError):
    return f"{error.object[error.start]!r} is half a character"
  if not isinstance(error, json.JSONDecodeError):
    return str(error)
  if text.startswith("[") and not text.endswith("]"):
    return "a list begins; leave out its brackets and the commas between lines"
  if text.endswith(","):
    return "a comma at the end; leave it out"
  if text[:error.pos].rstrip().endswith(",") or "trailing comma" in error.msg:
    return f"column {error.colno}: a comma with nothing after it; leave it out"
  return f"{error.msg}, column {error.colno}"


def _no_constant(name: str) -> None:
  raise ValueError(f"{name} is no number in JSON")


def _finite(text: str) -> float:
  if not math.isfinite(value := float(text)):
    raise ValueError(f"{text[:20]} is too large a number")
  return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
  found: dict[str, Any] = {}
  for key, value in pairs:
    if key in found:
      raise ValueError(f"{key!r} is there twice")
    found[key] = value
  return found
