"""Chips that a plan can be for."""

import os
from typing import NamedTuple

import jax
from jax.experimental import topologies

from tav_jax.errors import InputError


class Chip(NamedTuple):
  """A chip's peak rates and memory, as its maker gives them.

  Attributes:
    flops: bfloat16 operations a second.
    bandwidth: Bytes a second to and from its memory.
    memory: Bytes of its memory.
    links: Bytes a second from other chips, over all links together.
  """

  flops: float
  bandwidth: float
  memory: float
  links: float


CHIPS = {
    "v4": Chip(275e12, 1228e9, 32e9, 300e9),
    "v5e": Chip(197e12, 819e9, 16e9, 200e9),
    "v5p": Chip(459e12, 2765e9, 95e9, 600e9),
    "v6e": Chip(918e12, 1640e9, 32e9, 400e9),
}

LOCAL = "local"

# What libtpu is told where it compiles for chips that are not there: it asks no
# metadata server, looks for no host, and locks no chip, since it uses none.
_COMPILER_ALONE = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}


def devices(topology: str) -> tuple[list[jax.Device], Chip | None]:
  """The devices of a topology, and the rates of each (None if not known).

  Args:
    topology: A TPU slice such as "v5e:2x2", "v5e:1x1" for one chip; or
      "local", for this machine's devices.

  Raises:
    InputError: If the topology is unknown, or libtpu is not installed.
  """
  if topology == LOCAL:
    return jax.devices(), None
  chip, _, shape = topology.partition(":")
  if chip not in CHIPS or not shape:
    raise InputError(
        f"--topology={topology}: expected {LOCAL}, or a chip and a shape such "
        f"as v5e:2x2; chips are {', '.join(CHIPS)}")
  for name, value in _COMPILER_ALONE.items():
    os.environ.setdefault(name, value)
  # The compiler knows no topology of one chip; one chip of four is the same.
  alone = shape in ("1", "1x1", "1x1x1")
  whole = {2: "2x2", 3: "2x2x1"}[3 if chip in ("v4", "v5p") else 2]
  try:
    found = topologies.get_topology_desc(
        platform="tpu", topology_name=f"{chip}:{whole if alone else shape}")
  except Exception as error:  # A bare RuntimeError of the plugin, or worse.
    reason = str(error).strip().splitlines()[0][:150]
    raise InputError(
        f"--topology={topology}: the TPU compiler does not take it ({reason}); "
        "expected such as v5e:2x4 or v4:2x2x1, and its compiler: `pip install "
        "-r requirements-tpu.txt`"
    ) from error
  return list(found.devices)[:1 if alone else None], CHIPS[chip]
