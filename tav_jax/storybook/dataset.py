"""The drawn world as datasets: pictures and clips with captions.

Record `i` of a split is a pure function of the seed, the split and `i`.
"""

import functools
import hashlib
import os

import numpy as np
import tensorflow_datasets as tfds

from tav_jax.data.datasets import builder
from tav_jax.storybook.world import look, motion, scene
from tav_jax.storybook.world.look import FREE
from tav_jax.storybook.world.render import render

SECONDS = 2.0  # A clip lasts so long, as those of the package.
_SAMPLED = 64  # Scenes from which the fingerprint of the world is computed.

# Whether a split has the held-out pairs, and a number that seeds its draws.
_SPLITS = {"train": (False, 0), "test": (False, 1), "held_out": (True, 2)}


class _Storybook(builder.Builder):
  """Drawings, of what the classes below say.

  Splits are `train` and `test`, without the held-out pairs of subject and
  place, and `held_out`, with these pairs alone.

  Args:
    data_dir: Where datasets are kept.
    count: Drawings in `train`.
    test_count: Drawings in `test` and in `held_out`; 0 for no such splits.
    size: Height and width in pixels.
    seed: Seed of the drawings.
    free: Whether looks are random, and told by the labels.
    frames: Frames of a drawing.
  """

  def __init__(
      self,
      *,
      data_dir: str | os.PathLike,
      count: int,
      test_count: int = 1024,
      size: int = 64,
      seed: int = 0,
      free: bool = False,
      frames: int = 1,
  ):
    counts = {"train": count, "test": test_count, "held_out": test_count}
    # TFDS reads no empty split.
    self.counts = {split: n for split, n in counts.items() if n}
    self.record_bytes = 3 * frames * size**2
    self._frames, self._size = frames, size
    self._seed, self._free = seed, free
    shape = f"{size}px" if frames == 1 else f"{frames}x{size}px"
    super().__init__(
        data_dir=data_dir,
        config=f"{shape}-{count}-{test_count}-seed{seed}-"
        + _world(free, frames))

  def features(self) -> dict[str, tfds.features.FeatureConnector]:
    return {
        "caption": tfds.features.Text(),
        "labels": tfds.features.Tensor(
            shape=(len(groups(self._free)),), dtype=np.int32),
        "scene": tfds.features.Text(),
    }


class StorybookImages(_Storybook):
  """Drawn pictures.

  A record has

      image    h w c, uint8
      caption  str, with every clause
      labels   int32, one for each of `groups`, in that order
      scene    str, the fields of `scene.Scene` as JSON
  """

  def features(self) -> dict[str, tfds.features.FeatureConnector]:
    return super().features() | {"image": tfds.features.Tensor(
        shape=(self._size, self._size, 3), dtype=np.uint8, encoding="bytes")}

  def work(self, split: str, numbers: range):
    draw = functools.partial(
        _picture, split, self._seed, self._free, self._size)
    return draw, numbers


class StorybookVideos(_Storybook):
  """Drawn clips of some `frames`.

  A record has

      video    f h w c, uint8
      motion   f 4, float32: x, y, phase and pan of each frame
      fps      float32, frames a second: a clip lasts two seconds
      caption, labels, scene (the first frame's)  as a picture's
  """

  def features(self) -> dict[str, tfds.features.FeatureConnector]:
    return super().features() | {
        "video": tfds.features.Tensor(
            shape=(self._frames, self._size, self._size, 3), dtype=np.uint8,
            encoding="bytes"),
        "motion": tfds.features.Tensor(
            shape=(self._frames, 4), dtype=np.float32),
        "fps": tfds.features.Tensor(shape=(), dtype=np.float32)}

  def work(self, split: str, numbers: range):
    draw = functools.partial(
        _clip, split, self._seed, self._free, self._frames, self._size)
    return draw, numbers


def groups(free: bool) -> dict[str, tuple[str, ...]]:
  """The groups that a picture's labels tell, and the values of each in order.
  """
  return scene.GROUPS | (FREE if free else {})


def _picture(
    split: str, seed: int, free: bool, size: int, number: int
) -> dict:
  drawn = _scene(split, seed, free, number)
  return {"image": render(drawn, size), **_words(drawn, free)}


def _clip(
    split: str, seed: int, free: bool, frames: int, size: int, number: int
) -> dict:
  first = _scene(split, seed, free, number)
  moving = motion.video(first, frames)
  return {
      "video": np.stack([render(s, size) for s in moving]),
      "motion": np.array(
          [(s.x, s.y, s.phase, s.pan) for s in moving], np.float32),
      "fps": np.float32(frames / SECONDS),
      **_words(first, free)}


def _scene(split: str, seed: int, free: bool, number: int) -> scene.Scene:
  held_out, of_split = _SPLITS[split]
  rng = np.random.default_rng([seed, of_split, number])
  return scene.random_scene(rng, held_out=held_out, free=free)


def _words(drawn: scene.Scene, free: bool) -> dict:
  labels = scene.labels(drawn) | (look.labels(drawn.look) if free else {})
  return {
      "caption": scene.caption(drawn),
      "labels": np.array(list(labels.values()), np.int32),
      "scene": scene.to_json(drawn)}


@functools.cache
def _world(free: bool, frames: int = 1) -> str:
  """A hash that changes with what is drawn, so that no stale picture is read.
  """
  drawn = [_scene("test", 0, free, number) for number in range(_SAMPLED)]
  digest = hashlib.sha256()
  for some in drawn:
    digest.update(repr(some).encode())
    digest.update(render(some, 32).tobytes())
    if frames > 1:
      digest.update(repr((SECONDS, motion.video(some, frames))).encode())
  return digest.hexdigest()[:8]
