"""Parity of the image parts with diffusers' and transformers' Flax models.

Both get the same random weights, of a Stable Diffusion 1 and a 2 style.
"""

import functools

from diffusers import (
  FlaxAutoencoderKL,
  FlaxDDIMScheduler,
  FlaxUNet2DConditionModel,
)
from diffusers.models import attention_flax
from einops import repeat
from flax import linen as nn
from flax import traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from transformers import CLIPTextConfig, FlaxCLIPTextModel

from bench import random_checkpoint
import tav_jax
from tav_jax.models import clip
from tav_jax.models.clip import CLIPTextModel
from tav_jax.models.unet import UNet3D, UNetConfig
from tav_jax.models.vae import AutoencoderKL
from tav_jax.pretrained import (
  files,
  load,
  load_unet,
  names,
  pipeline,
  shapes,
  vocabulary,
)
from tav_jax.pretrained.parts import token_ids
from tav_jax.sampling import ddim
from tav_jax.sampling.schedule import Schedule

pytestmark = pytest.mark.oracle
STYLES = ("tiny1", "tiny2")


@pytest.fixture(scope="module", params=STYLES)
def checkpoint(request, tmp_path_factory):
  directory = tmp_path_factory.mktemp("oracle") / request.param
  random_checkpoint.write(directory, request.param)
  return directory, tav_jax.load_pretrained(directory)


@pytest.fixture
def exact_gelu(monkeypatch):
  """diffusers' Flax feed-forward has the tanh GELU, its PyTorch the exact."""
  monkeypatch.setattr(
      attention_flax.nn, "gelu", functools.partial(nn.gelu, approximate=False))


def channels_first(x):
  return jnp.moveaxis(x, -1, 1)


def without_temporal(params):
  flat = traverse_util.flatten_dict(params, sep="/")
  return traverse_util.unflatten_dict(
      {k: v for k, v in flat.items() if "_temp/" not in k}, sep="/")


@pytest.mark.parametrize("size", [(6, 10)])
def test_unet_of_identical_frames(checkpoint, exact_gelu, size):
  directory, ours = checkpoint
  oracle, _ = FlaxUNet2DConditionModel.from_config(
      files.read_config(directory / "unet"), return_unused_kwargs=True)
  image = jax.random.normal(jax.random.key(0), (2, *size, 4))
  text = jax.random.normal(jax.random.key(1), (2, 7, 32))
  times = jnp.array([20, 700])
  expected = jax.jit(oracle.apply)(
      {"params": without_temporal(ours.unet_params)}, channels_first(image),
      times, text).sample
  output = jax.jit(UNet3D(ours.unet_config).apply)(
      {"params": ours.unet_params}, repeat(image, "b h w c -> b 3 h w c"),
      times, text)
  for frame in range(3):
    np.testing.assert_allclose(
        channels_first(output[:, frame]), expected, rtol=0, atol=1e-4)


def test_image_unet(checkpoint, exact_gelu):
  """Without temporal layers, on clips of one frame."""
  directory, _ = checkpoint
  image = jax.random.normal(jax.random.key(0), (2, 8, 8, 4))
  text = jax.random.normal(jax.random.key(1), (2, 7, 32))
  assert_image_unet_is_theirs(directory, image, jnp.array([20, 700]), text)


def assert_image_unet_is_theirs(directory, image, times, text):
  config, params = load_unet(directory, temporal="none")
  oracle, _ = FlaxUNet2DConditionModel.from_config(
      files.read_config(directory / "unet"), return_unused_kwargs=True)
  expected = jax.jit(oracle.apply)(
      {"params": params}, channels_first(image), times, text).sample
  output = jax.jit(UNet3D(config).apply)(
      {"params": params}, image[:, None], times, text)
  np.testing.assert_allclose(
      channels_first(output[:, 0]), expected, rtol=0, atol=1e-4)


# What the autoencoder's attention is called in diffusers' Flax models.
_FLAX_ATTENTION = {
    "to_q": "query", "to_k": "key", "to_v": "value", "to_out_0": "proj_attn"}


def test_autoencoder(checkpoint):
  directory, ours = checkpoint
  oracle, _ = FlaxAutoencoderKL.from_config(
      files.read_config(directory / "vae"), return_unused_kwargs=True)
  params = traverse_util.unflatten_dict({
      tuple(_FLAX_ATTENTION.get(key, key) for key in path): x
      for path, x in traverse_util.flatten_dict(ours.vae.params).items()})
  image = jax.random.uniform(jax.random.key(0), (2, 16, 24, 3), minval=-1)
  theirs = functools.partial(oracle.apply, {"params": params})

  @jax.jit
  def encode(image):  # Their distribution is no tree of arrays.
    posterior = theirs(image, method="encode").latent_dist
    return posterior.mean, posterior.logvar

  expected = encode(channels_first(image))
  apply = functools.partial(jax.jit(
      AutoencoderKL(ours.vae.config).apply, static_argnames="method"),
      {"params": ours.vae.params})
  mean, logvar = apply(image, method="encode")
  np.testing.assert_allclose(mean, expected[0], rtol=0, atol=1e-4)
  np.testing.assert_allclose(logvar, expected[1], rtol=0, atol=1e-4)
  decoded = jax.jit(functools.partial(theirs, method="decode"))(
      channels_first(mean)).sample
  np.testing.assert_allclose(
      channels_first(apply(mean, method="decode")), decoded, rtol=0, atol=1e-4)


