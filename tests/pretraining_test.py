"""What the stages of pretraining compute, against literal formulas."""

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import transformers

from configs import pretrain_ddpm, pretrain_storybook
from tav_jax.errors import InputError
from tav_jax.models import initial
from tav_jax.models.clip import CLIPTextConfig, CLIPTextModel
from tav_jax.models.unet import UNet3D, UNetConfig
from tav_jax.models.vae import AutoencoderKL, VAEConfig
from tav_jax.pipelines import generation
from tav_jax.pretrained import configs, load_unet, pipeline, shapes, vocabulary
from tav_jax.pretrained.parts import token_ids, VAE
from tav_jax.pretraining import (
  autoencoder,
  judge,
  latents,
  networks,
  start,
  tokenizer,
)
from tav_jax.pretraining.pictures import Pictures
from tav_jax.sampling.methods import Method
from tav_jax.sampling.schedule import Schedule
from tav_jax.storybook import judge as judge_lib
from tav_jax.storybook.world import scene
from tav_jax.training import diffusion as diffusion_loss
from tav_jax.training import optim

TINY_VAE = VAEConfig(
    latent_channels=2, channels=(4, 4), layers=1, groups=2, attention_block=0)
TEXT = CLIPTextConfig(
    width=8, mlp_width=8, layers=1, heads=2, vocab_size=20, positions=5)
UNET = UNetConfig(
    in_channels=2, out_channels=2, channels=(8,), layers=(1,), heads=(2,),
    down_attention=(False,), up_attention=(False,), text_width=8, groups=4,
    sample_size=4, temporal="none")
POSITIONS = pretrain_storybook.get_config().tokenizer.positions


def perturbed(params, scale=0.1):
  """Parameters of which none is zero."""
  leaves, tree = jax.tree.flatten(params)
  random = np.random.default_rng(0)
  return jax.tree.unflatten(tree, [
      x + scale * random.standard_normal(x.shape).astype(np.float32)
      for x in leaves])


# The average of the parameters.


def test_average_is_a_loop_and_updates_are_the_optimizers():
  decay, params = 0.5, {"x": jnp.array([1.0, -2.0]), "y": jnp.ones(())}
  gradient = jax.grad(lambda p: jnp.sum(p["x"] ** 2) * p["y"])
  plain, wrapped = optim.adamw(0.1), optim.averaged(optim.adamw(0.1), decay)
  state, other = plain.init(params), wrapped.init(params)
  expected = jax.tree.map(np.asarray, params)
  for s in range(12):  # The decay rises until the ninth.
    updates, state = plain.update(gradient(params), state, params)
    same, other = wrapped.update(gradient(params), other, params)
    jax.tree.map(np.testing.assert_array_equal, same, updates)
    params = optax.apply_updates(params, updates)
    keep = min(decay, (1 + s) / (10 + s))
    expected = jax.tree.map(
        lambda old, new, keep=keep: keep * old + (1 - keep) * new, expected,
        jax.tree.map(np.asarray, params))
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-5),
        other.average, expected)
  assert int(other.steps) == 12


# The autoencoder.


@pytest.fixture(scope="module")
def vae() -> VAE:
  return VAE(TINY_VAE, autoencoder.init(TINY_VAE, 0))


@pytest.fixture(scope="module")
def images():
  return np.random.default_rng(0).uniform(-1, 1, (8, 16, 16, 3)).astype(
      np.float32)


@functools.partial(jax.jit, static_argnums=0)
def encode(config, params, images):
  return AutoencoderKL(config).apply(
      {"params": params}, images, method="encode")


def divergence(mean, std):
  """KL(N(mean, std^2) || N(0, 1)) by summing over a fine grid."""
  z, dz = np.linspace(-10, 10, 4001, retstep=True)
  x = mean + std * z
  log_q = -(z**2) / 2 - np.log(std)
  log_p = -(x**2) / 2
  q = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
  return np.sum(q * (log_q - log_p)) * dz


