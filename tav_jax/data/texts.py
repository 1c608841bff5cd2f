"""Text files as editors and spreadsheets write them."""

import codecs
import os
import pathlib

from tav_jax.errors import InputError

_MARKS = {  # UTF-32's begins with UTF-16's, so it comes first.
    codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8-sig"}
_MOST = 1 << 28  # Bytes; a million long rows.
_UTF8 = "expected UTF-8 (a spreadsheet calls it 'CSV UTF-8')"


def read(path: pathlib.Path, expected: str, most: int = _MOST) -> str:
  """The text of a file in UTF-8, or in what its byte order mark says.

  Args:
    path: The file.
    expected: What the error message names as expected.
    most: Bytes that it may have.

  Raises:
    InputError: If it cannot be read as text.
  """
  if not os.path.isfile(path):  # Nor a pipe, which may never end.
    raise InputError(f"{path}: no such file; expected {expected}")
  try:
    if (size := path.stat().st_size) > most:
      raise InputError(
          f"{path}: it has {size} bytes; expected {expected}, of {most} or "
          "fewer")
    content = path.read_bytes()
  except OSError as error:
    raise InputError(
        f"{path}: cannot be read ({error.strerror}); expected {expected}"
    ) from error
  mark = next((mark for mark in _MARKS if content.startswith(mark)), b"")
  if content.startswith(b"PK\3\4"):
    raise InputError(
        f"{path}: it is a zip file, as .xlsx and .ods are; save the table as "
        "'CSV UTF-8'")
  if not mark and b"\0" in content:
    raise InputError(
        f"{path}: it has zero bytes, so it is no text, or UTF-16 without a "
        f"byte order mark; {_UTF8}")
  try:
    text = content.decode(_MARKS.get(mark, "utf-8"))
  except UnicodeDecodeError as error:
    if mark:
      raise InputError(
          f"{path}: it is no {error.encoding} ({error.reason}), which its byte "
          "order mark says it is; it may be cut short") from error
    line = content.count(b"\n", 0, error.start) + 1
    raise InputError(
        f"{path} line {line}: it is not UTF-8 (byte "
        f"0x{content[error.start]:02x}), but perhaps Latin-1 or Windows-1252; "
        f"{_UTF8}; iconv -f WINDOWS-1252 -t UTF-8 converts it") from error
  if "\0" in text:
    line = text.count("\n", 0, text.index("\0")) + 1
    raise InputError(
        f"{path} line {line}: it has a zero character; expected text")
  return text.lstrip("\ufeff")