def test_autoencoder_of_videos_is_of_frames(checkpoint):
  _, ours = checkpoint
  video = jax.random.uniform(jax.random.key(0), (1, 5, 16, 24, 3), minval=-1)
  mean, std = ours.vae.encode(video)
  plain, logvar = jax.jit(
      AutoencoderKL(ours.vae.config).apply, static_argnames="method")(
          {"params": ours.vae.params}, video[0], method="encode")
  scale = ours.vae.config.scaling_factor
  np.testing.assert_allclose(mean[0], scale * plain, atol=1e-5)
  np.testing.assert_allclose(std[0], scale * np.exp(0.5 * logvar), atol=1e-5)
  assert ours.vae.decode(mean).shape == video.shape


def test_text_encoder(checkpoint):
  directory, ours = checkpoint
  config = CLIPTextConfig(**files.read_config(directory / "text_encoder"))
  oracle = FlaxCLIPTextModel(config)
  tokens = jax.random.randint(jax.random.key(0), (3, 16), 0, 600)
  flat = names.flatten(ours.text_encoder.params)
  params = traverse_util.unflatten_dict({
      "text_model/" + path.replace("layers_", "layers/"): x
      for path, x in flat.items()}, sep="/")
  np.testing.assert_allclose(
      jax.jit(CLIPTextModel(ours.text_encoder.config).apply)(
          {"params": ours.text_encoder.params}, tokens),
      jax.jit(lambda tokens: oracle(tokens, params=params).last_hidden_state)(
          tokens), rtol=0, atol=1e-4)


def test_what_pretraining_writes_is_theirs(tmp_path, exact_gelu):
  """One level without attention, but in the middle; float16 on disk."""
  tokenizer = vocabulary.load_tokenizer(
      files.locate("storybook") / "tokenizer")
  random = np.random.default_rng(0)
  draw = lambda shapes: jax.tree.map(
      lambda x: (0.2 * random.standard_normal(x.shape)).astype(np.float16),
      shapes)
  unet = UNetConfig(
      channels=(32,), layers=(2,), heads=(4,), down_attention=(False,),
      up_attention=(False,), text_width=16, temporal="none", sample_size=8)
  text = clip.CLIPTextConfig(
      vocab_size=614, positions=24, width=16, mlp_width=64, layers=1, heads=4)
  of_text = shapes.of(
      CLIPTextModel(text), jax.ShapeDtypeStruct((1, 24), jnp.int32))
  pipeline.write_unet(tmp_path, unet, draw(shapes.of_unet(unet)))
  pipeline.write_text_encoder(tmp_path, text, draw(of_text), tokenizer)

  latents = random.standard_normal((2, 8, 8, 4), np.float32)
  embeds = random.standard_normal((2, 5, 16), np.float32)
  assert_image_unet_is_theirs(
      tmp_path, latents, jnp.array([3, 700]), embeds)

  directory = tmp_path / "text_encoder"
  ours = load.load_weights(directory, of_text, jnp.float32)
  tokens, _ = token_ids(tokenizer, 24, ["a man is running", ""])
  encoder = FlaxCLIPTextModel.from_pretrained(
      directory, config=CLIPTextConfig.from_pretrained(directory))
  encoder.params = jax.tree.map(lambda x: x.astype("float32"), encoder.params)
  np.testing.assert_allclose(
      jax.jit(CLIPTextModel(text).apply)({"params": ours}, tokens),
      encoder(tokens).last_hidden_state, rtol=0, atol=1e-4)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("num_steps", [4, 50])
def test_ddim(prediction, num_steps):
  oracle = FlaxDDIMScheduler(
      beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
      steps_offset=1, set_alpha_to_one=False, clip_sample=False,
      prediction_type=prediction)
  x = jax.random.normal(jax.random.key(0), (2, 3, 4, 5, 4))
  denoise = lambda x, t: jnp.sin(3 * x) + t / 1000
  state = oracle.set_timesteps(oracle.create_state(), num_steps, x.shape)
  expected = x
  for t in state.timesteps:
    expected = oracle.step(
        state, denoise(expected, t), t, expected, return_dict=False)[0]
  output = ddim.sample(denoise, Schedule(prediction=prediction), x, num_steps)
  np.testing.assert_allclose(output, expected, rtol=1e-3, atol=1e-4)
