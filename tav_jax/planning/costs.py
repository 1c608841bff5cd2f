"""The costs of a compiled program: memory, operations, traffic, messages."""

from collections import Counter, defaultdict
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
_ARRAY = re.compile(r"\b(pred|[a-z]+\d+)\[([\d,]*)\](\{[^}]*\})?")
_BITS = re.compile(r"\d+")
_INSTRUCTION = re.compile(
    r"^\s*(?:ROOT )?%?([\w.-]+) = (.*?) ([\w-]+)\((.*)$")
_NAME = re.compile(r"%([\w.-]+)")
_CALLED = re.compile(
    r"(?:body|true_computation|false_computation|branch_computations)="
    r"(%[\w.-]+|\{[^}]*\})")
# Instructions that move nothing: names of array parts, and ends of transfers.
_STILL = frozenset((
    "parameter", "get-tuple-element", "tuple", "bitcast", "constant", "while",
    "conditional", "call", "async-start", "async-update", "after-all",
    "partition-id"))


class Costs(NamedTuple):
  """The costs of one run of a program, on each device.

  Attributes:
    arguments: Bytes of arguments, parameters among them.
    temporaries: Peak bytes beside arguments and results.
    memory: Bytes of arguments, results and temporaries together.
    flops: Operations.
    traffic: Bytes read from and written to the device's memory, not counting
      what stays on the chip.
    collectives: Bytes that messages between devices bring, by kind.
    messages: Number of these messages, by kind.
    seconds: Seconds that compiling took.
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
    """Seconds at the chip's peak rates, and which rate is the bound."""
    times = {
        "compute": self.flops / chip.flops,
        "memory": self.traffic / chip.bandwidth,
        "messages": sum(self.collectives.values()) / chip.links}
    bound = max(times, key=lambda name: times[name])
    return times[bound], bound


# XLA_FLAGS that are for this process's CPU (startup.py) would hold for a TPU
# too, whose compiler needs the pass that they leave out.
_OF_TPU: dict[str, str | bool] = {"xla_disable_hlo_passes": ""}


def of(lowered: jax.stages.Lowered, platform: str) -> Costs:
  """Compiles a program for a platform and reads what it costs."""
  started = time.monotonic()
  compiled = lowered.compile(_OF_TPU if platform == "tpu" else None)
  memory, cost = compiled.memory_analysis(), compiled.cost_analysis() or {}
  text = compiled.as_text()
  assert memory is not None and text is not None  # All of ours know them.
  collectives, messages = read_collectives(text)
  return Costs(
      arguments=memory.argument_size_in_bytes,
      temporaries=memory.temp_size_in_bytes,
      memory=memory.argument_size_in_bytes + memory.temp_size_in_bytes
      + memory.output_size_in_bytes - memory.alias_size_in_bytes,
      flops=cost.get("flops", 0.0), traffic=read_traffic(text),
      collectives=collectives, messages=messages,
      seconds=time.monotonic() - started)


def read_collectives(hlo: str) -> tuple[dict[str, float], Counter[str]]:
  """Bytes and number of the collectives in a program's text, by kind."""
  moved: dict[str, float] = defaultdict(float)
  messages: Counter[str] = Counter()
  for line in hlo.splitlines():
    match = _COLLECTIVE.search(line)
    if match:
      result, kind, start = match.groups()
      sizes = [_bytes(*array[:2]) for array in _ARRAY.findall(result)]
      # A `-start` op returns (operand, result): count the larger.
      moved[kind] += max(sizes) if start else sum(sizes)
      messages[kind] += 1
  return moved, messages


def read_traffic(hlo: str) -> float:
  """Bytes that the instructions of a program's text read and write.

  Counts the entry computation and the loops and branches in it, each once.
  Instructions inside fusions and reductions move nothing themselves. Arrays in
  memory space S(1) are on the chip and do not count.
  """
  called = {
      name for names in _CALLED.findall(hlo) for name in _NAME.findall(names)}
  total, counts = 0.0, False
  sizes: dict[str, float] = {}
  for line in hlo.splitlines():
    if line and not line[0].isspace():  # A computation begins or ends.
      named = _NAME.search(line)
      counts = line.startswith("ENTRY") or bool(named and named[1] in called)
      sizes = {}
    match = _INSTRUCTION.match(line) if counts else None
    if match:
      name, result, op, rest = match.groups()
      sizes[name] = sum(
          _bytes(dtype, shape) for dtype, shape, layout
          in _ARRAY.findall(result) if "S(" not in layout)
      if op.endswith("-start") and op not in _STILL:
        # The result includes the operand.
        total += sizes[name]
      elif op not in _STILL and not op.endswith("-done"):
        total += sizes[name] + sum(
            sizes.get(operand, 0.0)
            for operand in _NAME.findall(rest.partition("), ")[0]))
  return total


def _bytes(dtype: str, shape: str) -> float:
  digits = _BITS.search(dtype)
  bits = int(digits.group()) if digits else 8  # Of "pred".
  return math.prod(int(n) for n in shape.split(",") if n) * bits / 8
