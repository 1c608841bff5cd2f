"""The systems of the lineage: what they have learnt from, and their clips."""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import json
import logging
import pathlib
import time
from typing import Any, NamedTuple

from einops import rearrange
from ml_collections import ConfigDict
import numpy as np

from tav_jax import pretrained
from tav_jax.data import atomic, names
from tav_jax.errors import InputError
from tav_jax.evaluation.lineage_scores import Clips, Form, World
from tav_jax.pipelines import generation
from tav_jax.pretrained import files, shapes
from tav_jax.pretrained.parts import token_ids
from tav_jax.pretraining import conditions, pictures, render
from tav_jax.runs import workdir as workdirs
from tav_jax.sampling.methods import Method
from tav_jax.training import optim

log = logging.getLogger(__name__)

_AT_A_TIME = 8  # Clips, which then are on disk.
FRAMES = 24
"""Of the drawn clips that models of pictures are compared with."""


class Loaded(NamedTuple):
  """A model that makes clips.

  Attributes:
    make: From captions and a seed to clips.
    fps: Their frames a second.
    parameters: Parameters of its networks and text encoder.
  """

  make: Callable[[Sequence[str], int], Clips]
  fps: float
  parameters: int


class System(NamedTuple):
  """A row of the table.

  Attributes:
    name: Its name.
    kind: What made it.
    world: The drawings that it has learnt from.
    seen: What it saw in training.
    record: What its clips depend on.
    load: Reads the model.
  """

  name: str
  kind: str
  world: World
  seen: str
  record: Mapping[str, Any]
  load: Callable[[], Loaded]


class Made(NamedTuple):
  """A system's clips as it made them.

  Attributes:
    clips: The clips.
    fps: Frames a second.
    parameters: Parameters of its networks and text encoder.
    seconds: Seconds that a clip took: the median over parts of the work, so
      that compilation is left out of three parts and more.
  """

  clips: Clips
  fps: float
  parameters: int
  seconds: float


def make(
    system: System, captions: Sequence[str], seed: int, directory: pathlib.Path
) -> Made:
  """A system's clips of captions, in order; those in `directory` are read.

  Clips that were made by another state of the system, or of other captions, are
  made anew.
  """
  record = directory / "record.json"
  wanted = json.loads(json.dumps(
      {**system.record, "captions": list(captions), "seed": seed}))
  if directory.is_dir() and not (
      record.is_file() and json.loads(record.read_text()) == wanted):
    log.info("%s: is not what it was; its clips are made anew", system.name)
    atomic.delete(directory)
  if not record.is_file():
    with atomic.replacing(record) as partial:
      partial.write_text(json.dumps(wanted, indent=2) + "\n")
  model, parts = None, []
  for i in range(0, len(captions), _AT_A_TIME):
    file, some = directory / f"{i:04}.npz", captions[i:i + _AT_A_TIME]
    if not file.is_file():
      model = model or system.load()
      begun = time.monotonic()
      clips = model.make(some, seed + i)
      seconds = (time.monotonic() - begun) / len(some)
      with atomic.replacing(file) as partial, partial.open("wb") as opened:
        np.savez(opened, clips=clips, seconds=seconds, fps=model.fps,
                 parameters=model.parameters)
      log.info("%s: %d clips of %d, %.1f s each", system.name,
               i + len(some), len(captions), seconds)
    with np.load(file) as saved:
      parts.append(dict(saved))
  return Made(
      np.concatenate([part["clips"] for part in parts]),
      float(parts[0]["fps"]), int(parts[0]["parameters"]),
      float(np.median([part["seconds"] for part in parts])))


def of_workdir(
    name: str, workdir: str, *, first_stage: bool = False, **how
) -> System:
  """A model that tav_jax.pretrain has trained.

  Args:
    name: Its name.
    workdir: Its workdir.
    first_stage: Whether the stages after the first are left out.
    **how: Changes of the first stage's `Method`.

  Raises:
    InputError: If no model of clips of the drawn world is there.
  """
  path = names.at_home(workdir)
  config = read(name, workdir)
  steps = _steps(config, path)
  if first_stage:
    steps = {"diffusion": steps["diffusion"]}

  def load() -> Loaded:
    model = render.load(config, path)
    if first_stage:
      model = dataclasses.replace(
          model, stages={"diffusion": model.stages["diffusion"]},
          rates={"diffusion": model.rates["diffusion"]})
    networks = [params for _, params in model.stages.values()]
    return Loaded(
        lambda captions, seed: model(captions, seed, **how), model.fps,
        sum(optim.count(params["unet"]) for params in networks)
        + optim.count(networks[0].get("text", {})))

  data = config.data
  return System(
      name, "tav_jax.pretrain", World(data.free, data.size, data.frames),
      seen(config, steps), {
          "workdir": workdir, "config": config.to_dict(), "steps": steps,
          "how": how}, load)


