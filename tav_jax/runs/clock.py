"""Where a run's time went."""

from collections import defaultdict
import contextlib
import functools
import time

import jax

_COMPILATION = "/jax/core/compile/backend_compile_duration"


class Clock:
  """Seconds by phase; those of an inner phase do not count for the outer."""

  def __init__(self):
    self._seconds: dict[str, float] = defaultdict(float)
    self._compiled_before = sum(_compiled().values())
    self._running: list[str] = []
    self._since = time.monotonic()

  @contextlib.contextmanager
  def __call__(self, phase: str):
    """Counts what runs inside as `phase`."""
    self._switch()
    self._running.append(phase)
    try:
      yield
    finally:
      self._switch()
      self._running.pop()

  def __str__(self) -> str:
    """`loading 5 s, tuning 60 s; XLA compilation was 20 s of it`."""
    compiling = sum(_compiled().values()) - self._compiled_before
    phases = ", ".join(f"{k} {v:.0f} s" for k, v in self._seconds.items())
    return f"{phases}; XLA compilation was {compiling:.0f} s of it"

  def _switch(self) -> None:
    now = time.monotonic()
    if self._running:
      self._seconds[self._running[-1]] += now - self._since
    self._since = now


@functools.cache
def _compiled() -> dict[str, float]:
  """Seconds that XLA has compiled since this was first called.

  One listener of JAX's events serves all clocks of the process.
  """
  seconds: dict[str, float] = defaultdict(float)

  def listen(event: str, duration_secs: float, **_: str | int) -> None:
    if event == _COMPILATION:
      seconds[event] += duration_secs

  jax.monitoring.register_event_duration_secs_listener(listen)
  return seconds
