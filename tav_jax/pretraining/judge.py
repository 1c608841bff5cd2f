"""The judge stage: a classifier of drawings (see `storybook.judge`)."""

import logging
import pathlib
from typing import Any

import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np
import optax

from tav_jax.data import video
from tav_jax.models import initial
from tav_jax.pretraining import stage
from tav_jax.pretraining.pictures import Pictures
from tav_jax.storybook import dataset, judge
from tav_jax.storybook.classifier import Classifier, ClassifierConfig

log = logging.getLogger(__name__)

_MEASURED = 1024


def train(
    workdir: pathlib.Path, config: ConfigDict, pictures: Pictures
) -> None:
  """Trains and exports to `workdir`/model/judge.

  Args:
    workdir: Directory of the whole run.
    config: `seed`, `data`, `model`, `optimizer`, `run` of the stage.
    pictures: Drawn pictures with labels.
  """
  classifier = judge.configuration(
      tuple(config.model.channels), config.model.strips,
      dataset.groups(config.data.free))
  splits = {
      name: pictures.first(name, _MEASURED) for name in ("test", "held_out")}

  def look(look: stage.Look):
    trained = judge.Judge(classifier, look.params, config.data.size)
    for name, records in splits.items():
      accuracy = trained.accuracy(
          np.stack([r["image"] for r in records]),
          [judge.labels(r) for r in records])
      look.scalars({f"{name}/{k}": v for k, v in accuracy.items()})
      log.info("judge: %s drawings: %s", name, judge.describe(accuracy))
    judge.save(workdir / "model/judge", trained)

  stage.train(
      "judge", workdir, config,
      initial.init(
          Classifier(classifier), config.seed, jnp.zeros((1, 64, 64, 3))),
      loss(classifier),
      lambda start: pictures.batches(
          config.optimizer.batch_size, config.seed, start, _example), look)


def _example(record, rng):
  del rng
  return {"image": video.to_model(record["image"]),
          "labels": record["labels"]}


def loss(classifier: ClassifierConfig):
  """Cross entropy, summed over the groups, as a `training.step.Loss`."""
  net = Classifier(classifier)

  def loss(params, frozen, batch, key):
    del frozen, key
    logits: Any = net.apply({"params": params}, batch["image"])
    return sum(
        optax.softmax_cross_entropy_with_integer_labels(
            logits[name], batch["labels"][:, i]).mean()
        for i, (name, _) in enumerate(classifier.heads))

  return loss