def read(name: str, workdir: str) -> ConfigDict:
  """The config of a workdir with a model of clips of the drawn world."""
  path = names.at_home(workdir)
  what = f"systems.{name}={workdir}"
  if not path.is_dir():
    raise InputError(
        f"{what}: no such workdir; train it with tav_jax.pretrain, or leave it "
        f"out by --config.systems.{name}=")
  config = ConfigDict(workdirs.read_config(path))
  if "data" not in config or not render.renders(config):
    raise InputError(
        f"{what}: expected a workdir of tav_jax.pretrain with a model of "
        "clips, such as configs/pretrain_vdm.py makes")
  if config.data.source != pictures.STORYBOOK:
    raise InputError(
        f"{what}: it has learnt from {config.data.source}; expected a model "
        "of the drawn world, whose true clips are known")
  return config


def _steps(config: ConfigDict, workdir: pathlib.Path) -> dict[str, int]:
  """Steps after which the networks were left that make the clips, by stage.

  As in `render.load`, super-resolution that is not there yet is passed over.
  """
  taken = {}
  for stage in ("diffusion", "interpolation", *conditions.SUPER_RESOLUTION):
    if stage not in config or (
        stage == "interpolation" and config.sampling.get("every", 1) == 1):
      continue
    file = workdir / stage / "looked"
    if file.is_file():
      taken[stage] = int(file.read_text())
    elif stage not in conditions.SUPER_RESOLUTION:
      raise InputError(
          f"{workdir}: the stage {stage!r} has left no network yet; run "
          "tav_jax.pretrain there until it has")
  return taken


def seen(config: ConfigDict, steps: Mapping[str, int]) -> str:
  """What a model saw in training, in words.

  Args:
    config: A config of tav_jax.pretrain.
    steps: Steps that each stage has taken.
  """
  told = [f"the pictures of {config.start!r}"] if config.start else []
  for stage, taken in steps.items():
    section = config[stage]
    count = taken * section.optimizer.batch_size
    clips = f"{count:,} clips"
    if not section.model.get("captioned", True) or (
        section.model.no_caption == 1):
      clips += " without captions"
    if section.clips.images:
      clips += f" and {count * section.clips.images:,} pictures"
    told.append(
        clips if stage == "diffusion" else f"{stage.replace('_', ' ')} {clips}")
  return "; ".join(told)


def of_image_model(name: str, config: ConfigDict, form: Form) -> System:
  """An image model that makes every frame by itself.

  Args:
    name: Its name.
    config: `checkpoint` (of the drawn world's first edition), `guidance`,
      `steps`.
    form: How many frames, and how many a second.
  """
  root = files.locate(config.checkpoint)
  size = shapes.unet_config(root / "unet", None).sample_size
  assert size is not None  # The world's models have one.

  def load() -> Loaded:
    model = pretrained.load_pretrained(root, variant={"temporal": "none"})
    encoder = model.text_encoder
    embed = lambda captions: encoder(token_ids(
        model.tokenizer, encoder.config.positions, captions)[0])

    def make(captions, seed):
      every = [caption for caption in captions for _ in range(form.frames)]
      drawn = generation.pictures(model.vae.decode, generation.sample(
          model.unet_config, model.schedule, model.unet_params,
          generation.noise(
              seed, (len(every), size, size, model.unet_config.in_channels)),
          embed(every), embed([""]),
          method=Method(config.steps, guidance=config.guidance)))
      return rearrange(drawn, "(b f) h w c -> b f h w c", f=form.frames)

    return Loaded(
        make, form.fps,
        optim.count(model.unet_params) + optim.count(encoder.params))

  return System(
      name, "an image model, frame by frame", World(
          False, size * shapes.vae_config(root / "vae").factor, FRAMES),
      f"the pictures of {config.checkpoint!r}",
      {"config": config.to_dict(), "form": list(form)}, load)
