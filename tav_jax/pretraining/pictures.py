"""What the stages read: captioned pictures, and their latents once encoded."""

from collections.abc import Callable, Iterator
import dataclasses
import json
import logging
import pathlib
from typing import Any

import jax
from ml_collections import ConfigDict
import numpy as np

from tav_jax.data import batches, datasets, video
from tav_jax.data.storybook import scene

log = logging.getLogger(__name__)

STORYBOOK = "storybook"


@dataclasses.dataclass(frozen=True)
class Pictures:
  """Splits of captioned pictures by name; "train" is always there.

  Attributes:
    splits: Random-access sources of records with `image` (uint8 `h w c`),
      `caption` and, if drawn, `scene` and `labels`.
  """

  splits: dict[str, Any]

  def batches(
      self, size: int, seed: int, start: int, transform: Callable
  ) -> Iterator[dict[str, np.ndarray]]:
    """The batches from `start` on: this process's share of each."""
    return batches.batches(
        self.splits["train"], batch_size=size, seed=seed, start=start,
        process_index=jax.process_index(), process_count=jax.process_count(),
        transform=transform)

  def first(self, split: str, count: int) -> list[dict[str, Any]]:
    """The first records of a split; of "train" if there is no such split."""
    source = self.splits.get(split, self.splits["train"])
    return [source[i] for i in range(min(count, len(source)))]


def load(config: ConfigDict, workdir: pathlib.Path) -> Pictures:
  """Draws or reads what `config` (the section `data`) names, once.

  Args:
    config: `source` ("storybook" or a folder with `metadata.jsonl`), `count`
      (how many to draw), `size` in pixels, `seed`, `directory` ("" is `data`
      in the workdir).
    workdir: The directory of the run.
  """
  directory = pathlib.Path(config.directory or workdir / "data").expanduser()
  if config.source == STORYBOOK:
    return Pictures(datasets.storybook_images(
        directory, count=config.count, size=config.size, seed=config.seed))
  return Pictures(datasets.captioned_folder(
      config.source, directory, size=config.size))


def pixels(records: list[dict[str, Any]]) -> np.ndarray:
  """Their pictures in [-1, 1], `b h w c`."""
  return video.to_model(np.stack([record["image"] for record in records]))


def training_caption(record, rng: np.random.Generator) -> str:
  """A drawn picture's caption with clauses left out, others' as they are."""
  if "scene" not in record:
    return record["caption"]
  drawn = scene.Scene(**json.loads(record["scene"]))
  return scene.training_caption(drawn, rng)
