"""The diffusion stage: in latents or, as DDPM, in pixels; with text or without.

Of pictures, or of clips. Latents are sampled with DDIM, pixels with DDPM's own
sampler; a network with text is sampled with guidance.
"""

from collections.abc import Callable, Sequence
import logging
import pathlib
from typing import Any

from einops import rearrange
import jax
from ml_collections import ConfigDict
import numpy as np

from tav_jax.data import video
from tav_jax.errors import about
from tav_jax.models.clip import CLIPTextConfig
from tav_jax.pipelines import generation
from tav_jax.pretrained import (
  export,
  load_pretrained,
  load_unet,
  names,
  pipeline,
)
from tav_jax.pretrained.clip import load_clip
from tav_jax.pretrained.parts import TextEncoder, token_ids
from tav_jax.pretraining import card, networks, parts, spaces, stage, start
from tav_jax.pretraining import cuts as cuts_lib
from tav_jax.pretraining import pictures as pictures_lib
from tav_jax.pretraining.cuts import Cuts
from tav_jax.reports import sheet
from tav_jax.sampling.schedule import Schedule
from tav_jax.storybook import judge
from tav_jax.storybook.world import scene
from tav_jax.training import diffusion, optim
from tav_jax.types import Array, Params

log = logging.getLogger(__name__)

_SHOWN, _SHOWN_CLIPS, _SHOWN_WITHOUT_TEXT = 48, 16, 16
_SHEET_FPS = 6.0


def train(
    workdir: pathlib.Path, config: ConfigDict,
    pictures: pictures_lib.Pictures, tokenizer,
) -> None:
  """Trains a U-Net, and the text encoder if any; exports to `workdir`/model.

  The text encoder starts from that of an earlier model, or of the CLIP stage.
  An image model with latents and text is exported as a whole text-to-image
  pipeline with a model card.

  Args:
    workdir: Directory of the whole run, where the stages before have left
      `model/vae`, for latents, and `model/clip`, for text.
    config: `seed`, `start`, `parts`, `data`, `model`, `clips`, `schedule`,
      `sampling`, `optimizer`, `run`.
    pictures: Pictures or clips to train on.
    tokenizer: Tokenizer of the captions; None for a network without text.
  """
  model, latent = workdir / "model", config.model.latent
  for part in ("vae",) * latent + ("text_encoder", "judge") * bool(tokenizer):
    parts.take(config, model, part)
  if latent:
    space = spaces.latents(workdir, config.data.size, pictures)
  else:
    space = spaces.pixels(config.data.size, pictures)
  cuts = cuts_lib.of(pictures_lib.frames_of(config.data), config.get("clips"))
  text, initial = _text(config, model) if tokenizer else (None, {})
  unet = networks.network(
      config.model, space.size, space.channels,
      None if text is None else text.width)
  params: Params = {"unet": networks.init(unet, config.seed), **initial}
  if earlier := start.locate(config.start):
    params = start.merge(params, _earlier(earlier, text), "diffusion model")
  trainable, frozen = _divide(params, config.model)
  schedule = Schedule(**config.schedule)
  shown = _shown(pictures, text, cuts)

  def told(record, which, fps, rng):
    """What the network sees of some frames of a record."""
    found: dict[str, Any] = dict(space.moments(record, which))
    if text is not None:
      caption = pictures_lib.training_caption(record, rng)
      if rng.random() < config.model.no_caption:
        caption = ""
      found["tokens"] = token_ids(tokenizer, text.positions, [caption])[0][0]
    if unet.scalars:
      found["scalars"] = {networks.FRAME_RATE: np.float32(fps)}
    return found

  source = space.pictures.splits["train"]

  def example(record, rng):
    which, stride = cuts.clip(rng)
    found = told(record, which, record.get("fps", 0) / stride, rng)
    if cuts.images:
      others = [source[int(rng.integers(len(source)))]
                for _ in range(cuts.images)]
      found["images"] = jax.tree.map(lambda *x: np.stack(x), *[
          told(other, cuts.picture(rng), 0, rng) for other in others])
    return found

  def look(look: stage.Look):
    whole = optim.merge(look.params, frozen)
    _export(config, model, unet, schedule, whole)
    if text is not None and "text" in look.params:
      pipeline.write_text_encoder(model, text, whole["text"], tokenizer)
    sample = _sampler(config, unet, schedule, text, tokenizer, cuts)
    accuracies = {}
    for name, records in shown.items():
      captions = [record["caption"] for record in records]
      drawn = generation.clips(
          space.decode, sample(whole, captions, records))
      _draw(look.directory / name, captions, drawn, cuts)
      if (model / "judge").is_dir() and "labels" in records[0]:
        accuracy = _judged(model / "judge", drawn, records)
        look.scalars({f"{name}/{k}": v for k, v in accuracy.items()})
        accuracies[name] = accuracy
        log.info(
            "diffusion: %s captions: %s", name, judge.describe(accuracy))
    if latent and text is not None and not unet.is_video:
      card.write(
          model, config, step=look.step, accuracies=accuracies, count=_SHOWN,
          sizes={k: optim.count(v) / 1e6 for k, v in whole.items()}
          | {"words": text.vocab_size, "positions": text.positions})

  stage.train(
      "diffusion", workdir, config, trainable,
      diffusion.loss(unet, text, schedule, config.model.min_snr),
      lambda start: space.pictures.batches(
          config.optimizer.batch_size, config.seed, start, example), look,
      frozen)