def test_autoencoder_loss(vae, images):
  params = perturbed(vae.params)
  apply = jax.jit(AutoencoderKL(vae.config).apply, static_argnames="method")
  key, weight = jax.random.key(1), 0.3
  mean, logvar = apply({"params": params}, images, method="encode")
  noise = np.asarray(jax.random.normal(key, mean.shape))
  mean, std = np.asarray(mean), np.exp(np.asarray(logvar) / 2)
  error = images - np.asarray(apply(
      {"params": params}, mean + std * noise, method="decode"))
  kl = [divergence(m, s) for m, s in zip(mean.flat, std.flat, strict=True)]
  expected = (
      np.mean(np.abs(error)) + 2 * np.mean(error**2) + weight * np.mean(kl))
  loss = jax.jit(autoencoder.loss(vae.config, weight))
  np.testing.assert_allclose(
      loss(params, {}, {"image": images}, key), expected, rtol=1e-4)


def test_log_variance_starts_low(vae, images):
  _, logvar = encode(vae.config, vae.params, images)
  assert np.abs(logvar + 6).mean() < 2
  bias = vae.params["quant_conv"]["bias"]
  np.testing.assert_array_equal(bias, [0, 0, -6, -6])


def test_scaled_latents_have_unit_deviation(vae, images):
  scale = autoencoder.scaling_factor(vae.config, vae.params, images)
  mean, _ = encode(vae.config, vae.params, images)
  np.testing.assert_allclose(np.std(scale * mean), 1, atol=1e-3)


def test_psnr_is_the_mean_over_pictures():
  images = np.zeros((2, 4, 4, 3), np.float32)
  decoded = np.stack([images[0] + 0.02, images[1] - 0.2])
  # 10 log10(range^2 / mse) with the range of two: 40 and 20 dB.
  np.testing.assert_allclose(autoencoder.psnr(images, decoded), 30, rtol=1e-5)


# Diffusion.


@pytest.mark.parametrize("gamma", [0.5, 5.0])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_min_snr_weights(prediction, gamma):
  schedule = Schedule(prediction=prediction, num_train_steps=100)
  expected = []
  for abar in schedule.alphas_cumprod:
    snr = abar / (1 - abar)
    expected.append(
        min(snr, gamma) / (snr if prediction == "epsilon" else snr + 1))
  weights = diffusion_loss.min_snr_weights(schedule, gamma)
  np.testing.assert_allclose(weights, expected / np.mean(expected), rtol=1e-12)


ZERO_SNR = Schedule(
    prediction="v_prediction", zero_snr=True, spacing="trailing")


@pytest.mark.parametrize("schedule", [Schedule(), ZERO_SNR])
def test_no_weighting_without_a_bound(schedule):
  weights = diffusion_loss.min_snr_weights(schedule, float("inf"))
  np.testing.assert_allclose(weights, 1, rtol=1e-12)


@pytest.mark.parametrize("gamma", [0.5, 5.0])
def test_the_timestep_of_noise_alone_is_trained(gamma):
  """With the weight that v has by itself, as long as gamma allows it."""
  weights = diffusion_loss.min_snr_weights(ZERO_SNR, gamma)
  assert weights[ZERO_SNR.sampling_timesteps(10)[0]] == weights.max() > 0
  abar = ZERO_SNR.alphas_cumprod
  snr = abar / (1 - abar)
  expected = np.minimum(snr + 1, gamma) / (snr + 1)
  np.testing.assert_allclose(weights, expected / np.mean(expected), rtol=1e-12)


@pytest.mark.parametrize("batch,steps", [(1, 1000), (8, 1000), (5, 12), (7, 3)])
def test_a_timestep_in_every_stratum(batch, steps):
  for seed in range(20):
    timesteps = np.asarray(diffusion_loss.stratified(
        jax.random.key(seed), batch, steps))
    assert timesteps.dtype == np.int32 and timesteps.shape == (batch,)
    assert timesteps.min() >= 0 and timesteps.max() < steps
    low = np.floor(np.arange(batch) * steps / batch)
    high = np.ceil(np.arange(1, batch + 1) * steps / batch)
    assert np.all(timesteps >= low) and np.all(timesteps < high)


def batch_of_latents(size=3):
  random = np.random.default_rng(1)
  normal = random.standard_normal((2, size, 1, 4, 4, 2)).astype(np.float16)
  return {"mean": normal[0], "std": np.abs(normal[1]),
          "tokens": random.integers(0, 20, (size, 5)).astype(np.int32)}


@pytest.fixture(scope="module")
def both():
  text = initial.init(CLIPTextModel(TEXT), 0, np.zeros((1, 5), np.int32))
  return perturbed({"unet": networks.init(UNET, 0), "text": text})


