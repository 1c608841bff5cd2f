"""The mesh of all devices, and where arrays lie on it.

Axes are `video`, along which videos that are tuned together lie, or training
data, `frame`, along which the frames of a video lie, and `model`, along which
parameters are split and frames too: what a device needs of the parameters it
gathers when it needs it.
Where activations lie is said in activations.py.
"""

from collections.abc import Sequence
import ctypes
import math
import os
import re
from typing import Any

from flax import traverse_util
import jax
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
import numpy as np

from tav_jax.errors import InputError
from tav_jax.parallel import activations

AXES = ("video", "frame", "model")


def mesh(
    devices: Sequence[jax.Device] | None = None, *, video: int = -1,
    frame: int = 1, model: int = 1,
) -> Mesh:
  """Devices in a grid.

  Args:
    devices: Which; by default all of all processes.
    video: Size of the axis along which videos lie; -1 is what is left over,
      for one of the three.
    frame: Of the axis along which the frames of a video lie.
    model: Of the axis along which parameters lie.

  Raises:
    InputError: If the devices do not fill the grid.
  """
  count = jax.device_count() if devices is None else len(devices)
  sizes = dict(zip(AXES, (video, frame, model), strict=True))
  known = math.prod(size for size in sizes.values() if size != -1)
  left = [name for name, size in sizes.items() if size == -1]
  if len(left) == 1 and known > 0 and count % known == 0:
    sizes[left[0]] = count // known
  if min(sizes.values()) < 1 or math.prod(sizes.values()) != count:
    raise InputError(
        f"mesh.video={video}, mesh.frame={frame}, mesh.model={model}: expected "
        f"sizes whose product is {count}, the number of devices; -1 is what is "
        "left")
  return jax.make_mesh(
      tuple(sizes.values()), AXES, axis_types=(AxisType.Auto,) * 3,
      devices=devices)


def replicate(mesh: Mesh, tree: Any) -> Any:
  """A copy of every array on every device."""
  everywhere = NamedSharding(mesh, PartitionSpec())
  return jax.tree.map(
      lambda x: jax.device_put(np.asarray(x), everywhere), tree)


# Path pattern and the axes to try to split along `model`; first match wins.
RULES = (
    (r"(^|/)(kernel|embedding)$", (-1, -2)),
    (r".*", ()),  # Biases, norms: small.
)


def param_specs(mesh: Mesh, params: Any) -> Any:
  """A tree like `params` of `NamedSharding`s, by path; see `RULES`."""
  parts = mesh.shape["model"]

  def place(path, x) -> NamedSharding:
    name = jax.tree_util.keystr(path, simple=True, separator="/")
    axes = next(axes for rule, axes in RULES if re.search(rule, name))
    spec = [None] * len(x.shape)
    for axis in axes:
      if parts > 1 and x.shape[axis] % parts == 0:
        spec[axis] = "model"
        break
    return NamedSharding(mesh, PartitionSpec(*spec))

  return jax.tree.map_with_path(place, params)


def video_spec(mesh: Mesh, shape: Sequence[int]) -> NamedSharding:
  """Where the latents `b f h w c` of a video lie."""
  with jax.set_mesh(mesh):
    return NamedSharding(mesh, activations.spec(shape, frames=1))


def of_videos(sharding: NamedSharding) -> NamedSharding:
  """Where as many arrays lie as there are videos, along a new first axis."""
  return NamedSharding(
      sharding.mesh, PartitionSpec(activations.VIDEO, *sharding.spec))


def stack(trees: Sequence[Any], shardings: Any) -> Any:
  """Global arrays of the videos' host arrays, each device getting its own.

  Args:
    trees: One of each video; their number is a multiple of the mesh's `video`.
    shardings: A tree of where one video's arrays would lie.
  """

  def join(sharding, *arrays):
    shape = (len(arrays), *arrays[0].shape)
    return jax.make_array_from_callback(
        shape, of_videos(sharding), lambda index: np.stack(
            [np.asarray(x)[index[1:]] for x in arrays[index[0]]]))

  return jax.tree.map(join, shardings, *trees)


def pick(stacked: Any, i: int, shardings: Any) -> Any:
  """One video's tree of what `stack` has made of several."""
  return jax.device_put(_at(stacked, i), shardings)


@jax.jit
def _at(stacked, i):
  return jax.tree.map(lambda x: x[i], stacked)


def put(tree: Any, shardings: Any) -> Any:
  """Global arrays of host arrays that every process has alike."""
  return jax.tree.map(
      lambda x, sharding: jax.device_put(np.asarray(x), sharding), tree,
      shardings)


def move(tree: dict, shardings: dict, dtype: Any) -> dict:
  """Global arrays of nested dicts of host arrays, which are emptied.

  One array after the other, so that host and devices together never hold two
  copies of more than one.
  """
  flat = traverse_util.flatten_dict(tree)
  tree.clear()
  where = traverse_util.flatten_dict(shardings)
  moved = traverse_util.unflatten_dict({
      path: jax.device_put(flat.pop(path).astype(dtype, copy=False), sharding)
      for path, sharding in where.items()})
  _give_back()
  return moved


def _give_back() -> None:
  """Freed memory of the host to the system: glibc would keep it, a GB of it
  after a checkpoint of Stable Diffusion's size."""
  libc = ctypes.CDLL(None)
  if hasattr(libc, "malloc_trim"):
    libc.malloc_trim(0)


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


def check_frames(mesh: Mesh, frames: int) -> None:
  """Raises an InputError unless every device gets as many frames."""
  parts = mesh.shape["frame"] * mesh.shape["model"]
  if frames % parts:
    raise InputError(
        f"video.frames={frames}: expected a multiple of {parts}, the devices "
        f"along mesh.frame={mesh.shape['frame']} and "
        f"mesh.model={mesh.shape['model']}; lower these, or change the frames")


# Several processes: one program, one of them writes.


def join() -> None:
  """Makes this process one of several, before JAX has looked for devices.

  JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID say which one;
  where they are not set, JAX asks the cluster (TPU pods, GKE, Slurm).
  """
  jax.config.update("jax_cpu_collectives_implementation", "gloo")
  known = {
      name: int(os.environ[variable]) for name, variable in (
          ("num_processes", "JAX_NUM_PROCESSES"),
          ("process_id", "JAX_PROCESS_ID")) if variable in os.environ}
  jax.distributed.initialize(**known)


def is_first() -> bool:
  """Whether this process is the one that writes files."""
  return jax.process_index() == 0


def agree(value: bool) -> bool:
  """What the first process says."""
  return bool(multihost_utils.broadcast_one_to_all(np.asarray(value)))


def wait() -> None:
  """Until all processes are here."""
  multihost_utils.sync_global_devices("tav_jax")


def to_host(x: jax.Array) -> np.ndarray:
  """A whole array, wherever its parts are."""
  if getattr(x, "is_fully_addressable", True):
    return np.asarray(x)
  return multihost_utils.process_allgather(x, tiled=True)
