"""The mesh of all devices, and where arrays lie on it.

Training data is split over the axis `video`; parameters have a copy everywhere.
"""

from typing import Any

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
import numpy as np

from tav_jax.errors import InputError


def mesh() -> Mesh:
  """All devices of all processes along the axis `video`."""
  return jax.make_mesh(
      (jax.device_count(),), ("video",), axis_types=(AxisType.Auto,))


def replicate(mesh: Mesh, tree: Any) -> Any:
  """A copy of every array on every device."""
  return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def split_batch(mesh: Mesh, batch: Any) -> Any:
  """Global arrays, split by first axis, of this process's part of a batch.

  Args:
    mesh: The mesh.
    batch: Host arrays `b ...`, disjoint between processes.
  """
  sharding = NamedSharding(mesh, PartitionSpec("video"))
  return jax.tree.map(
      lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)),
      batch)


def check_batch_size(mesh: Mesh, key: str, size: int) -> None:
  """Raises an InputError unless every device gets as many examples."""
  if size < 1 or size % mesh.size:
    raise InputError(
        f"{key}={size}: expected a multiple of {mesh.size}, the number of "
        "devices")
