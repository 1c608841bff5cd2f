"""Where a run's time went."""

from collections import Counter
import contextlib
import time

import jax

_COMPILATION = "/jax/core/compile/backend_compile_duration"


class Clock:
  """Seconds by phase; an inner phase's are not the outer's too."""

  def __init__(self):
    self._seconds = Counter()
    self._compiling = 0.0
    self._running = []
    self._since = time.monotonic()
    jax.monitoring.register_event_duration_secs_listener(self._listen)

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
    phases = ", ".join(f"{k} {v:.0f} s" for k, v in self._seconds.items())
    return f"{phases}; XLA compilation was {self._compiling:.0f} s of it"

  def _switch(self) -> None:
    now = time.monotonic()
    if self._running:
      self._seconds[self._running[-1]] += now - self._since
    self._since = now

  def _listen(self, event: str, seconds: float, **_) -> None:
    if event == _COMPILATION:
      self._compiling += seconds
