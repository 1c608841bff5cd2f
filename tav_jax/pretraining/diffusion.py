"""The diffusion stage: in latents or, as DDPM, in pixels; with text or without.

Latents are sampled with DDIM, pixels with DDPM's own sampler; a network with
text is sampled with guidance.
"""

from collections.abc import Callable, Sequence
import logging
import pathlib

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from tav_jax.models.clip import CLIPTextConfig
from tav_jax.models.unet import UNet3D, UNetConfig
from tav_jax.pipelines import text_to_image
from tav_jax.pretrained import load_pretrained, load_unet, pipeline
from tav_jax.pretrained.clip import load_clip
from tav_jax.pretrained.parts import TextEncoder, token_ids
from tav_jax.pretraining import card, spaces, stage, start
from tav_jax.pretraining import pictures as pictures_lib
from tav_jax.reports import sheet
from tav_jax.sampling.schedule import Schedule
from tav_jax.storybook import judge
from tav_jax.storybook.world import scene
from tav_jax.training import diffusion, optim
from tav_jax.types import Params

log = logging.getLogger(__name__)

_SHOWN, _SHOWN_WITHOUT_TEXT = 48, 16


def train(
    workdir: pathlib.Path, config: ConfigDict,
    pictures: pictures_lib.Pictures, tokenizer,
) -> None:
  """Trains a U-Net, and the text encoder if any; exports to `workdir`/model.

  The text encoder starts from that of the CLIP stage, or of an earlier model.
  With latents and text, the export is a whole text-to-image pipeline with a
  model card.

  Args:
    workdir: Directory of the whole run, where the stages before have left
      `model/vae`, for latents, and `model/clip`, for text.
    config: `seed`, `start`, `data`, `model`, `schedule`, `sampling`,
      `optimizer`, `run`.
    pictures: Pictures to train on.
    tokenizer: Tokenizer of the captions; None for a network without text.
  """
  model, latent = workdir / "model", config.model.latent
  if latent:
    space = spaces.latents(workdir, config.data.size, pictures)
  else:
    space = spaces.pixels(config.data.size, pictures)
  text: CLIPTextConfig | None = None
  initial: dict[str, Params] = {}
  if tokenizer is not None:
    clip = load_clip(model / "clip")
    text, initial = clip.config.text, {"text": clip.params["text_model"]}
  unet = network(
      config.model, space.size, space.channels,
      None if text is None else text.width)
  params: Params = {"unet": init(unet, config.seed)} | initial
  if earlier := start.locate(config.start):
    params = start.merge(params, _earlier(earlier, text), "diffusion model")
  schedule = Schedule(**config.schedule)
  shown = _shown(pictures, text)

  def example(record, rng):
    moments = space.moments(record)
    if text is None:
      return moments
    caption = pictures_lib.training_caption(record, rng)
    if rng.random() < config.model.no_caption:
      caption = ""
    ids, _ = token_ids(tokenizer, text.positions, [caption])
    return moments | {"tokens": ids[0]}

  def look(look: stage.Look):
    pipeline.write_unet(model, unet, look.params["unet"])
    if text is not None:
      pipeline.write_text_encoder(model, text, look.params["text"], tokenizer)
    pipeline.write_scheduler(model, schedule, ancestral=not latent)
    if latent and text is not None:
      pipeline.write_index(model)
    sample = _sampler(config, unet, schedule, text, tokenizer)
    accuracies = {}
    for name, records in shown.items():
      captions = [record["caption"] for record in records]
      drawn = text_to_image.pictures(
          space.decode, sample(look.params, captions))
      sheet.grid(captions, drawn).save(look.directory / f"{name}.png")
      if (model / "judge").is_dir() and "labels" in records[0]:
        accuracy = judge.load(model / "judge").accuracy(
            drawn, [_said(record) for record in records])
        look.scalars({f"{name}/{k}": v for k, v in accuracy.items()})
        accuracies[name] = accuracy
        log.info(
            "diffusion: %s captions: %s", name, judge.describe(accuracy))
    if latent and text is not None:
      card.write(
          model, config, step=look.step, accuracies=accuracies, count=_SHOWN,
          sizes={k: optim.count(v) / 1e6 for k, v in look.params.items()}
          | {"words": text.vocab_size, "positions": text.positions})

  stage.train(
      "diffusion", workdir, config,
      params,
      diffusion.loss(unet, text, schedule, config.model.min_snr),
      lambda start: space.pictures.batches(
          config.optimizer.batch_size, config.seed, start, example), look)


