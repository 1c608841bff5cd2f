"""The inflated U-Net and the image model it was inflated from."""

import dataclasses

from einops import rearrange, repeat
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tav_jax.models.layers import Compute
from tav_jax.models.unet import UNet3D, UNetConfig
from tav_jax.pretrained import load_unet

CONFIG = UNetConfig(
    channels=(32, 64), layers=(1, 1), heads=(4, 2), text_width=16,
    down_attention=(True, False), up_attention=(False, True))
TEXT = jax.random.normal(jax.random.key(1), (1, 5, 16))


def apply(config, params, latents, text=TEXT):
  text = jnp.broadcast_to(text, (len(latents), *text.shape[1:]))
  times = jnp.full(len(latents), 300)
  return jax.jit(UNet3D(config).apply)({"params": params}, latents, times, text)


@pytest.fixture(scope="module")
def params():
  return jax.jit(UNet3D(CONFIG).init)(
      jax.random.key(0), jnp.zeros((1, 2, 8, 8, 4)), jnp.zeros(1, int),
      TEXT)["params"]


@pytest.mark.parametrize("size", [(8, 8), (7, 5), (9, 12)])
def test_identical_frames_give_the_image_models_output(params, size):
  image = jax.random.normal(jax.random.key(2), (1, 1, *size, 4))
  alone = apply(CONFIG, params, image)
  video = apply(CONFIG, params, repeat(image, "b 1 h w c -> b 4 h w c"))
  assert alone.shape == image.shape
  for frame in range(4):
    np.testing.assert_allclose(video[:, frame], alone[:, 0], atol=1e-4)


def test_frames_as_clips_give_the_image_models_output(params):
  images = jax.random.normal(jax.random.key(2), (1, 3, 8, 8, 4))
  together = apply(CONFIG, params, rearrange(images, "1 f h w c -> f 1 h w c"))
  for i in range(3):
    np.testing.assert_allclose(
        together[i], apply(CONFIG, params, images[:, i:i + 1])[0], atol=1e-4)


def test_remat_and_blocks_do_not_change_the_function(params):
  config = dataclasses.replace(
      CONFIG, compute=Compute(remat=True, attention_block=5))
  latents = jax.random.normal(jax.random.key(2), (1, 3, 8, 8, 4))

  def value_and_grad(config):
    loss = lambda p: (apply(config, p, latents) ** 2).mean()
    return jax.jit(jax.value_and_grad(loss))(params)

  for a, b in zip(*map(jax.tree.leaves, (
      value_and_grad(config), value_and_grad(CONFIG))), strict=True):
    np.testing.assert_allclose(a, b, atol=1e-5)


def test_bfloat16_is_close(params):
  config = dataclasses.replace(CONFIG, compute=Compute(dtype=jnp.bfloat16))
  latents = jax.random.normal(jax.random.key(2), (1, 3, 8, 8, 4))
  exact, rough = (apply(c, params, latents) for c in (CONFIG, config))
  assert rough.dtype == jnp.float32
  assert np.linalg.norm(rough - exact) < 0.05 * np.linalg.norm(exact)


def test_temporal_layers_mix_frames_once_tuned(sd1):
  """The property above would hold of a network without temporal layers."""
  config, still = load_unet(sd1 / "unet")
  _, moving = load_unet(sd1 / "unet", sd1 / "temporal.safetensors")
  latents = jax.random.normal(jax.random.key(2), (1, 3, 8, 8, 4))
  text = jnp.zeros((1, 4, 32))
  a, b = (apply(config, p, latents, text) for p in (still, moving))
  assert np.abs(a - b).max() > 1e-2
