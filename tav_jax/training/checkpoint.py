"""Checkpoints of the training state, through orbax.

A checkpoint is complete or absent: orbax writes a directory of another name and
renames it, so a run that is killed while it saves finds the one before.
"""

from collections.abc import Iterator
import contextlib
import os
import pathlib

import jax
import numpy as np
import orbax.checkpoint as ocp

from tav_jax.errors import InputError
from tav_jax.training.step import State
from tav_jax.types import Params


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
    """Whether this run can resume at `step`; None is from the start.

    Jobs of a group save in turn, so they are at most one checkpoint apart.
    """
    steps = self._manager.all_steps()
    return len(steps) < 2 if step is None else step in steps

  def save(self, state: State) -> None:
    """Writes the state under the number of steps it has taken.

    Does nothing if that checkpoint exists: a group resumes from the job that is
    furthest behind, and then passes steps that other jobs have saved.
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
    with self._readable(step):
      return State(**self._manager.restore(
          step, args=ocp.args.StandardRestore(abstract)))

  def restore_trainable(self, like: Params) -> Params:
    """The last checkpoint's trainable parameters, on the host.

    Args:
      like: A tree of arrays with the same paths and shapes.

    Raises:
      InputError: If they do not fit `like` or cannot be read.
    """
    where = self._directory / str(self.latest) / "default"
    wanted = {"trainable": like}
    with self._readable(self.latest), ocp.PyTreeCheckpointer() as reader:
      there = reader.metadata(where).item_metadata.tree["trainable"]
      _check_fits(_shapes(there), _shapes(like))
      return reader.restore(where, args=ocp.args.PyTreeRestore(
          wanted, partial_restore=True, restore_args=jax.tree.map(
              lambda _: ocp.RestoreArgs(restore_type=np.ndarray), wanted)),
      )["trainable"]

  @contextlib.contextmanager
  def _readable(self, step: int | None) -> Iterator[None]:
    """Turns errors of the block into an InputError that says what to do."""
    try:
      yield
    except Exception as error:  # orbax raises bare ones for damaged files.
      reason = (str(error).strip() or repr(error)).splitlines()[0][:120]
      raise InputError(
          f"checkpoint {self._directory}/{step} cannot be restored "
          f"({reason}); delete that directory to go on from an earlier one, "
          "or start anew in another directory") from error

  def close(self) -> None:
    """Ends orbax's background work."""
    self._manager.close()


def _shapes(tree: Params) -> dict[str, tuple[int, ...]]:
  leaves, _ = jax.tree.flatten_with_path(tree)
  return {
      jax.tree_util.keystr(path, simple=True, separator="/"): tuple(x.shape)
      for path, x in leaves}


def _check_fits(there: dict, wanted: dict) -> None:
  """Raises a ValueError unless both have the same arrays, by path.

  For an array that a checkpoint lacks, orbax would return the one from `like`.
  """
  apart = sorted(
      path for path in there | wanted if there.get(path) != wanted.get(path))
  if apart:
    path = apart[0]
    raise ValueError(
        f"{path} is {there.get(path)}; expected {wanted.get(path)}")
