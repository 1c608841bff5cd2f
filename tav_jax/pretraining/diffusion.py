"""The diffusion stage: latent diffusion with text, or DDPM in pixels."""

import dataclasses
import logging
import pathlib

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np

from tav_jax import text_to_image
from tav_jax.data import sheet, video
from tav_jax.evaluation import judge
from tav_jax.models.clip import CLIPTextConfig
from tav_jax.models.unet import UNet3D, UNetConfig
from tav_jax.models.vae import VAEConfig
from tav_jax.pretrained import load, pipeline
from tav_jax.pretrained.clip import load_clip
from tav_jax.pretrained.parts import TextEncoder, token_ids
from tav_jax.pretraining import latents, stage
from tav_jax.pretraining import pictures as pictures_lib
from tav_jax.sampling.schedule import Schedule
from tav_jax.training import diffusion
from tav_jax.types import Params

log = logging.getLogger(__name__)

_SHOWN = 48


def train_latent(
    workdir: pathlib.Path, config: ConfigDict,
    pictures: pictures_lib.Pictures, tokenizer,
) -> None:
  """Latent diffusion: U-Net and text encoder, exported to `workdir`/model.

  The text encoder starts as that of the CLIP stage.

  Args:
    workdir: Directory of the whole run, where the stages before have left
      `model/vae` and `model/clip`.
    config: `seed`, `data`, `model`, `schedule`, `sampling`, `optimizer`, `run`.
    pictures: What to train on.
    tokenizer: Of the captions.
  """
  model = workdir / "model"
  vae = load.load_vae(model / "vae")
  clip = load_clip(model / "clip")
  text = clip.config.text
  unet = latent_network(config.model, vae.config, text, config.data.size)
  schedule = Schedule(**config.schedule)
  encoded = latents.encode(
      pictures, vae, model / "vae" / pipeline.WEIGHTS, workdir / "latents")
  blank = token_ids(tokenizer, text.positions, [""])[0]

  def example(record, rng):
    caption = pictures_lib.training_caption(record, rng)
    if rng.random() < config.model.no_caption:
      caption = ""
    return {"mean": record["mean"], "std": record["std"],
            "tokens": token_ids(tokenizer, text.positions, [caption])[0][0]}

  records = {
      name: pictures.first(name, _SHOWN)
      for name in pictures.splits if name != "train"}

  def look(look: stage.Look):
    pipeline.write_unet(model, unet, look.params["unet"])
    pipeline.write_text_encoder(model, text, look.params["text"], tokenizer)
    pipeline.write_scheduler(model, schedule)
    pipeline.write_index(model)
    encoder = TextEncoder(text, look.params["text"])
    embed = lambda captions: encoder(
        token_ids(tokenizer, text.positions, captions)[0])
    size = unet.sample_size
    for name, some in records.items():
      captions = [record["caption"] for record in some]
      sampled = text_to_image.sample(
          unet, schedule, look.params["unet"],
          text_to_image.noise(
              config.seed, (len(some), size, size, unet.in_channels)),
          embed(captions), encoder(blank), scale=config.sampling.guidance,
          num_steps=config.sampling.steps)
      drawn = text_to_image.pictures(vae.decode, sampled)
      sheet.grid(captions, drawn).save(look.directory / f"{name}.png")
      if (model / "judge").is_dir() and "labels" in some[0]:
        accuracy = judge.load(model / "judge").accuracy(
            drawn, [judge.labels(record) for record in some])
        look.scalars({f"{name}/{k}": v for k, v in accuracy.items()})
        log.info(
            "diffusion: %s captions: %s", name, judge.describe(accuracy))

  params = {"unet": init(unet, config.seed), "text": clip.params["text_model"]}
  stage.train(
      "diffusion", workdir, config, params,
      diffusion.loss(unet, text, schedule, config.model.min_snr),
      lambda start: encoded.batches(
          config.optimizer.batch_size, config.seed, start, example), look)


def train_pixels(
    workdir: pathlib.Path, config: ConfigDict,
    pictures: pictures_lib.Pictures,
) -> None:
  """DDPM: a U-Net on pixels without text; samples are ancestral.

  Arguments as for `train_latent`, without a tokenizer.
  """
  size = config.data.size
  unet = dataclasses.replace(
      network(config.model, size), in_channels=3, out_channels=3,
      text_width=None)
  schedule = Schedule(**config.schedule)

  def example(record, rng):
    del rng
    image = video.to_model(record["image"])
    return {"mean": image, "std": np.zeros_like(image)}

  def look(look: stage.Look):
    pipeline.write_unet(workdir / "model", unet, look.params["unet"])
    pipeline.write_scheduler(workdir / "model", schedule)
    key = jax.random.key(config.seed)
    sampled = text_to_image.sample_ancestral(
        unet, schedule, look.params["unet"],
        text_to_image.noise(config.seed, (16, size, size, 3)), key,
        num_steps=config.sampling.steps)
    sheet.grid(
        [""] * len(sampled), text_to_image.pictures(np.asarray, sampled)).save(
            look.directory / "samples.png")

  stage.train(
      "diffusion", workdir, config, {"unet": init(unet, config.seed)},
      diffusion.loss(unet, None, schedule, config.model.min_snr),
      lambda start: pictures.batches(
          config.optimizer.batch_size, config.seed, start, example), look)


def network(model: ConfigDict, size: int) -> UNetConfig:
  """The image network of a config, for latents (or pixels) of that size."""
  attention = tuple(model.attention)
  return UNetConfig(
      channels=tuple(model.channels),
      layers=(model.layers,) * len(model.channels),
      heads=tuple(width // model.head_width for width in model.channels),
      down_attention=attention, up_attention=attention[::-1],
      groups=model.groups, sample_size=size, temporal="none")


def latent_network(
    model: ConfigDict, vae: VAEConfig, text: CLIPTextConfig, size: int
) -> UNetConfig:
  """That network for an autoencoder's latents of pictures of `size` pixels."""
  return dataclasses.replace(
      network(model, size // vae.factor), in_channels=vae.latent_channels,
      out_channels=vae.latent_channels, text_width=text.width)


def init(unet: UNetConfig, seed: int) -> Params:
  """Initial parameters."""
  text = None if unet.text_width is None else jnp.zeros(
      (1, 2, unet.text_width))
  return jax.jit(UNet3D(unet).init)(
      jax.random.key(seed), jnp.zeros((1, 1, 8, 8, unet.in_channels)),
      jnp.zeros(1, jnp.int32), text)["params"]
