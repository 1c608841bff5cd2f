"""Checkpoints of the training state: orbax's files, and their checksums.

A checkpoint is complete or absent: it is written as a directory of another name
that is then renamed, so a run that is killed while it saves finds the one
before. One whose bytes have changed since is refused.

  4/default/  4/SHA256SUMS  6/default/  6/SHA256SUMS
"""

from collections.abc import Iterator
import contextlib
import os
import pathlib
import shlex
import shutil
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from tav_jax.data import atomic
from tav_jax.errors import from_system, InputError
from tav_jax.parallel import processes
from tav_jax.training import checksums, in_flight
from tav_jax.training.step import State
from tav_jax.types import Params

_LEFT = (".partial", ".deleted", ".orbax-checkpoint-tmp")  # By killed runs.


class Checkpoints:
  """The checkpoints of one run, in one directory."""

  def __init__(self, directory: str | os.PathLike, keep: int = 2):
    """Writes nothing yet.

    Args:
      directory: Where checkpoints go.
      keep: How many checkpoints stay, the latest ones.
    """
    self._directory = pathlib.Path(directory).absolute()
    self._keep = keep

  @property
  def steps(self) -> list[int]:
    """Steps taken at each checkpoint, ascending."""
    if not self._directory.is_dir():
      return []
    return sorted(
        int(path.name) for path in self._directory.iterdir()
        if path.name.isdecimal() and path.is_dir())

  @property
  def latest(self) -> int | None:
    """Steps taken at the last checkpoint."""
    return max(self.steps, default=None)

  def has(self, step: int | None) -> bool:
    """Whether this run can resume at `step`; None is from the start.

    Jobs of a group save in turn, so they are at most one checkpoint apart.
    """
    return len(self.steps) < 2 if step is None else step in self.steps

  def save(self, state: State) -> None:
    """Writes the state under the number of steps it has taken.

    Does nothing if that checkpoint exists: a group resumes from the job that is
    furthest behind, and then passes steps that other jobs have saved.

    Raises:
      InputError: If the state is not finite, or cannot be written. The
        checkpoints before stay as they are.
    """
    step = int(state.step)
    if step in self.steps:
      return
    kept = f"the checkpoint of step {self.latest} is kept" if self.steps else (
        "no checkpoint had been written yet")
    if not _is_finite((state.trainable, state.optimizer)):
      raise InputError(
          f"parameters are NaN or infinite after step {step}; {kept}. Lower "
          "the learning rate or compute in float32")
    path = self._directory / str(step)
    try:
      if not processes.is_first():
        _write(path.with_name(f"{step}.partial"), state)
      else:
        with atomic.replacing(path) as partial:
          mark = partial / ".writing"
          partial.mkdir()
          mark.touch()
          _write(partial, state)
          mark.unlink()  # Gone, if the run's directory was deleted meanwhile.
          checksums.write(partial)
        for old in self.steps[:-self._keep]:
          atomic.delete(self._directory / str(old))
        for path in self._directory.iterdir():
          if path.suffix in _LEFT:
            shutil.rmtree(path, ignore_errors=True)
      processes.wait()
    except Exception as error:
      refused = from_system(error, path)
      if not refused:
        raise
      raise InputError(f"checkpoint {refused}; {kept}") from error

  def restore(self, like: State, step: int | None = None) -> State:
    """A state, with the shapes, types and placement of `like`.

    Args:
      like: A state of device arrays, or of numpy arrays to stay on the host.
      step: Steps taken; by default at the last checkpoint.

    Raises:
      InputError: If the checkpoint does not fit `like`, is damaged or cannot be
        read.
    """
    step = self.latest if step is None else step
    abstract = jax.tree.map(
        lambda x: x if isinstance(x, np.ndarray)
        else ocp.tree.to_shape_dtype_struct(x), like._asdict())
    with self._readable(step) as where, _orbax() as reader:
      return State(**reader.restore(
          where, args=ocp.args.StandardRestore(abstract)))

  def restore_trainable(self, like: Params) -> Params:
    """The last checkpoint's trainable parameters, on the host.

    Args:
      like: A tree of arrays with the same paths and shapes.

    Raises:
      InputError: If they do not fit `like`, are damaged or cannot be read.
    """
    wanted = {"trainable": like}
    with (self._readable(self.latest) as where,
          ocp.PyTreeCheckpointer() as reader):
      there = reader.metadata(where).item_metadata.tree["trainable"]
      _check_fits(_shapes(there), _shapes(like))
      return reader.restore(where, args=ocp.args.PyTreeRestore(
          wanted, partial_restore=True, restore_args=jax.tree.map(
              lambda _: ocp.RestoreArgs(restore_type=np.ndarray), wanted)),
      )["trainable"]

  @contextlib.contextmanager
  def _readable(self, step: int | None) -> Iterator[pathlib.Path]:
    """Gives the place of orbax's files, once the checkpoint was checked.

    Errors of the block become an InputError that says what to do.
    """
    where = self._directory / str(step)
    try:
      if reason := checksums.difference(where):
        raise ValueError(reason)
      with in_flight.left_out():
        yield where / "default"
    except Exception as error:  # orbax raises bare ones for damaged files.
      reason = (str(error).strip() or repr(error)).splitlines()[0][:120]
      raise InputError(
          f"checkpoint {where} cannot be restored ({reason}); "
          + self._advice(step)) from error

  def _advice(self, step: int | None) -> str:
    """What to do about a checkpoint that cannot be restored."""
    damaged = [
        other for other in self.steps if other == step
        or checksums.difference(self._directory / str(other))]
    whole = [other for other in self.steps if other not in damaged]
    delete = "rm -r " + " ".join(
        shlex.quote(str(self._directory / str(other))) for other in damaged)
    then = f"from step {whole[-1]}" if whole else "anew, as there is no other"
    return (
        f"delete it ({delete}) and the same command goes on {then}; or take "
        "another directory")


def _orbax() -> ocp.Checkpointer:
  return ocp.Checkpointer(ocp.StandardCheckpointHandler())


def _write(directory: pathlib.Path, state: State) -> None:
  with in_flight.left_out(), _orbax() as writer:
    writer.save(
        directory / "default", args=ocp.args.StandardSave(state._asdict()))


def _is_finite(tree: Any) -> bool:
  """Whether all numbers of a tree are finite, wherever they lie."""
  return all(jax.device_get([
      _finite(x) for x in jax.tree.leaves(tree)
      if jnp.issubdtype(x.dtype, jnp.inexact)]))


@jax.jit
def _finite(leaf: jax.Array) -> jax.Array:
  """Of one leaf: compiled once a shape, however many trees are saved."""
  return jnp.isfinite(leaf).all()


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