@pytest.fixture(scope="module")
def without_text():
  unet = dataclasses.replace(UNET, text_width=None)
  return unet, perturbed(networks.init(unet, 0))


def test_fresh_networks_are_as_flax_draws_them():
  x, t, text = np.zeros((1, 2, 4, 4, 2)), np.zeros(1, np.int32), np.zeros(
      (1, 5, 8))
  expected = jax.jit(UNet3D(UNET).init)(jax.random.key(3), x, t, text)
  jax.tree.map(
      np.testing.assert_array_equal, expected["params"],
      initial.init(UNet3D(UNET), 3, x, t, text))


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_diffusion_loss(both, prediction):
  schedule = Schedule(prediction=prediction, num_train_steps=50)
  batch, key, gamma = batch_of_latents(), jax.random.key(2), 5.0
  value, grads = jax.jit(jax.value_and_grad(diffusion_loss.loss(
      UNET, TEXT, schedule, gamma)))(both, {}, batch, key)

  keys = jax.random.split(key, 3)
  normal = [np.asarray(jax.random.normal(k, (3, 1, 4, 4, 2))) for k in keys[:2]]
  x0 = batch["mean"].astype(float) + batch["std"].astype(float) * normal[0]
  timesteps = diffusion_loss.stratified(keys[2], 3, 50)
  text = jax.jit(CLIPTextModel(TEXT).apply)(
      {"params": both["text"]}, batch["tokens"])
  abar = np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 50) ** 2)
  snr = abar / (1 - abar)
  v = prediction == "v_prediction"
  weights = np.minimum(snr, gamma) / (snr + v)
  network = jax.jit(UNet3D(UNET).apply)
  terms = []
  for i, t in enumerate(np.asarray(timesteps)):
    signal, sigma = abar[t] ** 0.5, (1 - abar[t]) ** 0.5
    noisy = signal * x0[i] + sigma * normal[1][i]
    target = signal * normal[1][i] - sigma * x0[i] if v else normal[1][i]
    output = network(
        {"params": both["unet"]}, np.float32(noisy)[None],
        timesteps[i:i + 1], text[i:i + 1])[0]
    terms.append(weights[t] / weights.mean() * np.mean((output - target) ** 2))
  np.testing.assert_allclose(value, np.mean(terms), rtol=1e-4)
  for name, part in grads.items():
    flat = jax.tree.leaves(part)
    assert all(np.isfinite(x).all() for x in flat)
    assert max(np.abs(x).max() for x in flat) > 1e-6, name


@pytest.mark.parametrize("config", [pretrain_storybook, pretrain_ddpm])
@pytest.mark.parametrize("text_width", [None, 128])
def test_exported_configs_read_back(config, text_width):
  model = config.get_config().diffusion.model
  unet = networks.network(model, 16, 4, text_width)
  read = configs.read_unet(
      json.loads(json.dumps(pipeline.unet_fields(unet))), "unet")
  assert unet == dataclasses.replace(read, spatial="own", temporal="none")


@pytest.mark.parametrize("ancestral", [True, False])
@pytest.mark.parametrize("config", [pretrain_storybook, pretrain_ddpm])
def test_exported_schedules_read_back(tmp_path, config, ancestral):
  schedule = Schedule(**config.get_config().diffusion.schedule)
  pipeline.write_scheduler(tmp_path, schedule, ancestral)
  read = shapes.load_schedule(tmp_path / "scheduler")
  np.testing.assert_array_equal(read.alphas_cumprod, schedule.alphas_cumprod)
  if not ancestral or schedule.alpha_to_one:  # Another sampler's key.
    assert read == schedule


def test_a_network_without_text_is_exported_and_read_back(
    tmp_path, without_text):
  unet, params = without_text
  pipeline.write_unet(tmp_path, unet, params)
  config, read = load_unet(tmp_path, temporal="none")
  assert config == unet
  jax.tree.map(
      lambda a, b: np.testing.assert_array_equal(a, np.float16(b)), read,
      params)


