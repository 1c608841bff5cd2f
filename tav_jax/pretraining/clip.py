"""The CLIP stage: image and text towers, contrastively (arXiv 2103.00020)."""

import logging
import pathlib

import jax
from ml_collections import ConfigDict
import numpy as np
from PIL import Image

from tav_jax.data import video
from tav_jax.models import initial
from tav_jax.models.clip import (
  CLIP,
  CLIPConfig,
  CLIPTextConfig,
  CLIPVisionConfig,
)
from tav_jax.pretrained import clip as pretrained_clip
from tav_jax.pretrained.clip_config import Preprocessing
from tav_jax.pretrained.parts import token_ids
from tav_jax.pretraining import pictures as pictures_lib
from tav_jax.pretraining import stage, start
from tav_jax.training import contrastive

log = logging.getLogger(__name__)

_MEASURED = 256
# Factors on CLIP's initial embeddings, of size 0.02 and 0.01: from so small a
# start, a short training would spend most of its time on growing them.
_TOKEN_SCALE, _POSITION_SCALE = 10.0, 5.0


def train(
    workdir: pathlib.Path, config: ConfigDict,
    pictures: pictures_lib.Pictures, tokenizer,
) -> None:
  """Trains and exports to `workdir`/model/clip.

  Args:
    workdir: Directory of the whole run.
    config: `seed`, `start`, `data`, `model`, `optimizer`, `run` of the stage.
    pictures: Pictures to train on.
    tokenizer: Tokenizer of the captions.
  """
  size = config.model.image_size
  clip = configuration(config.model, tokenizer)
  params = init(clip, config.seed)
  if earlier := start.locate(config.start):
    params = start.merge(
        params, pretrained_clip.load_clip(earlier / "clip").params, "CLIP")
  positions = clip.text.positions
  records = pictures.first("test", _MEASURED)
  measured = (
      np.stack([_image(record["image"], size) for record in records]),
      token_ids(tokenizer, positions, [r["caption"] for r in records])[0])

  def example(record, rng):
    caption = pictures_lib.training_caption(record, rng)
    return {"image": _image(record["image"], size),
            "tokens": token_ids(tokenizer, positions, [caption])[0][0]}

  def look(look: stage.Look):
    image, text, _ = jax.jit(CLIP(clip).apply)(
        {"params": look.params}, *measured)
    by_image, by_text = map(float, contrastive.retrieval(image, text))
    look.scalars({"top1_by_image": by_image, "top1_by_text": by_text})
    log.info(
        "clip: of %d test pairs %.0f %% of images find their text, %.0f %% of "
        "texts their image", len(image), 100 * by_image, 100 * by_text)
    half = (0.5,) * 3
    pretrained_clip.export_clip(
        workdir / "model/clip", clip, look.params, tokenizer,
        Preprocessing(size, size, half, half), np.float16)

  stage.train(
      "clip", workdir, config, params, loss(clip),
      lambda start: pictures.batches(
          config.optimizer.batch_size, config.seed, start, example), look)


def _image(pixels: np.ndarray, size: int) -> np.ndarray:
  """A picture at the image tower's size, in [-1, 1]."""
  if pixels.shape[0] != size:
    pixels = np.asarray(Image.fromarray(pixels).resize(
        (size, size), Image.Resampling.BICUBIC))
  return video.to_model(pixels)


def configuration(model: ConfigDict, tokenizer) -> CLIPConfig:
  """Config of both towers, for that tokenizer."""
  tower = dict(
      width=model.width, mlp_width=4 * model.width, layers=model.layers,
      heads=model.heads)
  return CLIPConfig(
      text=CLIPTextConfig(
          **tower, vocab_size=len(tokenizer),
          positions=tokenizer.model_max_length),
      vision=CLIPVisionConfig(
          **tower, image_size=model.image_size, patch_size=model.patch_size),
      embed_width=model.embed_width, eos_token=tokenizer.eos_token_id)


def init(clip: CLIPConfig, seed: int):
  """Initial parameters."""
  size = clip.vision.image_size
  params = initial.init(
      CLIP(clip), seed, np.zeros((1, size, size, 3), np.float32),
      np.zeros((1, clip.text.positions), np.int32))
  embeddings = params["text_model"]["embeddings"]
  for name, scale in (("token_embedding", _TOKEN_SCALE),
                      ("position_embedding", _POSITION_SCALE)):
    embeddings[name]["embedding"] *= scale
  return params


def loss(clip: CLIPConfig):
  """The contrastive loss as a `training.step.Loss`."""
  net = CLIP(clip)

  def loss(params, frozen, batch, key):
    del frozen, key
    return contrastive.contrastive_loss(
        *net.apply({"params": params}, batch["image"], batch["tokens"]))

  return loss
