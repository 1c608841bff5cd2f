"""Where arrays lie on the mesh: parameters, training states, videos, batches.

activations.py says where activations lie inside a program.
"""

from collections.abc import Sequence
import re
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
import numpy as np

from tav_jax.errors import InputError
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
  """The sharding of every parameter, a tree like `params`; see `RULES`."""
  return jax.tree.map_with_path(
      lambda path, x: _param_spec(
          mesh, jax.tree_util.keystr(path, simple=True, separator="/"), x),
      params)


def put_param(mesh: Mesh, path: str, x: np.ndarray) -> jax.Array:
  """Puts a host parameter, the same in all processes, as `param_specs` says."""
  return jax.device_put(x, _param_spec(mesh, path, x))


def _param_spec(mesh: Mesh, path: str, x: Any) -> NamedSharding:
  axes = next(axes for rule, axes in RULES if re.search(rule, path))
  spec: list[str | None] = [None] * len(x.shape)
  for axis in axes:
    if mesh.shape[MODEL] > 1 and x.shape[axis] % mesh.shape[MODEL] == 0:
      spec[axis] = MODEL
      break
  return NamedSharding(mesh, PartitionSpec(*spec))


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
  """Joins the videos' host arrays; each device gets those of its own videos.

  Args:
    trees: A tree for each video; their number is a multiple of the mesh's
      `video`.
    shardings: A tree of the shardings that one video's arrays would have.
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


def split_batch(mesh: Mesh, batch: Any) -> Any:
  """Makes global arrays, split along the first axis, of each process's part.

  Args:
    mesh: The mesh.
    batch: This process's part of a batch, host arrays `b ...`.
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
