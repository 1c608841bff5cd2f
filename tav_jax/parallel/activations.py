"""Where activations lie on the mesh that `jax.set_mesh` has set, if any.

Frames lie along the axes `frame` and `model`: parameters that are split along
`model` are gathered where they are used, each device for its own frames. Along
`video` lie whole videos, which know nothing of each other: what is written for
one is mapped over them.

XLA cannot split an array whose frames come second in an axis that was merged
of two (clips and frames, videos and frames): it gathers all of it and every
device does everything. So axes are merged by each device for its own frames,
inside of `by_frame`.
"""

from collections.abc import Callable, Sequence
import functools
import math

import jax
from jax.sharding import AbstractMesh, AxisType, Mesh, PartitionSpec

from tav_jax.parallel.mesh import along_frames, AXES, FRAMES, VIDEO
from tav_jax.types import Array


def mesh() -> AbstractMesh | None:
  """The mesh of the moment, if it has more than one device.

  None too inside of what each device does for itself (`jax.shard_map`).
  """
  found = jax.sharding.get_abstract_mesh()
  alone = found.empty or found.size == 1 or (
      AxisType.Manual in found.axis_types)
  return None if alone else found


def shards(axes: str | Sequence[str]) -> int:
  """Into how many parts these axes of the mesh split an array."""
  found = mesh()
  if found is None:
    return 1
  names = (axes,) if isinstance(axes, str) else axes
  return math.prod(found.shape[name] for name in names)


def spec(shape: Sequence[int], *, frames: int) -> PartitionSpec:
  """The array's axis `frames` along `FRAMES`, if it divides evenly."""
  return along_frames(shape, frames, shards(FRAMES))


def constrain(x: Array, *, frames: int) -> Array:
  """The same array, with this axis along the mesh; see `spec`."""
  if mesh() is None:
    return x
  return jax.lax.with_sharding_constraint(x, spec(x.shape, frames=frames))


def by_frame(f: Callable, *, frames: int) -> Callable:
  """`f(x, *shared)`, done by every device for its own frames of `x`.

  Args:
    f: A function that treats every frame alone and leaves the frames in their
      axis.
    frames: The axis of the frames in `x`, from the front.
  """

  @functools.wraps(f)
  def mapped(x, *shared):
    if mesh() is None:
      return f(x, *shared)
    here = spec(x.shape, frames=frames)
    return jax.shard_map(
        f, in_specs=(here, *[PartitionSpec()] * len(shared)), out_specs=here,
        check_vma=False)(x, *shared)

  return mapped


def on_all_devices(f: Callable, mesh: Mesh) -> Callable:
  """`f(shared, x)`, done by every device of a mesh for its own part of `x`.

  Args:
    f: A function of a tree that all share and an array, which treats all places
      on the array's first axis alone and gives arrays with the same first axis.
    mesh: The mesh; the array lies as `placement.frames_spec` says.
  """
  shared, own = PartitionSpec(), PartitionSpec(AXES)
  return jax.shard_map(
      f, mesh=mesh, in_specs=(shared, own), out_specs=own, check_vma=False)


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
