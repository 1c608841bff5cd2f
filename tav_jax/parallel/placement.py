"""Where arrays lie on the mesh: parameters, training states, videos, batches.

activations.py says where activations lie inside a program.
"""

from collections.abc import Sequence
import re
from typing import Any

from flax import traverse_util
import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
import numpy as np

from tav_jax.errors import InputError
from tav_jax.parallel import processes
from tav_jax.parallel.mesh import (
  along_frames,
  AXES,
  frame_shards,
  FRAMES,
  MODEL,
  VIDEO,
)


def everywhere(mesh: Mesh) -> NamedSharding:
  """A sharding that puts a copy on every device."""
  return NamedSharding(mesh, PartitionSpec())


def replicate(mesh: Mesh, tree: Any) -> Any:
  """A copy of every array on every device."""
  return jax.tree.map(
      lambda x: jax.device_put(np.asarray(x), everywhere(mesh)), tree)


# Path pattern, and the axes that may be split along `model`, tried in this
# order. The first pattern that matches counts.
RULES = (
    (r"(^|/)(kernel|embedding)$", (-1, -2)),
    (r".*", ()),  # Biases, norms: small.
)


def param_specs(mesh: Mesh, params: Any) -> Any:
  """A tree like `params` of `NamedSharding`s, by path; see `RULES`."""
  parts = mesh.shape[MODEL]

  def place(path, x) -> NamedSharding:
    name = jax.tree_util.keystr(path, simple=True, separator="/")
    axes = next(axes for rule, axes in RULES if re.search(rule, name))
    spec: list[str | None] = [None] * len(x.shape)
    for axis in axes:
      if parts > 1 and x.shape[axis] % parts == 0:
        spec[axis] = MODEL
        break
    return NamedSharding(mesh, PartitionSpec(*spec))

  return jax.tree.map_with_path(place, params)


def video_spec(mesh: Mesh, shape: Sequence[int]) -> NamedSharding:
  """Where the latents `b f h w c` of a video lie."""
  return NamedSharding(mesh, along_frames(shape, 1, frame_shards(mesh)))


def frames_spec(mesh: Mesh) -> NamedSharding:
  """Where independent frames lie, along their first axis.

  They are spread over all devices, whichever videos they are of.
  """
  return NamedSharding(mesh, PartitionSpec(AXES))


def put_frames(mesh: Mesh, frames: np.ndarray) -> jax.Array:
  """Puts host frames `n ...`, the same in all processes, as `frames_spec` says.
  """
  return jax.make_array_from_callback(
      frames.shape, frames_spec(mesh), lambda index: frames[index])


def of_videos(sharding: NamedSharding) -> NamedSharding:
  """Where arrays of several videos lie along a new first axis."""
  return NamedSharding(sharding.mesh, PartitionSpec(VIDEO, *sharding.spec))


def stack(trees: Sequence[Any], shardings: Any) -> Any:
  """Global arrays of the videos' host arrays; a device gets its videos alone.

  Args:
    trees: A tree for each video; their number is a multiple of the mesh's
      `video`.
    shardings: A tree of where one video's arrays would lie.
  """

  def join(sharding, *arrays):
    shape = (len(arrays), *arrays[0].shape)

    def part(index: Any) -> np.ndarray:
      return np.stack([np.asarray(x)[index[1:]] for x in arrays[index[0]]])

    return jax.make_array_from_callback(shape, of_videos(sharding), part)

  return jax.tree.map(join, shardings, *trees)


def pick(stacked: Any, i: int, shardings: Any) -> Any:
  """The tree of video `i` from those that `stack` has joined."""
  return jax.jit(_at, out_shardings=shardings)(stacked, i)


def _at(stacked, i):
  return jax.tree.map(lambda x: x[i], stacked)


def move(tree: dict, shardings: dict, dtype: Any) -> dict:
  """Global arrays of nested dicts of host arrays; empties these dicts.

  Arrays are moved one after the other, so that host and devices together never
  hold two copies of more than one.
  """
  flat = traverse_util.flatten_dict(tree)
  tree.clear()
  where = traverse_util.flatten_dict(shardings)
  moved = traverse_util.unflatten_dict({
      path: jax.device_put(flat.pop(path).astype(dtype, copy=False), sharding)
      for path, sharding in where.items()})
  processes.trim_memory()
  return moved


def split_batch(mesh: Mesh, batch: Any) -> Any:
  """Global arrays, split by first axis, of this process's part of a batch.

  Args:
    mesh: The mesh.
    batch: Host arrays `b ...`, disjoint between processes.
  """
  sharding = NamedSharding(mesh, PartitionSpec(VIDEO))
  return jax.tree.map(
      lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)),
      batch)


def check_batch_size(mesh: Mesh, size: int) -> None:
  """Raises an InputError unless all devices get equally many examples."""
  if size < 1 or size % mesh.size:
    raise InputError(
        f"batch_size={size}: expected a multiple of {mesh.size}, the number of "
        "devices")


def check_frames(mesh: Mesh, frames: int) -> None:
  """Raises an InputError unless all devices get equally many frames."""
  parts = frame_shards(mesh)
  if frames % parts:
    sizes = " and ".join(f"{mesh.shape[axis]} along {axis}" for axis in FRAMES)
    raise InputError(
        f"frames={frames}: expected a multiple of {parts}, the mesh's devices "
        f"for frames ({sizes}); make the mesh smaller, or change the frames")
