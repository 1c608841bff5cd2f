"""Progressive distillation of the diffusion stage (arXiv 2202.00512).

Round by round a student learns to do what its teacher does: first, at every
timestep, what the guided network does, without guidance; then, with ever half
as many steps, in one step what the one before does in two. Every round is a run
of its own, `WORKDIR/distillation/ROUND`, that goes on where it was interrupted.
"""

import functools
import pathlib
from typing import Any

from ml_collections import ConfigDict

from tav_jax.pretrained import export, load, load_unet, pipeline, vocabulary
from tav_jax.pretraining import looks, spaces, stage, tasks
from tav_jax.pretraining.pictures import Pictures
from tav_jax.sampling.methods import Method
from tav_jax.training import distillation
from tav_jax.types import Params

NAME = "distillation"
"""The stage; also the directory of its network."""

_DISTILLED = "diffusion"  # The stage whose network is distilled.


def rounds(config: ConfigDict) -> list[tuple[str, int]]:
  """Name of each round and the student's steps, 0 for any timestep.

  Args:
    config: The stage's config: `first` and `last`, steps of the first student
      that makes fewer and of the last.
  """
  steps = [config.first]
  while steps[-1] > config.last:
    steps.append(steps[-1] // 2)
  return [(f"{NAME}/guided", 0)] + [(f"{NAME}/{n}_steps", n) for n in steps]


def student(task: tasks.Task, num_steps: int) -> Method:
  """How a student of a task is sampled, in 0 for as many steps as its teacher.
  """
  alone: dict[str, Any] = {"guidance": 1.0, "low_guidance": None}
  if num_steps:
    alone |= {"sampler": "distilled", "steps": num_steps}
  return task.method(**alone)


def train(
    workdir: pathlib.Path, config: ConfigDict, base: ConfigDict,
    pictures: Pictures,
) -> None:
  """Runs all rounds; exports the last student to `workdir`/model/distillation.

  Args:
    workdir: Directory of the whole run, in which the diffusion stage is done.
    config: `seed`, `first`, `last`, `optimizer`, `run` of every round.
    base: Config of the diffusion stage.
    pictures: Clips to train on.
  """
  model = workdir / "model"
  space = spaces.of(workdir, base.model.latent, base.data.size, pictures)
  text = tokenizer = None
  frozen: dict[str, Params] = {}
  if (model / "text_encoder").is_dir():
    encoder = load.load_text_encoder(model / "text_encoder")
    tokenizer = vocabulary.load_tokenizer(model / "tokenizer")
    text, frozen = encoder.config, {"text": encoder.params}
  task = tasks.make(
      _DISTILLED, base, space.size, space.channels, text, tokenizer)
  _, teacher = load_unet(model)
  shown = looks.records(pictures, task)

  def example(record, rng):
    found = task.example(space, record, rng)
    found.pop("images", None)
    return found | ({} if text is None else {"blank": task.tokens([""])[0]})

  def look(name, steps, look: stage.Look):
    place = model / NAME
    export.export_unet(place, task.unet, look.params["unet"])
    pipeline.write_scheduler(place, task.schedule)
    method = student(task, steps)
    for sheet, records in shown.items():
      drawn = looks.sample(
          task, space, {**look.params, **frozen}, records, method)
      looks.draw(look.directory / sheet, [
          record["caption"] for record in records], drawn)
      accuracy = looks.judged(model / "judge", drawn, records)
      look.scalars({f"{sheet}/{k}": v for k, v in accuracy.items()})

  scale = base.sampling.guidance
  for name, steps in rounds(config):
    stage.check(name, workdir, config)
    learnt = stage.train(
        name, workdir, config, {"unet": teacher},
        distillation.loss(
            task.unet, text, task.schedule, steps, 1.0 if steps else scale),
        lambda start: space.pictures.batches(
            config.optimizer.batch_size, config.seed, start, example),
        functools.partial(look, name, steps),
        {"teacher": teacher, **frozen})
    teacher = learnt["unet"]
