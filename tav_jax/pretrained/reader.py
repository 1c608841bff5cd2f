"""Reads a config file and passes over nothing in it.

A setting is either a field of ours, or must have the one value that our
networks implement, or is unknown, which is an error. So no setting that would
change what is computed is passed over.
"""

from collections.abc import Collection, Mapping
from typing import Any

from tav_jax.errors import InputError


class Reader:
  """Reads a config's keys, and knows in the end which were not read."""

  def __init__(self, values: Mapping[str, Any], source: str):
    self.values = {k: v for k, v in values.items() if not k.startswith("_")}
    self.source = source

  def get(self, key: str, default: Any) -> Any:
    """The value of a key, or the default if it is missing or null."""
    value = self.values.pop(key, None)
    return default if value is None else value

  def nullable(self, key: str, default: Any) -> Any:
    """The value of a key, which may be null, or the default if missing."""
    return self.values.pop(key, default)

  def fixed(self, expected: Mapping[str, Any]) -> None:
    """Checks settings of which only one value is implemented."""
    for key, value in expected.items():
      self.check(key, self.get(key, value) in (value, [value]), f"{value!r}")

  def check(self, key: str, good: bool, expected: str) -> None:
    """Raises InputError if a setting is not `good`."""
    if not good:
      raise InputError(
          f"{self.source}: {key} is not supported as set there; expected "
          f"{expected}")

  def finish(self, ignored: Collection[str], models: str) -> None:
    """Refuses keys that were not read, if set and not among the `ignored`."""
    for key, value in self.values.items():
      self.check(
          f"{key}={value!r}",
          key in ignored or value in (None, False),
          f"no such setting: {models} do not have it")