@pytest.mark.parametrize("with_text", [False, True])
def test_ancestral_samples_do_not_depend_on_how_many_there_are(
    both, without_text, with_text):
  schedule = Schedule(
      num_train_steps=20, beta_schedule="linear", beta_start=1e-3, beta_end=0.4,
      steps_offset=0, clip_sample=True)
  unet, params = UNET, both["unet"]
  text = np.random.default_rng(0).standard_normal((20, 5, 8), np.float32)
  if not with_text:
    unet, params = without_text

  def sample(numbers, seed=3):
    noise = generation.noise(seed, (20, 4, 4, 2))[numbers]
    return generation.sample(
        unet, schedule, params, noise, text[numbers] if with_text else None,
        text[:1] if with_text else None, seed=seed,
        method=Method(4, "ancestral", guidance=2.0))

  whole = sample(slice(0, 20))
  assert whole.shape == (20, 1, 4, 4, 2)
  np.testing.assert_allclose(sample(slice(0, 3)), whole[:3], atol=1e-4)
  assert np.abs(sample(slice(0, 3), seed=4) - whole[:3]).max() > 0.1


def test_noise_on_the_way_is_not_that_of_the_start(monkeypatch, without_text):
  """Neither key of a picture is the other's, nor made from it."""
  unet, params = without_text
  given = []
  monkeypatch.setattr(generation, "_sample", lambda *args: (
      given.append(args[5]), args[4])[1])
  noise = generation.noise(0, (20, 4, 4, 2))
  generation.sample(
      unet, Schedule(), params, noise, None, None,
      method=Method(2, "ancestral"))
  data = lambda keys: set(map(tuple, np.asarray(jax.random.key_data(keys))))
  starts = generation._keys(jax.random.key(0), jnp.arange(2000))
  made = [jax.vmap(functools.partial(jax.random.fold_in, key))(
      jnp.arange(1000)) for key in starts[:2]]
  on_the_way = data(jnp.concatenate(given)[:20])
  assert len(on_the_way) == 20
  assert not on_the_way & data(jnp.concatenate([starts, *made]))


# What training starts from.


def test_a_grown_network_keeps_what_the_earlier_one_had():
  new = {"conv": {"kernel": np.zeros((1, 2, 4)), "bias": np.zeros(4)},
         "attention": {"bias": np.ones(2)}}
  old = {"conv": {"kernel": np.array([[[1, 2]]]), "bias": np.array([3, 4])}}
  merged = start.merge(new, old, "network")
  np.testing.assert_array_equal(
      merged["conv"]["kernel"], [[[1, 2, 0, 0], [0, 0, 0, 0]]])
  np.testing.assert_array_equal(merged["conv"]["bias"], [3, 4, 0, 0])
  np.testing.assert_array_equal(merged["attention"]["bias"], [1, 1])
  halves = start.merge(new, old, "network", halves=lambda path: "bias" in path)
  np.testing.assert_array_equal(halves["conv"]["bias"], [3, 0, 4, 0])
  for earlier, says in (
      ({"conv": {"bias": np.zeros(8)}}, "network conv/bias is of shape (8,)"),
      ({"other": np.zeros(1)}, "missing")):
    with pytest.raises(InputError) as error:
      start.merge(new, earlier, "network")
    assert says in str(error.value)


def test_latents_that_have_grown_mean_what_they_meant(vae, images):
  """The first channels of mean and variance are those of the earlier model."""
  wide = dataclasses.replace(vae.config, latent_channels=4)
  earlier = perturbed(vae.params)
  params = start.merge(
      autoencoder.init(wide, 0), earlier, "autoencoder",
      halves=autoencoder.is_moments)
  old, new = (
      encode(config, p, images)
      for config, p in ((vae.config, earlier), (wide, params)))
  # Columns of the last convolution that are new reach the old moments, too.
  kernel = params["quant_conv"]["kernel"]
  assert kernel[..., [2, 3, 6, 7], :][..., [0, 1, 4, 5]].any()
  silent = {**params, "quant_conv": {
      **params["quant_conv"], "kernel": np.where(
          np.isin(np.arange(8), [2, 3, 6, 7])[:, None], 0, kernel)}}
  new = encode(wide, silent, images)
  for a, b in zip(old, new, strict=True):
    np.testing.assert_allclose(b[..., :2], a, rtol=1e-4, atol=1e-5)


# The judge.


