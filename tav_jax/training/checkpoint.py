"""Checkpoints of the training state, through orbax.

A checkpoint is complete or absent: orbax writes a directory of another name and
renames it, so a run that is killed while it saves finds the one before.
"""

import os
import pathlib

import jax
import numpy as np
import orbax.checkpoint as ocp

from tav_jax.errors import InputError
from tav_jax.training.step import State


class Checkpoints:
  """The checkpoints of one run, in one directory."""

  def __init__(self, directory: str | os.PathLike, keep: int = 2):
    """Opens the directory, making it if need be.

    Args:
      directory: Where checkpoints go.
      keep: How many checkpoints stay, the latest ones.
    """
    self._directory = pathlib.Path(directory).resolve()
    self._manager = ocp.CheckpointManager(
        self._directory,
        options=ocp.CheckpointManagerOptions(
            max_to_keep=keep, enable_async_checkpointing=False))

  @property
  def latest(self) -> int | None:
    """Steps taken at the last checkpoint."""
    return self._manager.latest_step()

  def has(self, step: int | None) -> bool:
    """Whether this run can resume at `step` (None: from the start).

    Videos of a group are saved in turn, so they are at most one checkpoint
    apart.
    """
    steps = self._manager.all_steps()
    return len(steps) < 2 if step is None else step in steps

  def save(self, state: State) -> None:
    """Writes the state under the number of steps it has taken.

    Does nothing if that checkpoint exists: a group of videos resumes where the
    one furthest behind was saved, and then passes what the others have.
    """
    if int(state.step) not in self._manager.all_steps():
      self._manager.save(
          int(state.step), args=ocp.args.StandardSave(state._asdict()),
          force=True)  # Even if a later one exists.

  def restore(self, like: State, step: int | None = None) -> State:
    """A state, with the shapes, types and placement of `like`.

    Args:
      like: A state of device arrays, or of numpy arrays to stay on the host.
      step: Steps taken; by default at the last checkpoint.

    Raises:
      InputError: If the checkpoint does not fit `like` or cannot be read.
    """
    step = self.latest if step is None else step
    abstract = jax.tree.map(
        lambda x: x if isinstance(x, np.ndarray)
        else ocp.tree.to_shape_dtype_struct(x), like._asdict())
    try:
      restored = self._manager.restore(
          step, args=ocp.args.StandardRestore(abstract))
    except Exception as error:  # orbax raises bare ones for damaged files.
      reason = str(error).strip().splitlines()[0][:120]
      raise InputError(
          f"checkpoint {self._directory}/{step} cannot be restored "
          f"({reason}); delete that directory to resume from an earlier one, "
          "or use another --workdir") from error
    return State(**restored)

  def close(self) -> None:
    """Ends orbax's background work."""
    self._manager.close()
