"""Where activations lie on the mesh that `jax.set_mesh` has set, if any.

Frames lie along the axes `frame` and `model`: parameters that are split along
`model` are gathered where they are used, each device for its own frames. Along
`video` lie whole videos, which know nothing of each other: what is written for
one is mapped over them.
"""

from collections.abc import Callable, Sequence
import functools

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


def spec(shape: Sequence[int], *, frames: int) -> PartitionSpec:
  """The array's axis `frames` lies along `FRAMES`, if it divides evenly."""
  places = [None] * len(shape)
  if shape[frames] % shards(FRAMES) == 0:
    places[frames] = FRAMES
  return PartitionSpec(*places)


def constrain(x: jax.Array, *, frames: int) -> jax.Array:
  """The same array, with this axis along the mesh; see `spec`."""
  if mesh() is None:
    return x
  return jax.lax.with_sharding_constraint(x, spec(x.shape, frames=frames))


def over_videos(f: Callable, in_axes: Sequence[int | None]) -> Callable:
  """What `f` does for one video, for many along the first axis.

  Args:
    f: A function of arrays.
    in_axes: As of `jax.vmap`: 0 for what each video has its own of, None for
      what they share.
  """

  @functools.wraps(f)
  def mapped(*args):
    along = VIDEO if mesh() is not None else None
    return jax.vmap(f, in_axes, spmd_axis_name=along)(*args)

  return mapped
