"""The mesh of all devices, and its axes.

`video`: whole videos that are tuned together, or slices of a training batch.
`frame`: frames of a video. `model`: parameters, and frames too; a device
gathers a parameter when it uses it.
"""

from collections.abc import Sequence
import math

import jax
from jax.sharding import AxisType, Mesh, PartitionSpec

from tav_jax.errors import InputError

VIDEO, FRAME, MODEL = AXES = ("video", "frame", "model")

FRAMES = (FRAME, MODEL)
"""The axes along which the frames of a video lie."""


def make_mesh(
    devices: Sequence[jax.Device] | None = None, *, video: int = -1,
    frame: int = 1, model: int = 1,
) -> Mesh:
  """Devices in a grid.

  Args:
    devices: The devices; by default all devices of all processes.
    video: Size of the axis along which videos lie. One of the three sizes may
      be -1, for all devices that the other two leave.
    frame: Size of the axis along which the frames of a video lie.
    model: Size of the axis along which parameters lie.

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
        f"video={video}, frame={frame}, model={model}: expected "
        f"sizes whose product is {count}, the number of devices; one may be -1 "
        "for all that are left")
  return jax.make_mesh(
      tuple(sizes.values()), AXES, axis_types=(AxisType.Auto,) * 3,
      devices=devices)


def frame_shards(mesh: Mesh) -> int:
  """The number of devices among which the frames of a video are divided."""
  return math.prod(mesh.shape[axis] for axis in FRAMES)


def along_frames(
    shape: Sequence[int], frames: int, shards: int
) -> PartitionSpec:
  """A spec that puts axis `frames` along `FRAMES`, if `shards` divide it."""
  places: list[tuple[str, ...] | None] = [None] * len(shape)
  if shape[frames] % shards == 0:
    places[frames] = FRAMES
  return PartitionSpec(*places)
