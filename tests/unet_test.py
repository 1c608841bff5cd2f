"""The inflated U-Net and the image model it was inflated from."""

import dataclasses
import functools

from einops import rearrange, repeat
from flax import traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bench import random_checkpoint
from tav_jax.models.layers import Execution, TemporalConv
from tav_jax.models.transformer import TemporalAttention
from tav_jax.models.unet import UNet3D, UNetConfig, VARIANTS
from tav_jax.pretrained import configs, export_unet, load_unet, names

CONFIG = UNetConfig(
    channels=(32, 64), layers=(1, 1), heads=(4, 2), text_width=16,
    down_attention=(True, False), up_attention=(False, True))
TEXT = jax.random.normal(jax.random.key(1), (1, 5, 16))


ONE_LEVEL = dataclasses.replace(
    CONFIG, channels=(32,), layers=(1,), heads=(4,), down_attention=(True,),
    up_attention=(False,))
LATENTS = jax.random.normal(jax.random.key(2), (1, 4, 7, 5, 4))
IMAGES = LATENTS[0, :3, None]


@functools.partial(jax.jit, static_argnums=0)
def apply(config, params, latents, text=TEXT):
  if text is not None:
    text = jnp.broadcast_to(text, (len(latents), *text.shape[1:]))
  times = jnp.full(len(latents), 300)
  return UNet3D(config).apply({"params": params}, latents, times, text)


def init(config, text=TEXT):
  return UNet3D(config).init(
      jax.random.key(0), jnp.zeros((1, 2, 8, 8, 4)), jnp.zeros(1, int),
      text)["params"]


def drawn(config):
  """Drawn here: compiling `init` would take longer than all else."""
  random = np.random.default_rng(0)

  def draw(path, leaf):
    if path.endswith("/scale"):
      return np.ones(leaf.shape, np.float32)
    if path.endswith("/bias") or "attn_temp/to_out_0" in path:
      return np.zeros(leaf.shape, np.float32)
    fan_in = np.prod(leaf.shape[:-1])
    return random.standard_normal(leaf.shape, np.float32) * fan_in**-0.5

  shapes = names.flatten(jax.eval_shape(lambda: init(config)))
  return names.unflatten(
      {path: draw(path, leaf) for path, leaf in shapes.items()})


@pytest.fixture(scope="module")
def params():
  return drawn(CONFIG)


def without(params, *modules):
  """The parameters, without some modules of the transformer blocks."""
  gone = tuple(f"transformer_blocks_0/{module}/" for module in modules)
  return traverse_util.unflatten_dict({
      path: x for path, x in names.flatten(params).items()
      if not any(part in path for part in gone)}, sep="/")


def test_identical_frames_give_the_image_models_output(params):
  image = LATENTS[:, :1]
  alone = apply(CONFIG, params, image)
  video = apply(CONFIG, params, repeat(image, "b 1 h w c -> b 4 h w c"))
  assert alone.shape == image.shape
  for frame in range(4):
    np.testing.assert_allclose(video[:, frame], alone[:, 0], atol=1e-4)


def test_frames_as_clips_give_the_image_models_output(params):
  together = apply(CONFIG, params, IMAGES)
  for i in range(3):
    np.testing.assert_allclose(
        together[i], apply(CONFIG, params, IMAGES[i:i + 1])[0], atol=1e-4)


def test_remat_and_blocks_do_not_change_the_function():
  params = drawn(ONE_LEVEL)
  config = dataclasses.replace(
      ONE_LEVEL, execution=Execution(remat=True, attention_block=5))

  def value_and_grad(config):
    loss = lambda p: (apply(config, p, LATENTS) ** 2).mean()
    return jax.jit(jax.value_and_grad(loss))(params)

  for a, b in zip(*map(jax.tree.leaves, (
      value_and_grad(config), value_and_grad(ONE_LEVEL))), strict=True):
    np.testing.assert_allclose(a, b, atol=1e-5)