def _text(config, model: pathlib.Path) -> tuple[CLIPTextConfig, Params]:
  """The text encoder that training begins with, and its parameters."""
  earlier = parts.source(config)
  if earlier and (earlier / "text_encoder").is_dir():
    encoder = load_pretrained(earlier).text_encoder
    return encoder.config, {"text": encoder.params}
  clip = load_clip(model / "clip")
  return clip.config.text, {"text": clip.params["text_model"]}


def _divide(params: Params, model: ConfigDict) -> tuple[Params, Params]:
  """Those that train, by the patterns `model.trainable`, and the others."""
  patterns = tuple(model.get("trainable", ()))
  if not patterns:
    return params, {}
  with about("diffusion.model."):
    trainable, frozen = optim.split(names.flatten(params), patterns)
  return names.unflatten(trainable), names.unflatten(frozen)


def _export(config, model, unet, schedule, params) -> None:
  """Writes the network so far to `model`, and its schedule."""
  if unet.is_video:
    export.export_unet(model, unet, params["unet"])
  else:
    pipeline.write_unet(model, unet, params["unet"])
  pipeline.write_scheduler(model, schedule, ancestral=not config.model.latent)
  if config.model.latent and unet.text_width and not unet.is_video:
    pipeline.write_index(model)


def _draw(
    file: pathlib.Path, captions: Sequence[str], drawn: np.ndarray, cuts: Cuts
) -> None:
  """Writes a sheet of pictures; of clips, a moving one and one of frames."""
  if cuts.frames == 1:
    sheet.grid(captions, drawn[:, 0]).save(f"{file}.png")
    return
  videos = list(zip(captions, drawn, strict=True))
  sheet.still(videos).save(f"{file}.png")
  video.write_mp4(
      file.with_suffix(".mp4"),
      video.Clip(sheet.moving(videos, across=8), _SHEET_FPS))


def _judged(
    directory: pathlib.Path, drawn: np.ndarray, records: Sequence[dict]
) -> dict[str, float]:
  """Share of frames that show what the records' captions say, by group."""
  referee = judge.load(directory)
  frames = rearrange(drawn, "b f h w c -> (b f) h w c")
  return referee.accuracy(
      frames, [_said(r) for r in records for _ in range(drawn.shape[1])])


def _earlier(directory: pathlib.Path, text) -> Params:
  """An earlier model's network and, if `text`, its text encoder."""
  _, unet = load_unet(directory / "unet", temporal="none")
  if text is None:
    return {"unet": unet}
  return {
      "unet": unet,
      "text": load_pretrained(directory).text_encoder.params}


def _shown(pictures, text, cuts: Cuts) -> dict[str, list[dict]]:
  """Records whose captions are sampled at every look, by name of the sheet."""
  if text is None:
    return {"samples": [{"caption": ""}] * _SHOWN_WITHOUT_TEXT}
  return {
      name: pictures.first(name, _SHOWN if cuts.frames == 1 else _SHOWN_CLIPS)
      for name in pictures.splits if name != "train"}


def _said(record) -> dict[str, int]:
  """The labels of the groups that a caption tells."""
  labels = judge.labels(record)
  return {name: labels[name] for name in scene.GROUPS}


def _sampler(
    config, unet, schedule, text, tokenizer, cuts: Cuts
) -> Callable[[Params, Sequence[str], Sequence[dict]], jax.Array]:
  """A function from parameters, captions and records to x_0.

  Clips are of the lowest frame rate, which shows the most motion.
  """
  how = {"scale": config.sampling.guidance, "num_steps": config.sampling.steps}
  size, channels = unet.sample_size, unet.out_channels

  def sample(params, captions, records):
    embeds = blank = None
    scalars: dict[str, Array] = {}
    if text is not None:
      encode = TextEncoder(text, params["text"])
      embeds, blank = (
          encode(token_ids(tokenizer, text.positions, words)[0])
          for words in (captions, [""]))
    if unet.scalars:
      slow = max(cuts.strides)
      scalars = {networks.FRAME_RATE: np.asarray(
          [record["fps"] / slow for record in records], np.float32)}
    noise = generation.noise(
        config.seed, (len(captions), cuts.frames, size, size, channels))
    arguments = unet, schedule, params["unet"], noise, embeds, blank
    told = generation.Told(scalars=scalars)
    if config.model.latent:
      return generation.sample(*arguments, **how, told=told)
    return generation.sample_ancestral(
        *arguments, seed=config.seed, **how, told=told)

  return sample
