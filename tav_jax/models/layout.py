"""Where activations lie on the mesh that `jax.set_mesh` has set, if any.

Frames lie along the axes `frame` and `model`: parameters that are split along
`model` are gathered where they are used, each device for its own frames. Clips
lie along `video`.
"""

from collections.abc import Sequence

import jax
from jax.sharding import AbstractMesh, PartitionSpec

VIDEO = "video"
FRAMES = ("frame", "model")


def mesh() -> AbstractMesh | None:
  """The mesh of the moment, if it has more than one device."""
  found = jax.sharding.get_abstract_mesh()
  return None if found.empty or found.size == 1 else found


def shards(axes: str | Sequence[str]) -> int:
  """Into how many parts these axes of the mesh split an array."""
  found = mesh()
  names = (axes,) if isinstance(axes, str) else axes
  count = 1
  for name in names if found is not None else ():
    count *= found.shape[name]
  return count


def spec(shape: Sequence[int], **axes: int) -> PartitionSpec:
  """Which axes of an array lie along `VIDEO` and `FRAMES`.

  Args:
    shape: The array's.
    **axes: Positions of `video` and `frames`; left whole if they do not divide
      evenly.
  """
  places = [None] * len(shape)
  for name, where in axes.items():
    along = VIDEO if name == "video" else FRAMES
    if shape[where] % shards(along) == 0:
      places[where] = along
  return PartitionSpec(*places)


def constrain(x: jax.Array, **axes: int) -> jax.Array:
  """The same array, with these axes along the mesh; see `spec`."""
  if mesh() is None:
    return x
  return jax.lax.with_sharding_constraint(x, spec(x.shape, **axes))