def test_bfloat16_is_close(params):
  config = dataclasses.replace(CONFIG, execution=Execution(dtype=jnp.bfloat16))
  exact, rough = (apply(c, params, LATENTS) for c in (CONFIG, config))
  assert rough.dtype == jnp.float32
  assert np.linalg.norm(rough - exact) < 0.05 * np.linalg.norm(exact)


def test_temporal_layers_mix_frames_once_tuned(params):
  """The property above would hold of a network without temporal layers."""
  moving = traverse_util.path_aware_map(
      lambda path, x: np.eye(*x.shape, dtype=x.dtype) if path[-3:] == (
          "attn_temp", "to_out_0", "kernel") else x, params)
  a, b = (apply(CONFIG, p, LATENTS) for p in (params, moving))
  assert np.abs(a - b).max() > 1e-2


IMAGE = dataclasses.replace(CONFIG, temporal="none")
UNCONDITIONAL = dataclasses.replace(IMAGE, text_width=None)
TEMPORAL, CROSS = ("attn_temp", "norm_temp"), ("attn2", "norm2")


@pytest.mark.parametrize("config,text,missing", [
    (IMAGE, TEXT, TEMPORAL), (UNCONDITIONAL, None, TEMPORAL + CROSS)])
def test_parameters_that_variants_do_not_have(params, config, text, missing):
  expected = without(params, *missing)
  shapes = jax.eval_shape(lambda: init(config, text))
  assert names.flatten(shapes).keys() == names.flatten(expected).keys()
  gone = names.flatten(params).keys() - names.flatten(expected).keys()
  blocks = {path.rsplit("transformer_blocks_0", 1)[0] for path in gone}
  assert len(blocks) == 4  # Every transformer had them: 1 down, mid, 2 up.


def test_image_model_is_the_untuned_network(params):
  """On single frames and, its attention seeing one frame, identical ones."""
  alone = apply(IMAGE, without(params, *TEMPORAL), IMAGES)
  np.testing.assert_allclose(alone, apply(CONFIG, params, IMAGES), atol=1e-5)
  video = apply(
      IMAGE, without(params, *TEMPORAL),
      repeat(IMAGES, "b 1 h w c -> b 3 h w c"))
  for frame in range(3):
    np.testing.assert_allclose(video[:, frame], alone[:, 0], atol=1e-4)


def test_unconditional_model_is_one_whose_text_adds_nothing(params):
  deaf = traverse_util.path_aware_map(
      lambda path, x: 0 * x if path[-3:-1] == ("attn2", "to_out_0") else x,
      params)
  bare = without(params, *TEMPORAL, *CROSS)
  np.testing.assert_allclose(
      apply(UNCONDITIONAL, bare, IMAGES, None),
      apply(CONFIG, deaf, IMAGES), atol=1e-5)


def test_unconditional_gradients_are_finite_with_remat():
  config = dataclasses.replace(
      ONE_LEVEL, temporal="none", text_width=None,
      execution=Execution(remat=True))
  loss = lambda p: (apply(config, p, IMAGES, None) ** 2).mean()
  grads = jax.jit(jax.grad(loss))(
      without(drawn(ONE_LEVEL), *TEMPORAL, *CROSS))
  for path, grad in names.flatten(grads).items():
    assert np.isfinite(grad).all() and np.abs(grad).max() > 0, path


def test_a_text_too_many_or_too_few_is_an_error(params):
  latents = jnp.zeros((1, 1, 8, 8, 4))
  with pytest.raises(ValueError, match=r"expected a text.*text_width=16"):
    apply(CONFIG, params, latents, None)
  with pytest.raises(ValueError, match=r"expected no text.*text_width=None"):
    apply(UNCONDITIONAL, params, latents)
  with pytest.raises(ValueError, match="temporal='some': expected full, rel"):
    dataclasses.replace(CONFIG, temporal="some")


def test_text_width_of_a_config_file():
  read = lambda values: configs.read_unet(values, "").text_width
  assert read({}) == 1280  # diffusers' default.
  assert read({"cross_attention_dim": None}) is None


