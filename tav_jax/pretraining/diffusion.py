"""The diffusion stage: in latents or, as DDPM, in pixels; with text or without.

Of pictures, or of clips. Latents are sampled with DDIM, pixels with DDPM's own
sampler; a network with text is sampled with guidance.
"""

import functools
import logging
import pathlib

from ml_collections import ConfigDict

from tav_jax.errors import about
from tav_jax.models.clip import CLIPTextConfig
from tav_jax.pretrained import (
  export,
  load,
  load_pretrained,
  load_unet,
  names,
  pipeline,
)
from tav_jax.pretrained.clip import load_clip
from tav_jax.pretraining import (
  card,
  looks,
  networks,
  parts,
  spaces,
  stage,
  start,
  tasks,
)
from tav_jax.pretraining import pictures as pictures_lib
from tav_jax.storybook import judge
from tav_jax.training import diffusion, optim
from tav_jax.types import Params

log = logging.getLogger(__name__)


def train(
    workdir: pathlib.Path, config: ConfigDict,
    pictures: pictures_lib.Pictures, tokenizer, name: str = "diffusion",
) -> None:
  """Trains a U-Net, and the text encoder if any; exports to `workdir`/model.

  The text encoder starts from that of the CLIP stage or, where none has run,
  of the model that parts are taken from.
  An image model with latents and text is exported as a whole text-to-image
  pipeline with a model card. Other stages than "diffusion", whose networks are
  given more than a text, leave theirs in a directory of their name.

  Args:
    workdir: Directory of the whole run, where the stages before have left
      `model/vae`, for latents, and `model/clip`, for text.
    config: `seed`, `start`, `parts`, `data`, `model`, `clips`, `schedule`,
      `sampling`, `optimizer`, `run`.
    pictures: Pictures or clips to train on.
    tokenizer: Tokenizer of the captions; None for a network without text.
    name: The stage, one of `conditions.STAGES`.
  """
  model, latent = workdir / "model", config.model.latent
  wanted = ["vae"] if latent else []
  if tokenizer and not (model / "clip").is_dir():
    wanted += ["text_encoder", "judge"]
  for part in wanted:
    parts.take(config, model, part)
  space = spaces.of(workdir, latent, config.data.size, pictures)
  text, initial = _text(config, model) if tokenizer else (None, {})
  task = tasks.make(
      name, config, space.size, space.channels, text, tokenizer)
  unet = task.unet
  params: Params = {"unet": networks.init(unet, config.seed), **initial}
  if earlier := start.locate(config.start):
    params = start.merge(params, _earlier(earlier, text), "diffusion model")
  if own := config.model.get("after", ""):
    _, before = load_unet(directory(model, own))
    params = start.merge(params, {"unet": before}, f"network of {own}")
  trainable, frozen = _divide(params, config.model, name)
  shown = looks.records(pictures, task)

  def look(look: stage.Look):
    whole = optim.merge(look.params, frozen)
    _export(directory(model, name), task, whole)
    if text is not None and "text" in look.params:
      pipeline.write_text_encoder(model, text, whole["text"], tokenizer)
    accuracies = {}
    for sheet, records in shown.items():
      drawn = looks.sample(task, space, whole, records)
      looks.draw(
          look.directory / sheet, [r["caption"] for r in records], drawn)
      found = looks.fidelity(task, space, records, drawn)
      if accuracy := looks.judged(model / "judge", drawn, records):
        accuracies[sheet] = accuracy
        log.info("%s: %s captions: %s", name, sheet, judge.describe(accuracy))
      if found:
        log.info("%s: %s clips: PSNR %s", name, sheet, ", ".join(
            f"{k} {v:.2f} dB" for k, v in found.items()))
      look.scalars({
          f"{sheet}/{k}": v for k, v in (accuracy | found).items()})
    if task.cuts.frames > 1:
      card.write_clips(
          directory(model, name), config, stage=name, step=look.step,
          sizes={"unet": optim.count(whole["unet"]) / 1e6,
                 "trained": optim.count(look.params.get("unet", {})) / 1e6},
          height=space.size // task.coarser,
          sampler=task.method().sampler,
          accuracies=accuracies, count=len(next(iter(shown.values()))))
    if latent and text is not None and not unet.is_video:
      card.write(
          model, config, step=look.step, accuracies=accuracies,
          count=looks.PICTURES,
          sizes={k: optim.count(v) / 1e6 for k, v in whole.items()}
          | {"words": text.vocab_size, "positions": text.positions})

  stage.train(
      name, workdir, config, trainable,
      diffusion.loss(unet, text, task.schedule, config.model.min_snr),
      lambda start: space.pictures.batches(
          config.optimizer.batch_size, config.seed, start,
          functools.partial(task.example, space)), look, frozen)


def directory(model: pathlib.Path, name: str) -> pathlib.Path:
  """Where a stage leaves its network."""
  return model if name == "diffusion" else model / name


def _text(config, model: pathlib.Path) -> tuple[CLIPTextConfig, Params]:
  """The text encoder that training begins with, and its parameters."""
  if (model / "clip").is_dir():
    clip = load_clip(model / "clip")
    return clip.config.text, {"text": clip.params["text_model"]}
  encoder = load.load_text_encoder(model / "text_encoder")
  return encoder.config, {"text": encoder.params}


def _divide(
    params: Params, model: ConfigDict, name: str
) -> tuple[Params, Params]:
  """Those that train, by the patterns `model.trainable`, and the others."""
  patterns = tuple(model.get("trainable", ()))
  if not patterns:
    return params, {}
  with about(f"{name}.model."):
    trainable, frozen = optim.split(names.flatten(params), patterns)
  return names.unflatten(trainable), names.unflatten(frozen)


def _export(place: pathlib.Path, task: tasks.Task, params: Params) -> None:
  """Writes the network so far, and its schedule."""
  latent = task.config.model.latent
  if task.unet.is_video or task.condition is not None:
    export.export_unet(place, task.unet, params["unet"])
  else:
    pipeline.write_unet(place, task.unet, params["unet"])
    if latent and task.text is not None:
      pipeline.write_index(place)
  pipeline.write_scheduler(place, task.schedule, ancestral=not latent)


def _earlier(directory: pathlib.Path, text) -> Params:
  """An earlier model's network and, if `text`, its text encoder."""
  _, unet = load_unet(directory / "unet", temporal="none")
  if text is None:
    return {"unet": unet}
  return {
      "unet": unet,
      "text": load_pretrained(directory).text_encoder.params}
