"""Reads a config file: every value is checked, and no key is passed over.

A setting is either a field of ours, or must have a value that means what our
networks do, or is unknown, which is an error. So no setting that would change
what is computed is passed over, and no number that would ask for gigabytes, or
that is none, comes further than here.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from tav_jax.errors import InputError

_SHOWN = 60  # Characters of a value in an error.


class Kind(NamedTuple):
  """What a setting may be.

  Attributes:
    name: Its words in errors, after "expected".
    accepts: Whether a value of JSON is of this kind.
  """

  name: str
  accepts: Callable[[Any], bool]


FLAG = Kind("true or false", lambda x: isinstance(x, bool))
TEXT = Kind("a text", lambda x: isinstance(x, str))
OBJECT = Kind("an object {...}", lambda x: isinstance(x, Mapping))


def integer(low: int, high: int) -> Kind:
  """A whole number in a range; neither `3.0`, `"3"` nor `true` is one."""
  return Kind(
      f"a whole number from {low} to {high}",
      lambda x: type(x) is int and low <= x <= high)


def number(low: float | int, high: float | int) -> Kind:
  """A finite number in a range."""
  return Kind(
      f"a number from {low:g} to {high:g}",
      lambda x: type(x) in (int, float) and low <= x <= high)


def choice(*values: Any) -> Kind:
  """One of these."""
  return Kind(
      " or ".join(map(repr, values)),
      lambda x: any(
          x == v and isinstance(x, bool) == isinstance(v, bool)
          for v in values))


def listed(kind: Kind, low: int, high: int) -> Kind:
  """A list of `low` to `high` values of a kind."""
  length = f"{low}" if low == high else f"{low} to {high}"
  return Kind(
      f"a list of {length} values, each {kind.name}",
      lambda x: isinstance(x, list | tuple) and low <= len(x) <= high
      and all(map(kind.accepts, x)))


def either(*kinds: Kind) -> Kind:
  """Of one of these kinds."""
  return Kind(
      ", or ".join(kind.name for kind in kinds),
      lambda x: any(kind.accepts(x) for kind in kinds))


def all_of(*values: Any) -> Kind:
  """One of these values, or a list of nothing else (one value a level)."""
  same = choice(*values)
  return Kind(same.name, lambda x: same.accepts(x) or (
      isinstance(x, list | tuple) and len(x) > 0 and all(map(same.accepts, x))))


SIZE = integer(1, 16384)
"""Pixels, channels, the width of a layer."""
EPSILON = number(1e-12, 0.5)


class Reader:
  """Reads a config's keys, and knows in the end which were not read."""

  def __init__(self, values: Mapping[str, Any], source: str):
    self.values = {k: v for k, v in values.items() if not k.startswith("_")}
    self.source = source

  def get(self, key: str, kind: Kind, default: Any) -> Any:
    """The value of a key, or the default if it is missing or null."""
    value = self.values.pop(key, None)
    if value is None:
      return default
    self.check(key, value, kind.accepts(value), kind.name)
    return value

  def nullable(self, key: str, kind: Kind, default: Any) -> Any:
    """The value of a key, which may be null, or the default if missing."""
    if key in self.values and self.values[key] is None:
      return self.values.pop(key)
    return self.get(key, kind, default)

  def fixed(self, kinds: Mapping[str, Kind]) -> None:
    """Checks settings of which only one meaning is implemented."""
    for key, kind in kinds.items():
      self.get(key, kind, None)

  def check(self, key: str, value: Any, good: bool, expected: str) -> None:
    """Raises InputError if a setting is not `good`."""
    if not good:
      raise InputError(
          f"{self.source}: {key} is {shown(value)}; expected {expected}")

  def finish(self, ignored: Collection[str], models: str) -> None:
    """Refuses keys that were not read, if set and not among the `ignored`."""
    for key, value in self.values.items():
      if key not in ignored and value not in (None, False):
        raise InputError(
            f"{self.source}: {key}={shown(value)} is not supported; expected "
            f"no such setting: {models} do not have it")


def shown(value: Any) -> str:
  """A value in an error: on one line, and not too long for it."""
  text = repr(value)
  return text if len(text) <= _SHOWN else text[:_SHOWN - 4] + " ..."