# Other ways to inflate.


VARIANT = [dict(zip(VARIANTS, values, strict=True)) for values in (
    ("own", "relative", "1x3x3"), ("all", "relative_causal", "pseudo_3d"))]


@pytest.fixture(scope="module")
def image_model(tmp_path_factory):
  """The directory of one."""
  directory = tmp_path_factory.mktemp("unet")
  random_checkpoint.write(directory, "least1")
  return directory / "unet"


@pytest.mark.parametrize("variant", VARIANT, ids=lambda v: "-".join(v.values()))
def test_every_variant_starts_as_the_image_model(image_model, variant):
  image_config, image_params = load_unet(image_model, temporal="none")
  config, params = load_unet(image_model, variant=variant)
  image = LATENTS[:, :1]
  text = jax.random.normal(jax.random.key(3), (1, 4, 32))
  alone = apply(image_config, image_params, image, text)
  video = apply(config, params, repeat(image, "b 1 h w c -> b 3 h w c"), text)
  for frame in range(3):
    np.testing.assert_allclose(video[:, frame], alone[:, 0], atol=3e-4)


def test_a_variant_survives_its_export(image_model, tmp_path):
  config, params = load_unet(image_model, variant=VARIANT[1])
  random = np.random.default_rng(0)
  params = jax.tree.map(
      lambda x: random.standard_normal(x.shape).astype(x.dtype), params)
  export_unet(tmp_path, config, params)
  config_again, params_again = load_unet(tmp_path)
  assert config_again == config
  jax.tree.map(np.testing.assert_array_equal, params_again, params)


def test_convolution_over_frames():
  x = jax.random.normal(jax.random.key(0), (2, 5, 3, 4, 6))
  params = TemporalConv().init(jax.random.key(0), x)
  np.testing.assert_array_equal(TemporalConv().apply(params, x), x)
  kernel = jax.random.normal(jax.random.key(1), (3, 6, 6))
  params["params"]["kernel"] = kernel
  y = TemporalConv().apply(params, x)
  expected = jax.lax.conv_general_dilated(
      rearrange(x, "b f h w c -> (b h w) f c"), kernel, (1,), "SAME",
      dimension_numbers=("NWC", "WIO", "NWC"))
  np.testing.assert_allclose(
      rearrange(y, "b f h w c -> (b h w) f c"), expected, atol=1e-5)


def relative(causal, frames, bias):
  """Attention with this bias, as a function of `b f s c`."""
  module = TemporalAttention(2, True, causal, Execution())
  x = jax.random.normal(jax.random.key(0), (1, frames, 2, 8))
  params = jax.jit(module.init)(jax.random.key(1), x)["params"]
  params["relative_bias"] = bias * jnp.ones_like(params["relative_bias"])
  params["to_out_0"]["kernel"] = jnp.eye(8)
  return x, jax.jit(lambda x: module.apply({"params": params}, x))


def test_causal_temporal_attention_sees_no_later_frame():
  x, attend = relative(True, 4, 0.0)
  gradient = jax.jit(jax.grad(lambda x, i: attend(x)[:, i].sum()))
  for frame in range(4):
    reach = gradient(x, frame)
    assert set(np.flatnonzero(np.abs(reach).sum((0, 2, 3)))) == set(
        range(frame + 1))


def test_relative_positions_tell_time():
  distances = jnp.arange(65.0) / 8
  for bias, tells in ((jnp.zeros(65), False), (distances, True)):
    x, attend = relative(False, 4, bias)
    backwards = attend(x[:, ::-1])[:, ::-1]
    assert np.allclose(backwards, attend(x), atol=1e-5) != tells
  # By distance alone: a clip's middle does not know when the clip began.
  _, attend = relative(False, 200, -20 * jnp.abs(distances - 4))
  long = jax.random.normal(jax.random.key(0), (1, 200, 1, 8))
  np.testing.assert_allclose(
      attend(long)[:, 100:110], attend(long[:, 50:150])[:, 50:60], atol=1e-5)
