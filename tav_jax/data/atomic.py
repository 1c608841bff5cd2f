"""Files and directories that appear when they are complete."""

from collections.abc import Iterator
import contextlib
import os
import pathlib
import shutil


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
  """Gives a path to write to, which replaces `path` at the end of the block.

  If the block raises, `path` stays as it was and what was written is removed;
  if the process is killed, the next call for `path` removes it. A file is
  replaced in one operation. A directory is moved aside first, so that for a
  moment there is none; if the process is killed in that moment, the next call
  puts the old one back.

  Args:
    path: A file or a directory; neither it nor its parent need exist.

  Yields:
    A path beside `path`, where nothing exists yet.
  """
  path = pathlib.Path(path)
  partial, old = (
      path.with_name(path.name + ending) for ending in (".partial", ".old"))
  path.parent.mkdir(parents=True, exist_ok=True)
  if old.exists() and not path.exists():
    old.rename(path)
  for left in (partial, old):
    _remove(left)
  try:
    yield partial
    if path.is_dir():
      path.rename(old)
    partial.replace(path)
  except BaseException:
    with contextlib.suppress(OSError):  # Of a disk that fails, say.
      _remove(partial)
    raise
  _remove(old)


def delete(directory: pathlib.Path) -> None:
  """Deletes a directory, which is whole or gone if the process is killed."""
  aside = directory.with_name(directory.name + ".deleted")
  _remove(aside)
  directory.rename(aside)
  _remove(aside)


def _remove(path: pathlib.Path) -> None:
  if path.is_dir() and not path.is_symlink():
    shutil.rmtree(path)
  else:
    path.unlink(missing_ok=True)