def has_text(model: ConfigDict) -> bool:
  """Whether the network of a config's section `model` takes a text."""
  return model.get("captioned", True)


def _earlier(directory: pathlib.Path, text) -> Params:
  """An earlier model's network and, if `text`, its text encoder."""
  _, unet = load_unet(directory / "unet", temporal="none")
  if text is None:
    return {"unet": unet}
  return {
      "unet": unet,
      "text": load_pretrained(directory).text_encoder.params}


def _shown(pictures, text) -> dict[str, list[dict]]:
  """Records whose captions are sampled at every look, by name of the sheet."""
  if text is None:
    return {"samples": [{"caption": ""}] * _SHOWN_WITHOUT_TEXT}
  return {
      name: pictures.first(name, _SHOWN)
      for name in pictures.splits if name != "train"}


def _said(record) -> dict[str, int]:
  """The labels of the groups that a caption tells."""
  labels = judge.labels(record)
  return {name: labels[name] for name in scene.GROUPS}


def _sampler(
    config, unet, schedule, text, tokenizer
) -> Callable[[Params, Sequence[str]], jax.Array]:
  """A function from parameters and captions to x_0."""
  how = {"scale": config.sampling.guidance, "num_steps": config.sampling.steps}
  size, channels = unet.sample_size, unet.in_channels

  def sample(params, captions):
    embeds = blank = None
    if text is not None:
      encode = TextEncoder(text, params["text"])
      embeds, blank = (
          encode(token_ids(tokenizer, text.positions, words)[0])
          for words in (captions, [""]))
    noise = text_to_image.noise(
        config.seed, (len(captions), size, size, channels))
    arguments = unet, schedule, params["unet"], noise, embeds, blank
    if config.model.latent:
      return text_to_image.sample(*arguments, **how)
    return text_to_image.sample_ancestral(*arguments, seed=config.seed, **how)

  return sample


def network(
    model: ConfigDict, size: int, channels: int, text_width: int | None
) -> UNetConfig:
  """The image network of a config.

  Args:
    model: The config's section `model`.
    size: Height and width of the latents (or pixels).
    channels: Channels of the latents (or pixels).
    text_width: Width of the text's embeddings; None for no text.
  """
  attention = tuple(model.attention)
  return UNetConfig(
      in_channels=channels, out_channels=channels,
      channels=tuple(model.channels),
      layers=(model.layers,) * len(model.channels),
      heads=heads(model),
      down_attention=attention, up_attention=attention[::-1],
      text_width=text_width, groups=model.groups, sample_size=size,
      spatial="own", temporal="none")


def heads(model: ConfigDict) -> tuple[int, ...]:
  """Attention heads of each level: as many of `head_width` as its width holds.

  A level that is too narrow for two has one head, of all its channels.
  """
  return tuple(
      max(1, width // model.head_width) if there else 1
      for width, there in zip(model.channels, attends(model), strict=True))


def attends(model: ConfigDict) -> tuple[bool, ...]:
  """Which levels have attention; the coarsest has it at least in MidBlock."""
  return (*model.attention[:-1], True)


def init(unet: UNetConfig, seed: int) -> Params:
  """Initial parameters."""
  text = None if unet.text_width is None else jnp.zeros(
      (1, 2, unet.text_width))
  return jax.jit(UNet3D(unet).init)(
      jax.random.key(seed), jnp.zeros((1, 1, 8, 8, unet.in_channels)),
      jnp.zeros(1, jnp.int32), text)["params"]
