r"""The autoencoder stage of latent diffusion (arXiv 2112.10752, Sec. 3.1).

  L = E |x - D(z)| + 2 E (x - D(z))^2 + w KL(q(z|x) || N(0, 1))          (1)

averaged over pixels and over latent numbers, with z drawn from q(z|x) = N(mean,
exp(logvar)). The log variance starts low: from its usual start, the decoder
learns to ignore z before z carries information.
"""

from collections.abc import Callable
import dataclasses
import functools
import logging
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float
from ml_collections import ConfigDict
import numpy as np

from tav_jax.data import video
from tav_jax.measures import psnr as measures
from tav_jax.models import initial
from tav_jax.models.vae import AutoencoderKL, VAEConfig
from tav_jax.pretrained import load, pipeline
from tav_jax.pretrained.parts import VAE
from tav_jax.pretraining import pictures as pictures_lib
from tav_jax.pretraining import stage, start
from tav_jax.reports import sheet
from tav_jax.types import Array, Params

log = logging.getLogger(__name__)

_FIRST_LOGVAR = -6.0
_SHOWN = 16
_MEASURED, _AT_A_TIME = 256, 16


def train(
    workdir: pathlib.Path, config: ConfigDict, pictures: pictures_lib.Pictures
) -> None:
  """Trains and exports to `workdir`/model/vae.

  Args:
    workdir: Directory of the whole run.
    config: `seed`, `start`, `data`, `model`, `optimizer`, `run` of the stage.
    pictures: Pictures to train on.
  """
  vae = VAEConfig(
      **config.model.to_dict(), sample_size=config.data.size,
      attention_block=0)
  params = init(vae, config.seed)
  if earlier := start.locate(config.start):
    params = start.merge(
        params, load.load_vae(earlier / "vae").params, "autoencoder",
        halves=is_moments)
  measured = pictures_lib.pixels(pictures.first("test", _MEASURED))

  def look(look: stage.Look):
    decoded = np.concatenate([
        np.asarray(_round_trip(vae, look.params, measured[i:i + _AT_A_TIME]))
        for i in range(0, len(measured), _AT_A_TIME)])
    look.scalars({"psnr_db": psnr(measured, decoded)})
    log.info("autoencoder: PSNR %.2f dB on pictures not trained on",
             psnr(measured, decoded))
    pairs = video.to_pixels(np.stack([measured, decoded], 1)[:_SHOWN])
    sheet.grid(
        ["original", "decoded"] * len(pairs),
        pairs.reshape(-1, *measured.shape[1:])).save(
            look.directory / "sheet.png")
    scaled = dataclasses.replace(
        vae, scaling_factor=scaling_factor(vae, look.params, measured))
    pipeline.write_vae(workdir / "model", scaled, look.params)

  stage.train(
      "autoencoder", workdir, config, params,
      loss(vae, config.loss.kl_weight),
      lambda start: pictures.batches(
          config.optimizer.batch_size, config.seed, start, _image), look)


def _image(record, rng):
  del rng
  return {"image": video.to_model(record["image"])}


def init(vae: VAEConfig, seed: int) -> Params:
  """Initial parameters, with a low log variance."""
  image = jnp.zeros((1, vae.factor, vae.factor, vae.in_channels))
  params = initial.init(AutoencoderKL(vae), seed, image)
  bias = params["quant_conv"]["bias"]
  params["quant_conv"]["bias"] = bias.at[vae.latent_channels:].set(
      _FIRST_LOGVAR)
  return params


def is_moments(path: str) -> bool:
  """Whether a parameter's channels are first means, then log variances."""
  return path.startswith(("encoder/conv_out", "quant_conv"))


def loss(vae: VAEConfig, kl_weight: float):
  """Eq. (1) as a `training.step.Loss`."""
  net = AutoencoderKL(vae)

  def loss(params, frozen, batch, key):
    del frozen
    apply: Callable[..., Any] = lambda method, x: net.apply(
        {"params": params}, x, method=method)
    mean, logvar = apply("encode", batch["image"])
    noise = jax.random.normal(key, mean.shape)
    decoded = apply("decode", mean + jnp.exp(0.5 * logvar) * noise)
    error = decoded - batch["image"]
    kl = 0.5 * jnp.mean(mean**2 + jnp.exp(logvar) - 1 - logvar)
    return (jnp.mean(jnp.abs(error)) + 2 * jnp.mean(error**2)
            + kl_weight * kl)

  return loss


def scaling_factor(
    vae: VAEConfig, params: Params, images: Float[Array, "b h w c"]
) -> float:
  """One over the latents' standard deviation (arXiv 2112.10752, App. G)."""
  whole = VAE(dataclasses.replace(vae, scaling_factor=1.0), params)
  return round(float(1 / jnp.std(whole.encode(images[None])[0])), 5)


def psnr(
    images: Float[Array, "b h w c"], decoded: Float[Array, "b h w c"]
) -> float:
  """PSNR of pictures in [-1, 1], averaged over pictures, in dB."""
  return float(np.mean([
      measures.psnr(image, other.clip(-1, 1), span=2.0)
      for image, other in zip(images, decoded, strict=True)]))


@functools.partial(jax.jit, static_argnums=0)
def _round_trip(vae, params, images):
  return AutoencoderKL(vae).apply({"params": params}, images)
