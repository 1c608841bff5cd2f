"""A tuned model: what changes, what is compiled, what prompts give."""

import dataclasses
import logging

import jax
import numpy as np
import pytest

from bench import random_checkpoint
from tav_jax import pretrained
from tav_jax.errors import InputError
from tav_jax.parallel import placement
from tav_jax.pipelines import editing, video_model
from tav_jax.training import optim, step

TRAINABLE = ("attn1/to_q", "attn2/to_q", "attn_temp")
LATENTS = jax.random.normal(jax.random.key(0), (1, 1, 3, 4, 6, 4))


# least1 predicts the noise, least2 v.
@pytest.fixture(scope="module", params=["least1"])
def model(request, tmp_path_factory):
  directory = tmp_path_factory.mktemp("editing") / request.param
  random_checkpoint.write(directory, request.param)
  return video_model.load(video_model.ModelSettings(
      str(directory), trainable=TRAINABLE, attention_block=0))


@pytest.fixture(scope="module")
def tuned(model):
  """The state after two steps, and the frozen tree as it was before."""
  before = jax.tree.map(np.array, model.frozen)
  batch = step.Latents(
      LATENTS, 0.1 * np.ones_like(LATENTS), model.embed(["a"])[None])
  optimizer = optim.adamw(1e-3)
  state = step.init(model.trainable, optimizer, 0)
  steps = step.make_steps(step.make_step(
      step.tuning_loss(model.network, model.schedule), optimizer),
      placement.param_specs(model.mesh, state))
  state = jax.tree.map(lambda x: x[None], state)
  state, metrics = steps(state, model.frozen, batch, 2)
  assert np.isfinite(metrics["loss"]).all()
  return state, before


def edit(model, trainable, prompts, **changes):
  settings = {
      "negative_prompt": "", "guidance_scale": 3.0, "num_steps": 2,
      "batch_size": 2, "progress": lambda n: None} | changes
  latents, = editing.edit(model, trainable, LATENTS, [prompts], **settings)
  return latents


@pytest.mark.parametrize("model", ["least1", "least2"], indirect=True)
def test_only_the_trainable_tree_changes(model, tuned):
  state, before = tuned
  jax.tree.map(np.testing.assert_array_equal, model.frozen, before)
  for path, x in jax.tree.leaves_with_path(state.trainable):
    assert x.dtype == np.float32, path
  moved = jax.tree.map(
      lambda a, b: np.any(a[0] != b), state.trainable, model.trainable)
  assert all(jax.tree.leaves(moved))
  # The authors' count: queries of both attentions, all of the temporal one.
  assert {str(k[-2].key) for k, _ in jax.tree.leaves_with_path(
      state.trainable)} == {"to_q", "to_k", "to_v", "to_out_0"}


def test_one_compile_per_shape(model, tuned):
  state, _ = tuned
  editing.follow.clear_cache()
  noise = editing.invert(model, state.trainable, LATENTS, 4, lambda n: None)
  editing.resample(model, state.trainable, noise, 4, lambda n: None)
  assert editing.follow._cache_size() == 1  # Both directions are one program.
  for prompts in (["a", "b"], ["c"] * 5):  # Two and three batches of two.
    edit(model, state.trainable, prompts)
  assert editing.follow._cache_size() == 2


# sampling_test.py shows it of both predictions, with networks that are exact.
@pytest.mark.parametrize("model", ["least2"], indirect=True)
def test_inversion_leads_back(model, tuned):
  state, _ = tuned
  # A random network bends the path more sharply than 40 steps can follow; a
  # fifth of its output is as smooth as a trained one.
  model = dataclasses.replace(
      model, frozen=jax.tree.map_with_path(
          lambda path, x: x * (0.2 if "conv_out" in str(path) else 1),
          model.frozen))
  errors = []
  for n in (10, 40):
    noise = editing.invert(model, state.trainable, LATENTS, n, lambda n: None)
    back = editing.resample(model, state.trainable, noise, n, lambda n: None)
    errors.append(np.abs(back - LATENTS).mean())
  assert np.abs(noise - LATENTS).mean() > 0.1
  assert errors[1] < errors[0] / 2


def test_an_edit_does_not_depend_on_the_others_beside_it(model, tuned):
  state, _ = tuned
  together = edit(model, state.trainable, ["a cat", "a dog", "a cat"])
  alone = edit(model, state.trainable, ["a dog"], batch_size=1)
  assert together.shape == (3, 3, 4, 6, 4)
  np.testing.assert_array_equal(together[0], together[2])
  np.testing.assert_allclose(together[1], alone[0], atol=1e-4)
  assert editing.pixels(model, together).shape == (3, 3, 8, 12, 3)


