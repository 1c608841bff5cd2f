"""Datasets on disk, read at random, without TensorFlow.

Each function returns the splits by name, each a sequence of records (dicts of
arrays and strings) for `tav_jax.data.batches`. What is not in `data_dir` yet is
written first; what is there is used if it was made from the same.

    splits = datasets.storybook_images("data", count=60_000, size=64, seed=0)
    for batch in batches(splits["train"], batch_size=64, seed=0): ...
"""

import os

from tav_jax.data.datasets.builder import Builder, prepare, Records, sources
from tav_jax.data.datasets.folder import CaptionedFolder
from tav_jax.data.datasets.storybook import StorybookImages, StorybookVideos

__all__ = [
    "Builder", "CaptionedFolder", "Records", "StorybookImages",
    "StorybookVideos", "captioned_folder", "prepare", "sources",
    "storybook_images", "storybook_videos"]


def storybook_images(
    data_dir: str | os.PathLike,
    *,
    count: int,
    test_count: int = 1024,
    size: int = 64,
    seed: int = 0,
) -> dict[str, Records]:
  """Drawn pictures with captions; see `StorybookImages` for the fields.

  Args:
    data_dir: Where datasets are kept.
    count: Pictures in `train`.
    test_count: Pictures in `test` and in `held_out`; 0 for no such splits.
    size: Height and width in pixels.
    seed: Of what is drawn.
  """
  return sources(prepare(StorybookImages(
      data_dir=data_dir, count=count, test_count=test_count, size=size,
      seed=seed)))


def storybook_videos(
    data_dir: str | os.PathLike,
    *,
    count: int,
    test_count: int = 64,
    frames: int = 16,
    size: int = 64,
    seed: int = 0,
) -> dict[str, Records]:
  """Drawn clips with captions; see `StorybookVideos` for the fields.

  Args:
    data_dir: Where datasets are kept.
    count: Clips in `train`.
    test_count: Clips in `test` and in `held_out`; 0 for no such splits.
    frames: Frames in a clip.
    size: Height and width in pixels.
    seed: Of what is drawn.
  """
  return sources(prepare(StorybookVideos(
      data_dir=data_dir, count=count, test_count=test_count, frames=frames,
      size=size, seed=seed)))


def captioned_folder(
    folder: str | os.PathLike,
    data_dir: str | os.PathLike,
    *,
    size: int,
    frames: int = 16,
    stride: int = 1,
) -> dict[str, Records]:
  """Your own pictures or clips; see `CaptionedFolder`.

  Args:
    folder: Has the files and `metadata.jsonl`.
    data_dir: Where datasets are kept.
    size: Height and width to crop to, in pixels.
    frames: Of clips, how many frames to take.
    stride: Of clips, the distance between them.

  Raises:
    InputError: If the folder is not such a one.
  """
  return sources(prepare(CaptionedFolder(
      folder=folder, data_dir=data_dir, size=size, frames=frames,
      stride=stride)))
