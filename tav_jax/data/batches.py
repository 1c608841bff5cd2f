"""Batches for training: the `k`th is a pure function of the seed and `k`.

    records   source -> shuffled anew every epoch -> without end -> transform
    batch k   records k B ... (k + 1) B - 1, in process order

so a run that resumes at step `k` needs nothing but `start=k`.
"""

from collections.abc import Callable, Iterator
from typing import Any

import grain
import numpy as np

from tav_jax.errors import InputError

Record = dict[str, Any]
"""Field names to arrays, numbers or strings."""

# Decoding overlaps with the training step; a few batches are in memory.
_READ = grain.ReadOptions(num_threads=2, prefetch_buffer_size=4)


def batches(
    source: grain.sources.RandomAccessDataSource,
    *,
    batch_size: int,
    seed: int,
    start: int = 0,
    process_index: int = 0,
    process_count: int = 1,
    transform: Callable[[Record, np.random.Generator], Record] | None = None,
) -> Iterator[dict[str, np.ndarray]]:
  """Shuffled batches without end; no record is left out of an epoch.

  Args:
    source: Anything with a length and `source[i]`, which returns a record.
    batch_size: Records in a batch, over all processes.
    seed: Seed of the order and of the random numbers that `transform` draws.
    start: Number of the first batch: the step at which a run resumes.
    process_index: Which share of every batch to return.
    process_count: Number of shares; concatenated, they are the whole batch.
    transform: `(record, rng) -> record`. `rng` depends on the seed and on the
      record's place in the stream alone.

  Returns:
    An iterator of records whose arrays have a leading axis of
    `batch_size / process_count`; strings become arrays of strings.

  Raises:
    InputError: If a batch is larger than the source, or no multiple of the
      number of processes.
  """
  if batch_size < 1 or batch_size % process_count:
    raise InputError(
        f"batch_size={batch_size}: expected a multiple of {process_count}, "
        "the number of processes")
  if len(source) < batch_size:
    raise InputError(
        f"batch_size={batch_size}: expected at most {len(source)}, the number "
        "of records; lower it or add records")
  order, draws = map(int, np.random.SeedSequence(seed).generate_state(2))
  records = grain.MapDataset.source(source).shuffle(seed=order).repeat()
  if transform:
    records = records.random_map(_kept(transform), seed=draws)
  shares = records.batch(batch_size // process_count)
  mine = shares[start * process_count + process_index::process_count]
  return iter(mine.to_iter_dataset(_READ))


def _kept(transform: Callable) -> Callable:
  """`transform`, but None is an error: grain would leave the record out."""
  def checked(record, rng):
    record = transform(record, rng)
    if record is None:
      raise TypeError("transform returned None; expected a record")
    return record
  return checked
