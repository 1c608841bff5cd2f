"""Clips from the networks of a workdir that diffusion stages have trained.

The first makes a clip of a text; those that follow make it finer, stage by
stage (`conditions.SUPER_RESOLUTION`).
"""

from collections.abc import Sequence
import dataclasses
import functools
import logging
import pathlib
from typing import Any

from jaxtyping import UInt8
from ml_collections import ConfigDict
import numpy as np

from tav_jax.data import names, video
from tav_jax.errors import InputError
from tav_jax.pipelines import generation
from tav_jax.pretrained import load as load_lib
from tav_jax.pretrained import load_unet, vocabulary
from tav_jax.pretraining import (
  conditions,
  diffusion,
  distillation,
  interpolation,
  networks,
  spaces,
  tasks,
)
from tav_jax.pretraining import pictures as pictures_lib
from tav_jax.runs import results, settings
from tav_jax.runs import workdir as workdirs
from tav_jax.runs.clock import Clock
from tav_jax.storybook import dataset
from tav_jax.types import Params, Video

log = logging.getLogger(__name__)


def renders(config: ConfigDict) -> bool:
  """Whether a workdir of this config has a model of clips."""
  return "diffusion" in config and pictures_lib.frames_of(config.data) > 1


def render(config: ConfigDict, workdir: pathlib.Path) -> None:
  """Renders the prompts of the config's section `sampling`.

  Raises:
    InputError: If a value is invalid, or a stage was not trained.
  """
  sampling = config.sampling
  _check(sampling)
  clock = Clock()
  with clock("loading"):
    model = load(config, workdir)
    begin = _begin(model, sampling) if sampling.begin else None
  with clock("sampling"):
    clips = model(
        sampling.prompts, sampling.seed, sampling.length,
        begin=None if begin is None else np.repeat(
            begin[None], len(sampling.prompts), axis=0))
  labelled = list(zip(sampling.prompts, clips, strict=True))
  with workdirs.new_samples(workdir, model.step) as directory:
    results.write(directory, labelled, model.fps, sampling.to_dict() | {
        "stages": list(model.stages), "step": model.step})
  log.info("%d videos in %s", len(labelled), directory)
  log.info("%s", clock)


@dataclasses.dataclass(frozen=True)
class Model:
  """A cascade of networks; often of one.

  Attributes:
    space: The form in which networks see clips.
    stages: Task and parameters of each stage, in the order of the cascade.
    rates: Frames a second that each stage makes.
    step: Steps that the first stage had taken.
    every: Frames that the interpolation makes of each but the last.
    student: Steps of the student that is the first stage's network; 0 for the
      network itself.
  """

  space: spaces.Space
  stages: dict[str, tuple[tasks.Task, Params]]
  rates: dict[str, float]
  step: int
  every: int = 1
  student: int = 0

  @property
  def fps(self) -> float:
    """Frames a second of the finished clips."""
    return list(self.rates.values())[-1]

  @property
  def first(self) -> tasks.Task:
    """The task of the stage that makes clips of texts."""
    return next(iter(self.stages.values()))[0]

  def __call__(
      self, captions: Sequence[str], seed: int, length: int = 0,
      begin: Video | None = None, **how,
  ) -> UInt8[np.ndarray, "b f height width rgb"]:
    """Clips of captions.

    Args:
      captions: What the clips show.
      seed: Seed of all noise.
      length: Frames that the first stage makes; 0 for as many as it knows.
      begin: x_0 of the frames that the first stage's clips begin with.
      **how: Further changes of the first stage's `Method`.
    """
    x0: Any = None
    for i, (name, (task, params)) in enumerate(self.stages.items()):
      if isinstance(task.condition, conditions.Interpolation):
        x0 = interpolation.interpolate(
            task, params, captions, x0, self.every, seed, self.rates[name])
        continue
      if x0 is None:
        x0 = task.sample(
            params, captions, frames=task.cuts.frames, seed=seed,
            fps=self.rates[name], begin=begin,
            method=dataclasses.replace(
                distillation.student(task, self.student) if self.student
                else task.method(), length=length, **how))
        continue
      assert isinstance(task.condition, conditions.SuperResolution)
      level = int(task.config.sampling.noise * task.schedule.num_train_steps)
      rng = np.random.default_rng([seed, i])
      given = [task.condition.of(np.asarray(x), level, rng) for x in x0]
      x0 = task.sample(
          params, captions, frames=len(given[0].channels), seed=seed,
          fps=self.rates[name], given=given)
    return generation.clips(self.space.decode, x0)


