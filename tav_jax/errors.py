"""The error that a user can mend."""

from collections.abc import Iterator
import contextlib


class InputError(ValueError):
  """Bad input: names the value, what was expected and what to do.

  Entry points print its message, without a traceback, and exit with code 2.
  """


@contextlib.contextmanager
def about(what: str) -> Iterator[None]:
  """Puts `what`, such as a config's section, before InputErrors of the block.

  Rooms below the runs name their own arguments; the caller knows the key.
  """
  try:
    yield
  except InputError as error:
    raise InputError(f"{what}{error}") from error
