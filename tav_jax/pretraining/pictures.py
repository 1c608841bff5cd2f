"""What stages train on: captioned pictures or clips, later their latents."""

from collections.abc import Callable, Iterator, Sequence
import dataclasses
import logging
import pathlib
from typing import Any

import jax
from ml_collections import ConfigDict
import numpy as np

from tav_jax.data import batches, datasets, names, video
from tav_jax.errors import InputError
from tav_jax.storybook import dataset
from tav_jax.storybook.world import scene

log = logging.getLogger(__name__)

STORYBOOK = "storybook"
_TEST_CLIPS = 256
_TEST_EVERY = 20  # One in so many of a user's pictures is kept for testing.


class Some:
  """Some of a source's records."""

  def __init__(self, source, numbers: Sequence[int]):
    self._source, self._numbers = source, numbers

  def __len__(self) -> int:
    return len(self._numbers)

  def __getitem__(self, i: int) -> dict[str, Any]:
    return self._source[self._numbers[i]]


@dataclasses.dataclass(frozen=True)
class Pictures:
  """Splits of captioned pictures, or of clips, by name.

  Attributes:
    splits: Random-access sources of records with `image` (uint8 `h w c`) or
      `video` (`f h w c`) and its `fps`, `caption` and, if drawn, `scene` and
      `labels`: "train", "test" and, of drawings, "held_out".
  """

  splits: dict[str, Any]

  def batches(
      self, size: int, seed: int, start: int, transform: Callable
  ) -> Iterator[dict[str, np.ndarray]]:
    """Batches from number `start` on; of each, this process's share."""
    return batches.batches(
        self.splits["train"], batch_size=size, seed=seed, start=start,
        process_index=jax.process_index(), process_count=jax.process_count(),
        transform=transform)

  def first(self, split: str, count: int) -> list[dict[str, Any]]:
    """The first records of a split."""
    source = self.splits[split]
    return [source[i] for i in range(min(count, len(source)))]


def load(config: ConfigDict, workdir: pathlib.Path) -> Pictures:
  """Draws or reads what `config` names, and keeps it.

  Args:
    config: `source` ("storybook" or a folder with `metadata.jsonl`), `count`
      (how many to draw), `size` in pixels, `seed`, `free` (random looks),
      `directory` ("" is `data` in the workdir) and, for clips, `frames` of
      each: the section `data`.
    workdir: The directory of the run.

  Raises:
    InputError: If the folder has no such file, or holds the other kind.
  """
  directory = names.at_home(config.directory or workdir / "data")
  if config.source == STORYBOOK:
    how = dict(data_dir=directory, count=config.count, size=config.size,
               seed=config.seed, free=config.free)
    return Pictures(datasets.load(
        dataset.StorybookVideos(**how, test_count=_TEST_CLIPS, frames=frames)
        if (frames := frames_of(config)) > 1
        else dataset.StorybookImages(**how)))
  whole = _folder(config, directory)
  held_back = range(0, len(whole), _TEST_EVERY)
  kept = sorted(set(range(len(whole))) - set(held_back))
  return Pictures({"train": Some(whole, kept), "test": Some(whole, held_back)})


def frames_of(config: ConfigDict) -> int:
  """Frames of a record of the section `data`: 1 for pictures."""
  return config.get("frames", 1)


def _folder(config: ConfigDict, directory: pathlib.Path):
  frames = frames_of(config)
  try:
    folder = datasets.CaptionedFolder(
        folder=config.source, data_dir=directory, size=config.size,
        frames=frames, stride=1)
    if ("video" in folder.features()) != (frames > 1):
      raise InputError(
          "these are clips; expected pictures, or a config with clips such as "
          "configs/pretrain_vdm.py" if frames == 1 else
          f"these are pictures; expected clips of {frames} frames and more, "
          "or a config with pictures such as configs/pretrain_ddpm.py")
    return datasets.load(folder)["train"]
  except InputError as error:
    raise InputError(f"data.source={config.source}: {error}") from error


def pixels(records: list[dict[str, Any]]) -> np.ndarray:
  """The records' pictures in [-1, 1], `b h w c`."""
  return video.to_model(np.stack([record["image"] for record in records]))


def training_caption(record, rng: np.random.Generator) -> str:
  """A caption: of drawings with clauses left out, of other pictures as it is.
  """
  if "scene" not in record:
    return record["caption"]
  drawn = scene.from_json(record["scene"])
  return scene.training_caption(drawn, rng)