def test_judge_loss():
  config = judge_lib.configuration((16,))
  net = judge_lib.Classifier(config)
  random = np.random.default_rng(0)
  images = random.uniform(-1, 1, (3, 8, 8, 3)).astype(np.float32)
  labels = np.stack([
      random.integers(0, count, 3) for _, count in config.heads], 1)
  params = initial.init(net, 0, images)
  logits, expected = jax.jit(net.apply)({"params": params}, images), 0.0
  for column, (name, _) in enumerate(config.heads):
    for i in range(3):
      z = np.asarray(logits[name][i], float)
      chance = np.exp(z[labels[i, column]]) / np.sum(np.exp(z))
      expected -= np.log(chance) / 3
  value = jax.jit(judge.loss(config))(
      params, {}, {"image": images, "labels": labels}, jax.random.key(0))
  np.testing.assert_allclose(value, expected, rtol=1e-5)


# The tokenizer.


def captions(count, seed=0):
  rng = np.random.default_rng(seed)
  return [scene.caption(scene.random_scene(rng)) for _ in range(count)]


@pytest.fixture(scope="module")
def words(tmp_path_factory):
  """A tokenizer as the config asks for it, and its directory."""
  directory = tmp_path_factory.mktemp("tokenizer") / "tokenizer"
  config = pretrain_storybook.get_config().tokenizer
  return tokenizer.train(
      directory, captions(3000), config.vocab_size, POSITIONS), directory


@pytest.mark.parametrize("text", [
    *captions(5, seed=1), "", "A  Panda", "a zebra wears 12 scarves!",
    "pingüino, 雪 \U0001f43c"])
def test_tokens_spell_the_text(words, text):
  learned, _ = words
  ids = learned(text).input_ids
  assert ids[0] == learned.bos_token_id and ids[-1] == learned.eos_token_id
  assert max(ids) < len(learned)
  spelt = learned.decode(ids, skip_special_tokens=True)
  without_spaces = lambda text: "".join(text.lower().split())
  assert without_spaces(spelt) == without_spaces(text)
  assert not {learned.bos_token_id, learned.eos_token_id} & set(ids[1:-1])


def test_no_caption_is_an_end_at_once(words):
  learned, _ = words
  ids, cut = token_ids(learned, POSITIONS, [""])
  end = learned.eos_token_id
  assert ids.tolist() == [[learned.bos_token_id] + [end] * (POSITIONS - 1)]
  assert cut == [""]


def test_every_caption_of_the_world_fits(words):
  """Tokens stay within words, so the longest has the longest of each group."""
  learned, _ = words
  count = lambda text: len(learned(text).input_ids)
  longest = {
      group: max(values, key=count) for group, values in scene.GROUPS.items()}
  longest["wearing"] = longest.pop("clothing")
  text = scene.caption(scene.Scene(**longest))
  assert all(count(other) <= count(text) for other in captions(200, seed=2))
  assert count(text) <= POSITIONS
  assert token_ids(learned, POSITIONS, [text])[1] == [""]


def test_a_tokenizer_is_learned_once_and_loads_as_it_was(words, tmp_path):
  learned, directory = words
  texts = captions(20, seed=3)
  again = tokenizer.train(directory, captions(50, seed=4), 600, POSITIONS)
  learned.save_pretrained(tmp_path)
  theirs = transformers.CLIPTokenizer.from_pretrained(directory)
  for other in (again, vocabulary.load_tokenizer(tmp_path), theirs):
    assert other(texts).input_ids == learned(texts).input_ids
    assert other.model_max_length == POSITIONS


def test_a_tokenizer_is_as_large_as_was_asked_for(tmp_path):
  sizes = {514: 514, 560: 560}
  for size, expected in sizes.items():
    learned = tokenizer.train(
        tmp_path / str(size) / "tokenizer", captions(500), size, 24)
    assert len(learned) == expected


