"""The error that a user can mend."""

from collections.abc import Iterator
import contextlib
import errno
import os
import re


class InputError(ValueError):
  """Bad input: names the value, what was expected and what to do.

  Entry points print its message, without a traceback, and exit with code 2.
  """


def one_line(error: BaseException) -> str:
  """The message of any error, without line ends."""
  text = error.args[0] if isinstance(error, KeyError) else error
  return " ".join(str(text).split())


@contextlib.contextmanager
def about(what: str) -> Iterator[None]:
  """Puts `what`, such as a config's section, before InputErrors of the block.

  Rooms below the runs name their own arguments; the caller knows the key.
  """
  try:
    yield
  except InputError as error:
    raise InputError(f"{what}{error}") from error


def printable(message: str) -> str:
  """A message as it is printed: only a list in it has lines of its own.

  What a name may hold beside letters (a line end, commands to a terminal) is
  shown as its code. Of a value that is very long, the middle is left out.
  """
  if len(message) > _MOST:
    message = f"{message[:_MOST // 2]} ... {message[-_MOST // 2:]}"
  return re.sub(
      r"\n(?!  )|[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]",
      lambda match: ascii(match[0])[1:-1], message)


_MOST = 3000  # Characters of a message.
_ADVICE = {
    errno.ENOSPC: "free some space there",
    errno.EDQUOT: "free some of your quota there",
    errno.EFBIG: "raise the limit on the size of a file (ulimit -f)",
    errno.EROFS: "make it writable",
    errno.EACCES: "give this user the permission",
    errno.EPERM: "give this user the permission",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
    errno.ENAMETOOLONG: "shorten it",
    errno.ENOENT: "it was deleted or moved; put it back",
    errno.ENOTDIR: "it was deleted or moved; put it back",
}


def from_system(error: BaseException, where: object) -> InputError | None:
  """What to tell a user of an operation that the system refused.

  Tensorstore and safetensors raise errors of their own, with the system's
  number in the message: "(os error 28)", "[os_error_code='28']".

  Args:
    error: Any error.
    where: The place, where the error itself names no file.

  Returns:
    The error in one line with advice; None if it is not the system's.
  """
  code = error.errno if isinstance(error, OSError) else None
  if code is None and (found := re.search(
      r"\bos_error_code='(\d+)|\(os error (\d+)\)", str(error))):
    code = int(found[1] or found[2])
  if code is None:
    return None
  place = getattr(error, "filename", None) or where
  place = os.fsdecode(place) if isinstance(place, bytes) else place
  advice = _ADVICE.get(code, "see to that")
  return InputError(
      f"{place}: {os.strerror(code)}; {advice}, and the same command goes on "
      "where it was")
