"""The judge: a classifier that tells what a drawn picture shows.

It is trained on drawings, whose labels are known, and counts how many of a
model's samples show what their captions say.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import functools
import pathlib

import jax
from jaxtyping import Float
import numpy as np

from tav_jax.data import video
from tav_jax.errors import InputError
from tav_jax.pretrained import load as load_lib
from tav_jax.pretrained import pipeline, shapes, weights
from tav_jax.pretrained.reader import integer, Kind, listed, OBJECT, Reader
from tav_jax.storybook import dataset
from tav_jax.storybook.classifier import Classifier, ClassifierConfig
from tav_jax.storybook.world.scene import GROUPS
from tav_jax.types import Array, Params

_AT_A_TIME = 64
_SIZE = 64  # Of the embedded judge, whose config does not say it.
_WEIGHTS = "model.safetensors"
_WIDTH = Kind(
    f"a multiple of {ClassifierConfig.groups} up to 4096",
    lambda x: integer(1, 4096).accepts(x) and x % ClassifierConfig.groups == 0)
_KNOWN = dataset.groups(free=True)


@dataclasses.dataclass(frozen=True)
class Judge:
  """A trained classifier of the drawn world's groups.

  Attributes:
    config: Config of the classifier.
    params: Its parameters, on the device.
    size: Height and width of the pictures that it has learnt from.
  """

  config: ClassifierConfig
  params: Params
  size: int = _SIZE

  def __call__(self, images: Float[Array, "b h w c"]) -> dict[str, np.ndarray]:
    """Index of every group's most likely value, for images in [-1, 1].

    Smaller images are enlarged to the size that the judge knows.
    """
    parts = [
        _classify(
            self.config, self.params, max(self.size, images.shape[1]),
            jax.device_put(images[i:i + _AT_A_TIME]))
        for i in range(0, len(images), _AT_A_TIME)]
    return {
        name: np.concatenate([np.argmax(part[name], -1) for part in parts])
        for name, _ in self.config.heads}

  def accuracy(
      self, images: np.ndarray, labels: Sequence[Mapping[str, int]]
  ) -> dict[str, float]:
    """Share of pictures (uint8 `b h w c`) that show their label, by group."""
    shown = self(video.to_model(images))
    return {
        name: float(np.mean(
            shown[name] == np.array([label[name] for label in labels])))
        for name in labels[0]}


def configuration(
    channels: tuple[int, ...], strips: int = 1,
    groups: Mapping[str, Sequence[str]] = GROUPS,
) -> ClassifierConfig:
  """One head for each group of the drawn world."""
  heads = tuple((name, len(values)) for name, values in groups.items())
  return ClassifierConfig(heads, channels, strips=strips)


def describe(accuracy: Mapping[str, float]) -> str:
  """`subject 98.0 %, colour ...`."""
  return ", ".join(
      f"{name} {100 * share:.1f} %" for name, share in accuracy.items())


def labels(record: Mapping) -> dict[str, int]:
  """The labels of a record of `dataset.StorybookImages`, by group."""
  values = list(map(int, record["labels"]))
  names = list(dataset.groups(free=len(values) > len(GROUPS)))
  return dict(zip(names, values, strict=True))


def save(directory: pathlib.Path, judge: Judge) -> None:
  """Writes `config.json` and float16 weights."""
  pipeline.write_part(
      directory, _WEIGHTS, judge.params,
      {"groups": {name: _KNOWN[name] for name, _ in judge.config.heads},
       "channels": judge.config.channels, "strips": judge.config.strips,
       "size": judge.size})


def load(directory: pathlib.Path) -> Judge:
  """Reads a judge that `save` wrote, and puts it on the device.

  Raises:
    InputError: If there is none, or it is a judge of another world.
  """
  if not (directory / "config.json").is_file():
    raise InputError(
        f"{directory}: no judge is there (config.json is missing); train one "
        "with the stage 'judge' of tav_jax.pretrain")
  source = directory / "config.json"
  read = Reader(weights.read_json(source), str(source))
  groups = read.get("groups", OBJECT, {})
  if any(groups.get(name) != list(GROUPS[name]) for name in GROUPS) or any(
      groups[name] != list(_KNOWN.get(name, ())) for name in groups):
    raise InputError(
        f"{directory}: this judge tells other groups than those of "
        "storybook/world/scene.py and look.py; train one anew")
  config = configuration(
      tuple(read.get(
          "channels", listed(_WIDTH, 1, 6), ClassifierConfig.channels)),
      read.get("strips", integer(1, 64), 1), groups)
  expected = shapes.of(Classifier(config), jax.ShapeDtypeStruct(
      (1, 64, 64, 3), np.float32))
  params = jax.device_put(load_lib.load_weights(
      directory, expected, np.float32))
  return Judge(config, params, read.get("size", integer(8, 4096), _SIZE))


@functools.partial(jax.jit, static_argnums=(0, 2))
def _classify(config, params, size: int, images: Array):
  images = jax.image.resize(
      images, (len(images), size, size, images.shape[-1]), "bicubic")
  return Classifier(config).apply({"params": params}, images)
