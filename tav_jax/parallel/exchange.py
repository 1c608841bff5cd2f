"""How a device fetches the frames that its own frames see.

A table says which frames of the clip each frame sees. Each device has equally
many frames, one after the other. The slots are derived from the table: a slot
holds one frame that a device needs, on each device its own (such as the first
frame of the clip, or the last one of the device before). The table in terms of
slots is the same for all devices, since they run one program.
"""

from collections.abc import Sequence
import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tav_jax.parallel.mesh import FRAMES

_AXIS = 2
"""The axis of the frames in `b n f s d`."""


class Divided(NamedTuple):
  """A table of which frames see which, divided among devices.

  Attributes:
    slots: The frame of the clip that each device needs in each slot, `d s`.
    sees: The slots that each frame of a device sees, equally many each.
  """

  slots: np.ndarray
  sees: Sequence[Sequence[int]]


def divide(sees: Sequence[Sequence[int]], devices: int) -> Divided:
  """The slots of a table, and the table in terms of slots.

  Args:
    sees: The frames that each frame of the clip sees, equally many each.
    devices: Number of devices among which the frames are divided evenly.
  """
  table = np.reshape(np.asarray(sees), (devices, -1))
  slots, places = np.unique(table, axis=1, return_inverse=True)
  own = len(sees) // devices
  return Divided(slots, np.reshape(places, (own, -1)).tolist())


def fetch(x: jax.Array, slots: np.ndarray, split: bool) -> jax.Array:
  """The frames in a device's slots, inside of `jax.shard_map`.

  Args:
    x: The device's own frames `b n f s d`, or those of the whole clip.
    slots: What `divide` returns.
    split: Whether `x` has the device's own frames alone.
  """
  devices, count = slots.shape
  own = x.shape[_AXIS]
  if not split:
    slots = slots.T.tolist()
    return _join(x, [_pick(x, dict(enumerate(slot))) for slot in slots])
  shared = [s for s in range(count) if np.ptp(slots[:, s]) == 0]
  rounds = {
      s: _rounds(slots[:, s] // own) for s in range(count) if s not in shared}
  # A sum over all devices sends as much as two messages a frame.
  messages = 2 * len(shared) + sum(map(len, rounds.values()))
  if messages >= (devices - 1) * own:
    whole = jax.lax.all_gather(x, FRAMES, axis=_AXIS, tiled=True)
    return fetch(whole, slots, split=False)
  found = {s: _permute(x, slots[:, s], rounds[s]) for s in rounds}
  if shared:
    frames = _broadcast(x, slots[0, shared].tolist())
    found |= {s: take(frames, [i]) for i, s in enumerate(shared)}
  return _join(x, [found[s] for s in range(count)])


def take(x: jax.Array, frames: Sequence[int]) -> jax.Array:
  """Some frames, taken as slices of frames that follow each other."""
  if list(frames) == list(range(x.shape[_AXIS])):
    return x
  cuts = [i for i in range(1, len(frames)) if frames[i] != frames[i - 1] + 1]
  runs = zip([0, *cuts], [*cuts, len(frames)], strict=True)
  slices = [x[:, :, frames[a]:frames[b - 1] + 1] for a, b in runs]
  return jnp.concatenate(slices, axis=_AXIS) if cuts else slices[0]


def _join(x: jax.Array, found: Sequence[jax.Array | int]) -> jax.Array:
  """Joins frames; a number stands for that frame of `x`."""
  pieces: list[jax.Array] = []
  for _, group in itertools.groupby(found, lambda f: isinstance(f, int)):
    some = list(group)
    places = [f for f in some if isinstance(f, int)]
    pieces += [take(x, places)] if places else [
        f for f in some if not isinstance(f, int)]
  return jnp.concatenate(pieces, axis=_AXIS) if pieces[1:] else pieces[0]


def _rounds(sources: np.ndarray) -> list[dict[int, int]]:
  """Rounds of messages `{from: to}`, in each of which a device sends one."""
  rounds: list[dict[int, int]] = []
  for to, source in enumerate(sources.tolist()):
    if source == to:
      continue
    free = next((r for r in rounds if source not in r), None)
    if free is None:
      rounds.append(free := {})
    free[source] = to
  return rounds


def _permute(
    x: jax.Array, slot: np.ndarray, rounds: Sequence[dict[int, int]]
) -> jax.Array | int:
  """A slot's frame, from the device itself or from the one that has it."""
  own = x.shape[_AXIS]
  out = _pick(x, {
      device: frame % own for device, frame in enumerate(slot.tolist())
      if frame // own == device})
  for messages in rounds:
    sent = _pick(x, {a: slot[b].item() % own for a, b in messages.items()})
    came = jax.lax.ppermute(_array(x, sent), FRAMES, list(messages.items()))
    receives = np.isin(np.arange(len(slot)), list(messages.values()))
    out = jnp.where(_mine(receives), came, _array(x, out))
  return out


def _broadcast(x: jax.Array, frames: Sequence[int]) -> jax.Array:
  """Some frames of the clip, from the devices that have them, on all."""
  own = x.shape[_AXIS]
  device = jax.lax.axis_index(FRAMES)
  mine = [
      jnp.where(device == frame // own, take(x, [frame % own]), 0)
      for frame in frames]
  return jax.lax.psum(jnp.concatenate(mine, axis=_AXIS), FRAMES)


def _pick(x: jax.Array, places: dict[int, int]) -> jax.Array | int:
  """The frame at each device's place; only the place, if all have the same.

  A device that is not in `places` gets any frame.
  """
  if len(set(places.values())) < 2:
    return next(iter(places.values()), 0)
  table = np.zeros(max(places) + 1, np.int32)
  table[list(places)] = list(places.values())
  return jax.lax.dynamic_index_in_dim(x, _mine(table), _AXIS)


def _mine(table: np.ndarray) -> jax.Array:
  """The entry of this device in a table; the last, if the table is shorter."""
  device = jax.lax.axis_index(FRAMES)
  return jnp.asarray(table)[jnp.minimum(device, len(table) - 1)]


def _array(x: jax.Array, found: jax.Array | int) -> jax.Array:
  return take(x, [found]) if isinstance(found, int) else found