def load(config: ConfigDict, workdir: pathlib.Path) -> Model:
  """Reads the networks that the stages of a workdir have left so far.

  Of super-resolution those that are not there yet are passed over.

  Raises:
    InputError: If another is missing, or one cannot be read, or if it is not
      known how many frames a second its clips have.
  """
  model, data = workdir / "model", config.data
  every = config.sampling.get("every", 1)
  if every != 1:
    at_once = config.interpolation.clips.frames
    settings.check_ranges(config, [("sampling.every", 1, at_once - 1)])
  wanted = ("diffusion", *(("interpolation",) if every > 1 else ()),
            *conditions.SUPER_RESOLUTION)
  student = config.distillation.last if config.sampling.get(
      "distilled", False) else 0
  stages: dict[str, tuple[tasks.Task, Params]] = {}
  rates: dict[str, float] = {}
  space = spaces.of(workdir, config.diffusion.model.latent, data.size)
  text = tokenizer = None
  texts: Params = {}
  if networks.has_text(config.diffusion.model):
    encoder = load_lib.load_text_encoder(model / "text_encoder")
    tokenizer = vocabulary.load_tokenizer(model / "tokenizer")
    text, texts = encoder.config, {"text": encoder.params}
  for name in wanted:
    if name not in config:
      continue
    part = distillation.NAME if student and name == "diffusion" else name
    place = diffusion.directory(model, part)
    if not (place / "unet").is_dir():
      lacks = f"--workdir={workdir}: no network of {part!r} is in it yet"
      if name in conditions.SUPER_RESOLUTION:
        log.warning("%s: clips stay as the stages before make them", lacks)
        continue
      raise InputError(
          f"{lacks}; run tav_jax.pretrain there with {part!r} among its stages")
    task = tasks.make(
        name, ConfigDict(config[name].to_dict() | {"data": data.to_dict()}),
        space.size, space.channels, text, tokenizer)
    _, params = load_unet(place)
    stages[name] = task, {"unet": params, **texts}
    rates[name] = every * rates["diffusion"] if name == "interpolation" else (
        _fps(config) / max(task.cuts.strides))
  looked = workdir / "diffusion/looked"  # Missing while the first look goes on.
  step = int(looked.read_text()) if looked.is_file() else 0
  return Model(space, stages, rates, step, every, student)


def _check(sampling: ConfigDict) -> None:
  if not sampling.prompts or not all(
      isinstance(prompt, str) for prompt in sampling.prompts):
    raise InputError(
        f"sampling.prompts={sampling.prompts!r}: expected one or more texts")
  settings.check_ranges(sampling, [
      ("seed", *settings.SEEDS), ("length", 0, 100_000), ("fps", 0, 1000)])


def _fps(config: ConfigDict) -> float:
  """Frames a second of the dataset's clips."""
  if config.sampling.fps:
    return config.sampling.fps
  if config.data.source == pictures_lib.STORYBOOK:
    return pictures_lib.frames_of(config.data) / dataset.SECONDS
  raise InputError(
      "sampling.fps=0.0: expected the frames a second of the clips in "
      f"data.source={config.data.source}")


def _begin(model: Model, sampling: ConfigDict) -> np.ndarray:
  """x_0 of a video's frames at the model's frame rate, the last one included.
  """
  task, path = model.first, names.at_home(sampling.begin)
  size, count = task.config.data.size, len(video.read_all(path))
  read = functools.partial(
      video.read, path, width=size, height=size, fit="crop")
  rate = model.rates["diffusion"]
  stride = max(1, round(read(start=0, stride=1, frames=1).fps / rate))
  frames = read(
      start=(count - 1) % stride, stride=stride,
      frames=1 + (count - 1) // stride).frames
  overlap = task.method().overlap
  if not overlap <= len(frames) < sampling.length:
    raise InputError(
        f"sampling.length={sampling.length}: {path} has {len(frames)} frames "
        f"at {rate:g} a second; expected at least {overlap} of them, the "
        "overlap of blocks, and a greater length")
  x0 = np.asarray(model.space.encode(video.to_model(frames)[None])[0])
  return task.smaller(x0)