def test_videos_that_are_sampled_together_do_not_know_of_each_other(
    model, tuned):
  """Each has its own parameters, latents and prompts."""
  state, _ = tuned
  others = jax.tree.map(lambda x: 1.1 * x, state.trainable)
  run = lambda trainable, latents, prompts: editing.edit(
      model, trainable, editing.invert(
          model, trainable, latents, 2, lambda n: None), prompts,
      negative_prompt="", guidance_scale=3.0, num_steps=2, batch_size=2,
      progress=lambda n: None)
  (one,) = run(state.trainable, LATENTS, [["a", "b"]])
  (two,) = run(others, -LATENTS, [["c", "d"]])
  both = run(
      jax.tree.map(lambda *x: np.concatenate(x), state.trainable, others),
      np.concatenate([LATENTS, -LATENTS]), [["a", "b"], ["c", "d"]])
  np.testing.assert_allclose(both, [one, two], atol=1e-4)


def test_noise_of_a_seed():
  shape = (1, 3, 4, 6, 4)
  one, two = editing.noise("random", [1, 2], shape)
  np.testing.assert_array_equal(one, editing.noise("random", [1], shape)[0])
  assert np.abs(one - two).mean() > 0.5 and np.any(one[:, 0] != one[:, 1])
  (shared,) = editing.noise("shared", [1], shape)
  np.testing.assert_array_equal(shared[:, 0], shared[:, 2])


def test_progress_counts_every_step(model, tuned):
  state, _ = tuned
  seen = []
  edit(model, state.trainable, ["a", "b", "c"], progress=seen.append)
  assert sum(seen) == 2 * editing.dispatches(3, 2)


def test_latents_that_are_not_finite_are_an_error(model):
  with pytest.raises(InputError, match=r"not finite; set model.dtype=float32"):
    editing.pixels(model, LATENTS[0] * np.nan)


def test_fit_keeps_less_and_predicts_about_the_same(tmp_path):
  random_checkpoint.write(tmp_path, "least1")
  given, fit = (
      video_model.load(video_model.ModelSettings(
          str(tmp_path), trainable=TRAINABLE, memory=memory))
      for memory in ("given", "fit"))
  size = lambda model: sum(x.nbytes for x in jax.tree.leaves(model.frozen))
  assert 2 * size(fit) == size(given)
  assert fit.unet.execution.remat and fit.vae.frames_at_a_time == 1
  args = LATENTS[0], np.array([500]), given.embed(["a"])
  one, two = (
      jax.jit(lambda *args, model=model: model.network(
          model.trainable, model.frozen)(*args))(*args)
      for model in (given, fit))
  assert 0 < np.abs(one - two).max() < 0.05 * np.abs(one).max()
  video = np.linspace(-1, 1, 2 * 8 * 8 * 3).reshape(1, 2, 8, 8, 3)
  np.testing.assert_allclose(
      *(model.vae.encode(video)[0] for model in (given, fit)), atol=1e-5)


def test_all_parts_lie_on_the_device_in_the_type_of_the_arithmetic(tmp_path):
  random_checkpoint.write(tmp_path, "least1")
  model = video_model.load(video_model.ModelSettings(
      str(tmp_path), trainable=TRAINABLE, dtype="bfloat16"))
  parts = model.vae, model.text_encoder
  for x in jax.tree.leaves([part.params for part in parts]):
    assert isinstance(x, jax.Array) and x.dtype == jax.numpy.bfloat16
  video = np.linspace(-1, 1, 2 * 8 * 8 * 3).reshape(1, 2, 8, 8, 3)
  mean, std = model.vae.encode(video)
  for x in (mean, std, model.vae.decode(mean), model.embed(["a"])):
    assert x.dtype == np.float32 and np.isfinite(x).all()


def test_parts_that_are_loaded_alone_go_to_the_device_once(tmp_path):
  random_checkpoint.write(tmp_path, "least1")
  encoder = pretrained.load_pretrained(tmp_path).text_encoder
  tokens = np.zeros((1, encoder.config.positions), np.int32)
  first = encoder(tokens)
  with jax.transfer_guard_host_to_device("disallow"):
    np.testing.assert_array_equal(encoder(jax.device_put(tokens)), first)


def test_words_that_do_not_fit_are_named(model, caplog):
  prompt = "a man is skiing on the snow " * 3 + "in the city"
  logging.getLogger("tav_jax").propagate = True
  with caplog.at_level(logging.WARNING, "tav_jax"):
    cut = model.embed([prompt])
  assert "16 tokens; not read: " in caplog.text
  assert caplog.text.rstrip().endswith("in the city'")
  same = " ".join(prompt.split()[:14]) + " " + "robot " * 9
  np.testing.assert_array_equal(cut, model.embed([same]))
