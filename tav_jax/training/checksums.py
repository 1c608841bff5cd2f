"""SHA-256 of every file of a directory, in the directory.

A file system or a disk may change bytes that were written, and compressed
arrays may then still be read, as other numbers. `sha256sum -c SHA256SUMS` reads
the same file.
"""

import hashlib
import pathlib

NAME = "SHA256SUMS"


def write(directory: pathlib.Path) -> None:
  """Writes the sums of all files there."""
  (directory / NAME).write_text("".join(
      f"{digest}  {name}\n" for name, digest in _sums(directory).items()))


def difference(directory: pathlib.Path) -> str | None:
  """Says which file is not as it was when the sums were written.

  Returns:
    One file and what is wrong with it. None if all are as they were, or if
    there are no sums, as in directories written before there were any.
  """
  file = directory / NAME
  try:
    if not file.exists():
      return None
    lines = file.read_bytes().decode(errors="replace").splitlines()
    there = _sums(directory)
  except OSError as error:
    return f"{error.filename or directory}: {error.strerror}"
  written = {name: digest for digest, _, name in (
      line.partition("  ") for line in lines)}
  for name in sorted(written | there):
    if name not in there:
      return f"{name!r} is missing"
    if name not in written:
      return f"{name} was not there when it was written"
    if written[name] != there[name]:
      return f"{name} has other bytes than were written"
  return None


def _sums(directory: pathlib.Path) -> dict[str, str]:
  """Hexadecimal SHA-256 by path, of all files but the sums and hidden ones."""
  found = {}
  for path in sorted(directory.rglob("*")):
    if path.is_file() and path.name != NAME and not path.name.startswith("."):
      with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
      found[path.relative_to(directory).as_posix()] = digest
  return found
