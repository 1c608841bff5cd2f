"""What all datasets share: array records, written by several processes.

TFDS' `Image` and `Video` features need TensorFlow; `Tensor` and `Text` do not.
A dataset is written into a directory of another name, which is renamed when it
is complete; if the process is killed before, the next one starts again.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
import contextlib
import functools
import io
import logging
import multiprocessing
import os
import pathlib
import shutil
import tempfile
import threading
import time
from typing import Any

import tensorflow_datasets as tfds
import tqdm

from tav_jax.data import locks, names
from tav_jax.errors import InputError

log = logging.getLogger("tav_jax.data.datasets")

_SHARD = 1 << 26  # Bytes in a file.
_CHUNK = 1 << 20  # Bytes of records that a worker makes at a time.
_WORTH = 1 << 25  # Bytes a worker; below this, it is not worth starting.
_PROCESSES = 8  # Workers that one writer keeps up with, about.


class Builder(tfds.core.ShardBasedBuilder):
  """Records `0 ... count - 1` of each split, in that order.

  Attributes:
    counts: Number of records of each split.
    record_bytes: Approximate size of a record.
  """

  VERSION = tfds.core.Version("1.0.0")
  code_path = None  # No checksums beside the code: nothing is downloaded.

  counts: dict[str, int]
  record_bytes: int

  def __init__(self, *, data_dir: str | os.PathLike, config: str):
    self._map: Callable = map  # A pool's, while the dataset is written.
    self._made: Callable[[], Any] = lambda: None
    with _quiet():
      super().__init__(
          data_dir=names.at_home(data_dir),
          config=tfds.core.BuilderConfig(name=config),
          file_format="array_record")

  def features(self) -> dict[str, tfds.features.FeatureConnector]:
    """The fields of a record, as features that need no TensorFlow."""
    raise NotImplementedError

  def work(self, split: str, numbers: range) -> tuple[Callable, Sequence]:
    """A function that makes a record, and its argument for each record.

    Both are sent to other processes, which send the records back.
    """
    raise NotImplementedError

  def _info(self) -> tfds.core.DatasetInfo:
    return _Info(
        builder=self, features=tfds.features.FeaturesDict(self.features()))

  def _shard_iterators_per_split(self, dl_manager):
    size = max(1, _SHARD // self.record_bytes)
    return {
        split: [
            functools.partial(self._shard, split, range(count)[i:i + size])
            for i in range(0, count, size)]
        for split, count in self.counts.items()}

  def _shard(self, split: str, numbers: range) -> Iterator[tuple[int, dict]]:
    records = self._map(*self.work(split, numbers))
    for number, record in zip(numbers, records, strict=True):
      self._made()
      yield number, record


class Records:
  """A split: `records[i]` is a dict of arrays (read-only) and strings."""

  def __init__(self, source: Sequence):
    self._source = source

  def __len__(self) -> int:
    return len(self._source)

  def __getitem__(self, i: int) -> dict:
    if not 0 <= i < len(self):
      raise IndexError(f"record {i} of {len(self)}")
    return {
        name: value.decode() if isinstance(value, bytes) else value
        for name, value in self._source[i].items()}


def load(
    builder: Builder, processes: int | None = None
) -> dict[str, Records]:
  """The dataset's splits by name; writes the dataset unless it exists.

  The processes that make records import the main module, so a script that
  calls this does it under `if __name__ == "__main__":`.

  Args:
    builder: The dataset; its `data_dir` says where it is.
    processes: How many workers make records; the default follows from the
      number of cores and the dataset's size. Records do not depend on it.

  Raises:
    InputError: If the directory cannot be written.
  """
  place = pathlib.Path(builder.data_dir)
  if not place.exists():
    with _locked(place.parent):
      if not place.exists():  # Another run may have written it meanwhile.
        for left in place.parent.glob("incomplete.*"):
          shutil.rmtree(left)
        _write(builder, processes)
  if not builder.info.splits:
    with _quiet():
      builder.info.read_from_directory(place)
  log.info("%s: %s", place, ", ".join(
      f"{split.num_examples} {name}"
      for name, split in builder.info.splits.items()))
  return {
      name: Records(source)
      for name, source in builder.as_data_source().items()}


def _write(builder: Builder, processes: int | None) -> None:
  count = sum(builder.counts.values())
  if processes is None:
    processes = min(
        _PROCESSES, os.cpu_count() or 1,
        count * builder.record_bytes // _WORTH)
  log.info("%s: writing %d records", builder.data_dir, count)
  begin = time.monotonic()
  with (
      _parallel(processes, _CHUNK // builder.record_bytes) as builder._map,
      tqdm.tqdm(
          total=count, desc=builder.name, unit="record",
          dynamic_ncols=True) as bar,
      tempfile.TemporaryDirectory() as downloads, _quiet()):
    builder._made = bar.update
    builder.download_and_prepare(download_dir=downloads)  # Stays empty.
  seconds = time.monotonic() - begin
  log.info(
      "%s: wrote %d records in %.0f s, %.0f a second, %.0f MB",
      builder.data_dir, count, seconds, count / seconds,
      sum(p.stat().st_size for p in pathlib.Path(builder.data_dir).iterdir())
      / 1e6)


@contextlib.contextmanager
def _parallel(processes: int, chunk: int) -> Iterator[Callable]:
  """Gives a `map` over so many processes; Python's own if fewer than two."""
  if processes < 2:
    yield map
    return
  # Spawned: a fork would copy the locks of JAX's threads.
  pool = futures.ProcessPoolExecutor(
      processes, multiprocessing.get_context("spawn"), _end_with_parent)
  try:
    yield functools.partial(pool.map, chunksize=max(1, chunk))
  finally:
    pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
  """Ends this process when its parent does, even if that was killed."""
  parent = multiprocessing.parent_process()
  assert parent is not None  # This is a worker.

  def wait():
    parent.join()
    os._exit(1)
  threading.Thread(target=wait, daemon=True).start()


@contextlib.contextmanager
def _locked(directory: pathlib.Path) -> Iterator[None]:
  """Lets one process at a time in; killing it releases the lock."""
  try:
    directory.mkdir(parents=True, exist_ok=True)
    lock = locks.Lock(directory, wait=True)
  except OSError as error:
    raise InputError(
        f"data_dir: {directory} cannot be written ({error.strerror}); name "
        "another directory") from error
  try:
    yield
  finally:
    lock.release()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
  """Silences what TFDS prints, and its warning about unregistered configs."""
  logger = logging.getLogger("absl")
  level = logger.level
  logger.setLevel(logging.ERROR)
  try:
    with contextlib.redirect_stdout(io.StringIO()):
      yield
  finally:
    logger.setLevel(level)


class _Info(tfds.core.DatasetInfo):

  def initialize_from_bucket(self) -> None:
    """Nothing is looked up on the network."""
