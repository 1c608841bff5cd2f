"""What orbax's threads say of arrays still in flight when one has failed."""

from collections.abc import Iterator
import contextlib
import sys
import time

_SECONDS = 0.5  # Until the last one has ended.


@contextlib.contextmanager
def left_out() -> Iterator[None]:
  """Leaves that out in the block, and nothing else.

  orbax closes its event loop at the first array that it cannot write or read.
  Threads of other arrays then find the loop closed, and Python prints a
  traceback for each, beside the error that the block raises.
  """
  before = sys.unraisablehook

  def hook(unraisable):
    if str(unraisable.exc_value) != "Event loop is closed":
      before(unraisable)

  sys.unraisablehook = hook
  try:
    yield
  except Exception:
    time.sleep(_SECONDS)
    raise
  finally:
    sys.unraisablehook = before
