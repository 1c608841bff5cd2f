"""Where activations lie on the mesh that `jax.set_mesh` has set, if any.

Frames lie along the axes `frame` and `model`: a device gathers a parameter that
is split along `model` when it uses it for its own frames. Whole videos lie
along `video` and do not depend on each other: a function written for one video
is mapped over them.

XLA cannot split an axis that was merged of two (clips and frames, videos and
frames) if frames come second: it gathers the array, and every device computes
all of it. So each device merges axes for its own frames alone, in `by_frame`.
"""

from collections.abc import Callable, Sequence
import functools
import math

import jax
from jax.sharding import AbstractMesh, AxisType, Mesh, PartitionSpec

from tav_jax.parallel.mesh import along_frames, AXES, FRAMES, VIDEO
from tav_jax.types import Array


def mesh() -> AbstractMesh | None:
  """The mesh that is set, if it has more than one device.

  None also inside `jax.shard_map`, where each device works for itself.
  """
  found = jax.sharding.get_abstract_mesh()
  alone = found.empty or found.size == 1 or (
      AxisType.Manual in found.axis_types)
  return None if alone else found


def shards(axes: str | Sequence[str]) -> int:
  """The number of parts into which these mesh axes split an array."""
  found = mesh()
  if found is None:
    return 1
  names = (axes,) if isinstance(axes, str) else axes
  return math.prod(found.shape[name] for name in names)


def spec(shape: Sequence[int], *, frames: int) -> PartitionSpec:
  """A spec that puts axis `frames` along `FRAMES`, if it divides evenly."""
  return along_frames(shape, frames, shards(FRAMES))


def constrain(x: Array, *, frames: int) -> Array:
  """The same array, with this axis along the mesh; see `spec`."""
  if mesh() is None:
    return x
  return jax.lax.with_sharding_constraint(x, spec(x.shape, frames=frames))


def by_frame(f: Callable, *, frames: int) -> Callable:
  """`f(x, *shared)`, which every device computes for its own frames of `x`.

  Args:
    f: A function that treats every frame by itself and leaves the frames'
      axis where it is.
    frames: Index of the frames' axis in `x`.
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
  """`f(shared, x)`, which every device computes for its own part of `x`.

  Args:
    f: A function of a tree that all devices share and of an array. It treats
      each entry of the array's first axis by itself, and returns arrays with
      the same first axis.
    mesh: The mesh; the array lies as `placement.frames_spec` says.
  """
  shared, own = PartitionSpec(), PartitionSpec(AXES)
  return jax.shard_map(
      f, mesh=mesh, in_specs=(shared, own), out_specs=own, check_vma=False)


def over_videos(f: Callable, in_axes: Sequence[int | None]) -> Callable:
  """Maps `f`, which is written for one video, over many along the first axis.

  Args:
    f: A function of arrays.
    in_axes: As for `jax.vmap`: 0 for an argument of which each video has its
      own, None for one that they share.
  """

  @functools.wraps(f)
  def mapped(*args):
    along = VIDEO if mesh() is not None else None
    return jax.vmap(f, in_axes, spmd_axis_name=along)(*args)

  return mapped
