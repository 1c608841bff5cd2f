"""Parity with the authors' PyTorch implementation, on recorded arrays.

`data/sd1` is a tiny Stable-Diffusion-v1-shaped checkpoint and what the
authors' code computes from it in float32. parity_test.py runs these tests
under the flags that users have.
"""

from conftest import channels_last
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

from tav_jax.models.clip import CLIPTextModel
from tav_jax.models.unet import UNet3D
from tav_jax.models.vae import AutoencoderKL
from tav_jax.pipelines.video_model import network
from tav_jax.pretrained import (
  configs,
  files,
  load_unet,
  names,
  schedulers,
  weights,
)
from tav_jax.sampling import ddim, guidance
from tav_jax.training import optim, step

TRAINABLE = ("attn1/to_q", "attn2/to_q", "attn_temp")


@pytest.fixture(scope="module")
def unet(sd1):
  return load_unet(sd1 / "unet", sd1 / "temporal.safetensors")


@pytest.fixture(scope="module")
def schedule(sd1):
  return schedulers.read_schedule(
      files.read_config(sd1 / "scheduler", "scheduler_config.json"), "sd1")


@pytest.fixture(scope="module")
def tuned(unet, schedule, expected):
  """Three steps on the recorded noise: the state and each step's metrics."""
  config, params = unet
  trainable, frozen = map(
      names.unflatten, optim.split(names.flatten(params), TRAINABLE))

  def loss(trainable, frozen, batch, key):
    del key  # The draws are recorded.
    return step.denoising_loss(
        network(config, trainable, frozen), schedule, *batch)

  optimizer = optim.adamw(1e-3)
  take = jax.jit(step.make_step(loss, optimizer))
  state, metrics = step.init(trainable, optimizer, seed=0), []
  for i in range(3):
    batch = (
        channels_last(expected["train.latents"]),
        channels_last(expected[f"train.noise.{i}"]),
        expected[f"train.timesteps.{i}"].astype(np.int32),
        expected["forward.text_embeds"])
    state, values = take(state, frozen, batch)
    metrics.append(values)
  return config, state.trainable, frozen, metrics


def test_unet_forward(unet, expected):
  config, params = unet
  output = jax.jit(UNet3D(config).apply)(
      {"params": params}, channels_last(expected["forward.latents"]),
      expected["forward.timesteps"].astype(np.int32),
      expected["forward.text_embeds"])
  np.testing.assert_allclose(
      output, channels_last(expected["forward.noise_pred"]), rtol=0, atol=1e-4)


def test_autoencoder(sd1, expected):
  config = configs.read_vae(files.read_config(sd1 / "vae"), "vae")
  variables = {"params": jax.tree.map(
      lambda x: x.astype(np.float32),
      names.unflatten(weights.read_weights(sd1 / "vae")))}
  apply = jax.jit(AutoencoderKL(config).apply, static_argnames="method")
  mean, logvar = apply(
      variables, channels_last(expected["vae.image"]), method="encode")
  decoded = apply(
      variables, channels_last(expected["vae.latents"]), method="decode")
  for output, name in (
      (mean, "mean"), (logvar, "logvar"), (decoded, "decoded")):
    np.testing.assert_allclose(
        output, channels_last(expected[f"vae.{name}"]), rtol=0, atol=1e-4)


def test_text_encoder(sd1, expected):
  directory = sd1 / "text_encoder"
  config = configs.read_text_encoder(files.read_config(directory), "text")
  params = jax.tree.map(
      lambda x: x.astype(np.float32),
      names.unflatten(weights.read_weights(directory)))
  output = jax.jit(CLIPTextModel(config).apply)(
      {"params": params}, expected["text.input_ids"].astype(np.int32))
  np.testing.assert_allclose(
      output, expected["text.last_hidden_state"], rtol=0, atol=1e-4)


def test_three_tuning_steps(tuned, expected):
  *_, metrics = tuned
  for name in ("loss", "grad_norm"):
    np.testing.assert_allclose(
        [m[name] for m in metrics], expected[f"train.{name}"],
        rtol=0, atol=1e-5)


def test_tuned_weights(tuned, sd1):
  """Adam divides by the gradient's own size: compare the mean, not maxima.

  One bias has no gradient but rounding (the next GroupNorm removes it).
  """
  _, trainable, _, _ = tuned
  reference, _ = optim.split(
      names.flat_from_torch(
          load_file(sd1 / "tuned_after_3_steps.safetensors")), TRAINABLE)
  trainable = names.flatten(trainable)
  assert trainable.keys() == reference.keys()
  ours, theirs = (
      np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)])
      for tree in (trainable, reference))
  assert np.mean(np.abs(ours - theirs)) < 1e-6


def relative(a, b):
  return np.linalg.norm(a - b) / np.linalg.norm(b)


def test_ddim_inversion_and_sampling(tuned, schedule, expected):
  config, trainable, frozen, _ = tuned
  net = network(config, trainable, frozen)
  embeds = {
      name: jnp.asarray(expected[f"ddim.{name}_embeds"])
      for name in ("text", "uncond")}
  path = lambda name: np.moveaxis(expected[f"ddim.{name}"], 2, -1)

  inverted = jax.jit(lambda x: ddim.invert_path(
      guidance.conditional(net, embeds["uncond"]), schedule, x, 5))(
          path("inversion")[0])
  sampled = jax.jit(lambda x: ddim.follow(
      guidance.classifier_free(net, embeds["text"], embeds["uncond"], 7.5),
      schedule, x, *ddim.sampling_steps(schedule, 5))[1])(path("sample")[0])
  np.testing.assert_array_equal(
      schedule.sampling_timesteps(5), expected["ddim.timesteps"])
  for i in range(1, 6):
    assert relative(inverted[i], path("inversion")[i]) < 1e-3
    assert relative(sampled[i - 1], path("sample")[i]) < 1e-3