def test_a_tokenizer_half_written_is_learned_anew(words, tmp_path, monkeypatch):
  with monkeypatch.context() as patch:
    patch.setattr(
        tokenizer.Tokenizer, "save_pretrained", lambda *a, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
      tokenizer.train(tmp_path / "tokenizer", captions(3000), 1000, POSITIONS)
  again = tokenizer.train(
      tmp_path / "tokenizer", captions(3000), 1000, POSITIONS)
  assert again.get_vocab() == words[0].get_vocab()
  assert [p.name for p in tmp_path.iterdir()] == ["tokenizer"]


# Latents that are kept.


class Counting(VAE):
  """Counts what it encodes, and breaks off at `fails`."""

  calls, fails = 0, None

  def encode(self, video):
    type(self).calls += 1
    if self.calls == self.fails:
      raise KeyboardInterrupt
    mean = self.config.scaling_factor * video[:, :, ::2, ::2, :2]
    return mean, mean**2


@pytest.fixture
def kept(tmp_path, monkeypatch):
  """`(pictures, weights) -> (mean, std)` of what is kept for them."""
  monkeypatch.setattr(Counting, "calls", 0)

  def encode(images, weights):
    file = tmp_path / "weights"
    file.write_bytes(weights)
    records = [{"image": x, "caption": str(i)} for i, x in enumerate(images)]
    pictures = latents.encode(
        Pictures({"train": records, "test": records[:2]}),
        Counting(TINY_VAE, {}), file, tmp_path / "latents")
    assert pictures.splits["test"] == records[:2]
    train = [*pictures.splits["train"]]
    assert [r["caption"] for r in train] == [r["caption"] for r in records]
    assert all(r.keys() == {"caption", "mean", "std"} for r in train)
    return (np.stack([r[k] for r in train]) for k in ("mean", "std"))

  return encode


@pytest.fixture
def drawn():
  return np.random.default_rng(0).integers(0, 256, (150, 16, 16, 3), np.uint8)


def moments(images):
  mean = TINY_VAE.scaling_factor * (
      images[:, ::2, ::2, :2].astype(np.float32) / 127.5 - 1)
  return mean, mean**2


def assert_kept(values, images):
  for array, expected in zip(values, moments(images), strict=True):
    assert array.dtype == np.float16
    np.testing.assert_array_equal(array[:, 0], np.float16(expected))


def test_a_clips_latents_are_those_of_its_frames(tmp_path, monkeypatch, drawn):
  monkeypatch.setattr(Counting, "calls", 0)
  (tmp_path / "weights").touch()
  clips = [{"video": x, "fps": 12.0} for x in drawn.reshape(10, 15, 16, 16, 3)]
  encoded, = latents.encode(
      Pictures({"train": clips}), Counting(TINY_VAE, {}), tmp_path / "weights",
      tmp_path / "latents").splits.values()
  mean = np.stack([record["mean"] for record in encoded])
  assert mean.shape == (10, 15, 8, 8, 2) and "video" not in encoded[0]
  np.testing.assert_array_equal(
      mean.reshape(150, 8, 8, 2), np.float16(moments(drawn)[0]))


def test_latents_are_kept_until_weights_or_pictures_change(kept, drawn):
  steps = 3  # Of 64 pictures at a time.
  assert_kept(kept(drawn, b"one"), drawn)
  assert_kept(kept(drawn, b"one"), drawn)
  assert Counting.calls == steps
  kept(drawn, b"two")
  assert Counting.calls == 2 * steps
  others = drawn[::-1]
  assert_kept(kept(others, b"two"), others)
  assert Counting.calls == 3 * steps
  assert_kept(kept(others[:100], b"two"), others[:100])


def test_latents_half_encoded_are_not_used(kept, drawn, monkeypatch):
  kept(drawn, b"one")
  others = drawn[::-1]
  for fails in (5, 6):
    with monkeypatch.context() as patch:
      patch.setattr(Counting, "calls", 3)
      patch.setattr(Counting, "fails", fails)
      with pytest.raises(KeyboardInterrupt):
        kept(others, b"two")
  # Neither the new ones nor, though they were whole once, the old.
  assert_kept(kept(drawn, b"one"), drawn)
  assert_kept(kept(others, b"two"), others)


def test_kept_latents_are_the_autoencoders(vae, images, tmp_path):
  pixels = np.round((images + 1) * 127.5).astype(np.uint8)
  (tmp_path / "weights").touch()
  pictures = latents.encode(
      Pictures({"train": [{"image": x} for x in pixels]}), vae,
      tmp_path / "weights", tmp_path / "latents")
  mean, std = vae.encode(pixels[None].astype(np.float32) / 127.5 - 1)
  for i, record in enumerate(pictures.splits["train"]):
    np.testing.assert_allclose(
        record["mean"][0], mean[0, i], rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(
        record["std"][0], std[0, i], rtol=1e-3, atol=1e-6)
