"""A lock on a directory, which one process at a time holds.

The kernel keeps it (`flock`) and drops it when the process ends, however it
ends. Linux extends it to all hosts of an NFS mount. Some network file systems
have no locks; a warning then says so.
"""

from collections.abc import Iterator
import contextlib
import errno
import fcntl
import json
import logging
import os
import pathlib
import socket
import sys

from tav_jax.errors import InputError

log = logging.getLogger(__name__)

NAME = ".lock"
_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


class Lock:
  """A directory's lock, held until `release` or until the process ends."""

  def __init__(self, directory: pathlib.Path, wait: bool = False):
    """Takes the lock.

    Args:
      directory: A directory that exists.
      wait: Whether to wait while another process holds it.

    Raises:
      InputError: If another process holds it; says which one.
      OSError: If the lock's file cannot be written.
    """
    self.directory = directory
    self._note = json.dumps({
        "pid": os.getpid(), "host": socket.gethostname(),
        "command": pathlib.Path(sys.argv[0]).stem,
        "out_of_memory": _out_of_memory()})
    self._file = self._take(wait)
    try:
      if killed := _killed(_read(self._file)):
        log.warning("%s: %s", directory, killed)
      os.ftruncate(self._file, 0)
      os.pwrite(self._file, self._note.encode(), 0)
    except BaseException:
      os.close(self._file)
      raise

  def _take(self, wait: bool) -> int:
    """Opens and locks the file, which its holder deletes at the end."""
    while True:
      file = os.open(
          self.directory / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
      try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
      except OSError as error:
        holder = _read(file)
        if error.errno not in _UNSUPPORTED:
          os.close(file)
        if isinstance(error, BlockingIOError):
          raise self._in_use(holder) from error
        if error.errno not in _UNSUPPORTED:
          raise
        log.warning(
            "%s: this file system has no locks (%s); take care that no other "
            "process writes there", self.directory, error.strerror)
      if os.fstat(file).st_nlink:
        return file
      os.close(file)  # The holder has deleted it since we opened it.

  def _in_use(self, holder: dict) -> InputError:
    pid, host = holder.get("pid"), holder.get("host")
    return InputError(
        f"{self.directory}: in use by process {pid} on {host} "
        f"({holder.get('command')}); wait until it ends, end it (kill {pid}) "
        "or name another directory")

  def check(self) -> None:
    """Raises an InputError if the directory was taken from us."""
    try:
      note = (self.directory / NAME).read_text()
    except (FileNotFoundError, NotADirectoryError):
      note = None
    if note != self._note:  # Inodes would not do; some mounts change them.
      raise InputError(
          f"{self.directory}: was deleted, moved or taken by another process "
          "while this one wrote there; put it back and the same command goes "
          "on, or it begins anew")

  def release(self) -> None:
    """Gives the lock back; a process that ends without it was killed."""
    with contextlib.suppress(OSError, InputError):
      self.check()  # Or it is another process's file.
      (self.directory / NAME).unlink()
    os.close(self._file)


@contextlib.contextmanager
def locked(directory: pathlib.Path, wait: bool = False) -> Iterator[None]:
  """Holds a directory's lock in the block; arguments as for `Lock`."""
  lock = Lock(directory, wait)
  try:
    yield
  finally:
    lock.release()


def _read(file: int) -> dict:
  try:
    found = json.loads(os.pread(file, 4096, 0))
    return found if isinstance(found, dict) else {}
  except ValueError:  # Empty, or the process was killed as it wrote.
    return {}


def _killed(before: dict) -> str | None:
  """What can be said of a process that never gave its lock back."""
  if "pid" not in before:
    return None
  text = (
      f"process {before['pid']} on {before.get('host')}, which used it last, "
      "was killed or its machine stopped")
  then, now = before.get("out_of_memory"), _out_of_memory()
  if before.get("host") == socket.gethostname() and (
      isinstance(then, int) and now is not None and now > then):
    text += (
        f"; the system has killed {now - then} process(es) here for lack of "
        "memory since then")
  return text


def _out_of_memory() -> int | None:
  """How many processes this machine has killed for lack of memory, on Linux."""
  with contextlib.suppress(OSError, ValueError):
    for line in pathlib.Path("/proc/vmstat").read_text().splitlines():
      name, _, count = line.partition(" ")
      if name == "oom_kill":
        return int(count)
  return None
