"""Checkpoints of the training state, through orbax.

A checkpoint is complete or absent: orbax writes beside and renames, so a run
that is killed while it saves finds the one before.
"""

import os
import pathlib

import jax
import orbax.checkpoint as ocp

from tav_jax.errors import InputError
from tav_jax.training.step import State


class Checkpoints:
  """The checkpoints of one run, in one directory."""

  def __init__(self, directory: str | os.PathLike, keep: int = 2):
    """Opens the directory, making it if need be.

    Args:
      directory: Where checkpoints go.
      keep: How many of the latest stay.
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

  def save(self, state: State) -> None:
    """Writes the state under the number of steps it has taken."""
    self._manager.save(
        int(state.step), args=ocp.args.StandardSave(state._asdict()))

  def restore(self, like: State) -> State:
    """The last state, with the shapes, types and placement of `like`.

    Raises:
      InputError: If it does not fit `like` or cannot be read.
    """
    abstract = jax.tree.map(ocp.tree.to_shape_dtype_struct, like._asdict())
    try:
      restored = self._manager.restore(
          self.latest, args=ocp.args.StandardRestore(abstract))
    except Exception as error:  # orbax raises bare ones for damaged files.
      reason = str(error).strip().splitlines()[0][:120]
      raise InputError(
          f"checkpoint {self._directory}/{self.latest} cannot be restored "
          f"({reason}); delete that directory to resume from an earlier one, "
          "or use another --workdir") from error
    return State(**restored)

  def close(self) -> None:
    """Ends orbax's background work."""
    self._manager.close()
