"""Files and directories that appear when they are complete."""

from collections.abc import Iterator
import contextlib
import os
import pathlib
import shutil


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
  """Where to write what takes the place of `path` at the end of the block.

  If the block raises or the process is killed, `path` stays as it was, and
  what was written is removed by the next block for it. A file is replaced in
  one operation. A directory is moved aside first, so that for a moment there is
  none; killed in that moment, the next block puts it back.

  Args:
    path: A file or a directory; need not exist, nor its parent.

  Yields:
    A path beside it, where nothing is.
  """
  path = pathlib.Path(path)
  partial, old = (
      path.with_name(path.name + ending) for ending in (".partial", ".old"))
  path.parent.mkdir(parents=True, exist_ok=True)
  if old.exists() and not path.exists():
    old.rename(path)
  for left in (partial, old):
    _remove(left)
  yield partial
  if path.is_dir():
    path.rename(old)
  partial.replace(path)
  _remove(old)


def _remove(path: pathlib.Path) -> None:
  if path.is_dir():
    shutil.rmtree(path)
  else:
    path.unlink(missing_ok=True)
