"""What a compiled program needs: memory, operations, traffic, messages."""

from collections import Counter
from collections.abc import Mapping
import math
import re
import time
from typing import NamedTuple

import jax

from tav_jax.planning.chips import Chip

_KINDS = (
    "all-reduce", "all-gather", "reduce-scatter", "all-to-all",
    "collective-permute")
_COLLECTIVE = re.compile(rf"= (.*?) ({'|'.join(_KINDS)})(-start)?\(")
_ARRAY = re.compile(r"\b(pred|[a-z]+\d+)\[([\d,]*)\]")
_BITS = re.compile(r"\d+")


class Costs(NamedTuple):
  """Of one run of a program, on each device.

  Attributes:
    arguments: Bytes of arguments, parameters among them.
    temporaries: Bytes beside those and the results, at the most at a time.
    memory: Bytes of all together.
    flops: Operations.
    traffic: Bytes read from and written to the device's memory.
    collectives: Bytes that messages between devices bring, by kind.
    messages: How many there are, by kind.
    seconds: What compiling took.
  """

  arguments: float
  temporaries: float
  memory: float
  flops: float
  traffic: float
  collectives: Mapping[str, float]
  messages: Mapping[str, int]
  seconds: float

  def roofline(self, chip: Chip) -> tuple[float, str]:
    """Seconds at the chip's peak rates, and which of them is the bound."""
    times = {
        "compute": self.flops / chip.flops,
        "memory": self.traffic / chip.bandwidth}
    bound = max(times, key=times.get)
    return times[bound], bound


def of(lowered: jax.stages.Lowered) -> Costs:
  """Compiles a program and reads what it costs."""
  started = time.monotonic()
  compiled = lowered.compile()
  memory, cost = compiled.memory_analysis(), compiled.cost_analysis() or {}
  collectives, messages = read_collectives(compiled.as_text())
  return Costs(
      arguments=memory.argument_size_in_bytes,
      temporaries=memory.temp_size_in_bytes,
      memory=memory.argument_size_in_bytes + memory.temp_size_in_bytes
      + memory.output_size_in_bytes - memory.alias_size_in_bytes,
      flops=cost.get("flops", 0.0), traffic=cost.get("bytes accessed", 0.0),
      collectives=collectives, messages=messages,
      seconds=time.monotonic() - started)


def read_collectives(hlo: str) -> tuple[Counter, Counter]:
  """Bytes and number of the collectives in a program's text, by kind."""
  moved, messages = Counter(), Counter()
  for line in hlo.splitlines():
    match = _COLLECTIVE.search(line)
    if match:
      result, kind, start = match.groups()
      sizes = [_bytes(*array) for array in _ARRAY.findall(result)]
      # An asynchronous one gives its argument beside its result.
      moved[kind] += max(sizes) if start else sum(sizes)
      messages[kind] += 1
  return moved, messages


def _bytes(dtype: str, shape: str) -> float:
  bits = 8 if dtype == "pred" else int(_BITS.search(dtype).group())
  return math.prod(int(n) for n in shape.split(",") if n) * bits / 8
