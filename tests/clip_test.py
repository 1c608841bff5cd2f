"""Both towers of CLIP against transformers', its files, and its loss."""

import dataclasses
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file
import transformers

from tav_jax import pretrained
from tav_jax.errors import InputError
from tav_jax.models import initial
from tav_jax.models.clip import (
  CLIP,
  CLIPConfig,
  CLIPTextConfig,
  CLIPVisionConfig,
)
from tav_jax.pretrained import clip_config, names
from tav_jax.pretrained.clip_config import Preprocessing
from tav_jax.training.contrastive import contrastive_loss, retrieval

TOWER = dict(width=32, mlp_width=48, layers=2, heads=4)
PREPROCESSING = Preprocessing(resize=20, crop=16)


@pytest.fixture(scope="module")
def storybook():
  return pretrained.load_clip("storybook")


def tiny(activation="quick_gelu", eos_token=613):
  tower = TOWER | {"activation": activation}
  return CLIPConfig(
      text=CLIPTextConfig(vocab_size=614, positions=12, **tower),
      vision=CLIPVisionConfig(image_size=16, patch_size=4, **tower),
      embed_width=24, eos_token=eos_token)


def init(config):
  """Random parameters, none of them zero."""
  pixels, tokens = inputs(config)
  params = initial.init(CLIP(config), 0, pixels, tokens)
  random = np.random.default_rng(1)
  return jax.tree.map(
      lambda x: np.float32(x + 0.05 * random.standard_normal(x.shape)), params)


def inputs(config):
  """Texts of several lengths after which other tokens follow."""
  size = config.vision.image_size
  pixels = jax.random.normal(jax.random.key(2), (3, size, size, 3))
  tokens = jax.random.randint(
      jax.random.key(3), (5, config.text.positions), 0, 600)
  ends = jnp.arange(5) * 2 + 1
  tokens = tokens.at[jnp.arange(5), ends].set(613)
  return pixels, tokens.at[jnp.arange(5), ends + 1].set(613)


def assert_equals_oracle(directory, config, params):
  pixels, tokens = inputs(config)
  oracle = transformers.FlaxCLIPModel.from_pretrained(directory)
  theirs = jax.tree.map(lambda x: x.astype(jnp.float32), oracle.params)
  expected = jax.jit(lambda params: oracle(
      tokens, jnp.moveaxis(pixels, -1, 1), params=params))(theirs)
  image, text, scale = jax.jit(CLIP(config).apply)(
      {"params": params}, pixels, tokens)
  np.testing.assert_allclose(image, expected.image_embeds, atol=1e-5, rtol=0)
  np.testing.assert_allclose(text, expected.text_embeds, atol=1e-5, rtol=0)
  np.testing.assert_allclose(
      scale * image @ text.T, expected.logits_per_image, atol=1e-4, rtol=0)


@pytest.mark.oracle
@pytest.mark.parametrize("eos_token", [2, 613])
@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
def test_export_loads_in_transformers_and_here(
    tmp_path, storybook, activation, eos_token):
  config = tiny(activation, eos_token)
  params = init(config)
  pretrained.export_clip(
      tmp_path, config, params, storybook.tokenizer, PREPROCESSING)
  assert_equals_oracle(tmp_path, config, params)
  back = pretrained.load_clip(tmp_path)
  assert (back.config, back.preprocessing) == (config, PREPROCESSING)
  jax.tree.map(np.testing.assert_array_equal, back.params, params)
  assert back.tokenizer("a cat").input_ids == storybook.tokenizer(
      "a cat").input_ids


def test_where_a_text_ends():
  tokens = jnp.array([[5, 9, 2, 8, 2, 1]])
  params, texts = init(tiny()), {}
  for eos_token, cut in ((2, 2), (8, 4), (9, 2)):
    clip = CLIP(tiny(eos_token=eos_token))
    apply = jax.jit(lambda t, c=clip: c.apply(
        {"params": params}, t, method="embed_texts"))
    texts[eos_token] = apply(tokens)
    # What comes after the end does not count.
    np.testing.assert_allclose(apply(tokens[:, :cut]), apply(tokens), atol=1e-6)
  # 2 is the old configs': the largest id, here 9.
  np.testing.assert_array_equal(texts[2], texts[9])
  assert np.abs(texts[8] - texts[9]).max() > 1e-3


@pytest.mark.oracle
def test_embedded_clip(storybook):
  """Loads here as in transformers, by its name and as a directory."""
  directory = pretrained.files.locate("storybook") / "clip"
  assert_equals_oracle(directory, storybook.config, storybook.params)
  oracle = transformers.CLIPImageProcessor.from_pretrained(directory)
  assert storybook.preprocessing.crop == oracle.crop_size["height"]
  assert storybook.preprocessing.mean == tuple(oracle.image_mean)
  again = pretrained.load_clip(directory, dtype=jnp.float16)
  assert again.config.text.dtype == jnp.float16
  jax.tree.map(
      lambda a, b: np.testing.assert_array_equal(a, b.astype(np.float32)),
      storybook.params, again.params)


def test_names_are_transformers(storybook, tmp_path):
  directory = pretrained.files.locate("storybook") / "clip"
  pretrained.export_clip(tmp_path, *storybook, dtype=np.float16)
  stored, written = (
      load_file(d / "model.safetensors") for d in (directory, tmp_path))
  assert written.keys() == stored.keys()
  for name, array in stored.items():
    np.testing.assert_array_equal(written[name], array)
    assert written[name].dtype == np.float16
  assert written["logit_scale"].shape == ()


@pytest.mark.oracle
def test_flax_weights_load(storybook, tmp_path):
  """openai/clip-vit-base-patch32 has them and no safetensors."""
  directory = pretrained.files.locate("storybook") / "clip"
  transformers.FlaxCLIPModel.from_pretrained(directory).save_pretrained(
      tmp_path)
  for file in directory.glob("*"):
    if file.suffix != ".safetensors":
      shutil.copy(file, tmp_path)
  loaded = pretrained.load_clip(tmp_path).params
  assert names.flatten(loaded).keys() == names.flatten(storybook.params).keys()
  jax.tree.map(np.testing.assert_array_equal, loaded, storybook.params)


SIZES = {  # Image tower, text tower, width of the shared space.
    "ViT-B/32": (CLIPConfig(), 151_277_313),
    "ViT-L/14": (CLIPConfig(
        text=CLIPTextConfig(),
        vision=CLIPVisionConfig(
            patch_size=14, width=1024, mlp_width=4096, layers=24, heads=16),
        embed_width=768), 427_616_513),
    "ViT-H/14": (CLIPConfig(
        text=CLIPTextConfig(
            width=1024, mlp_width=4096, layers=24, heads=16,
            activation="gelu"),
        vision=CLIPVisionConfig(
            patch_size=14, width=1280, mlp_width=5120, layers=32, heads=16,
            activation="gelu"),
        embed_width=1024), 986_109_441),
}


@pytest.mark.parametrize("name", SIZES)
def test_published_sizes(name):
  """Number of parameters that the published models have."""
  config, expected = SIZES[name]
  shapes = jax.eval_shape(
      CLIP(config).init, jax.random.key(0), jnp.zeros((1, 224, 224, 3)),
      jnp.zeros((1, 77), int))
  assert sum(x.size for x in jax.tree.leaves(shapes)) == expected


def test_configs_are_read_as_transformers_reads_them():
  values = {
      "model_type": "clip", "projection_dim": 768, "torch_dtype": "float32",
      "text_config": {"hidden_size": 640, "eos_token_id": 2, "dropout": 0.0},
      # Old files have both; this one counts, with the defaults of the rest.
      "text_config_dict": {"hidden_size": 768, "num_attention_heads": 12},
      "vision_config": {"patch_size": 14, "hidden_act": "gelu"}}
  ours = clip_config.read_clip(values, "config.json")
  theirs = transformers.CLIPConfig.from_dict(values)
  written = clip_config.write_clip(ours, "float32")
  for tower in ("text_config", "vision_config"):
    said = getattr(theirs, tower).to_dict()
    for key, value in written[tower].items():
      if key != "projection_dim":
        assert value == said[key], key
  assert ours.embed_width == theirs.projection_dim


@pytest.mark.parametrize("file,path,value,match", [
    ("config.json", ["model_type"], "siglip",
     "model_type is 'siglip'; expected 'clip'"),
    ("config.json", ["fusion"], "late", "fusion='late'.*CLIP models"),
    ("config.json", ["text_config", "hidden_act"], "relu",
     "text_config: hidden_act .*'quick_gelu' or 'gelu'"),
    ("config.json", ["vision_config", "use_head"], True,
     "vision_config: use_head=True"),
    ("config.json", ["vision_config", "num_attention_heads"], 5,
     "num_attention_heads .*divides 128"),
    ("config.json", ["vision_config", "patch_size"], 16, "patch_embedding"),
    ("preprocessor_config.json", ["crop_size"], 32, "crop_size is 32.* 64"),
    ("preprocessor_config.json", ["size"], {"height": 8, "width": 8},
     "size .*shortest_edge"),
    ("preprocessor_config.json", ["do_rescale"], False, "do_rescale .*True")])
def test_settings_not_implemented_are_refused(
    tmp_path, file, path, value, match):
  directory = shutil.copytree(
      pretrained.files.locate("storybook") / "clip", tmp_path / "copy")
  values = json.loads((directory / file).read_text())
  inner = values
  for key in path[:-1]:
    inner = inner[key]
  inner[path[-1]] = value
  (directory / file).write_text(json.dumps(values))
  with pytest.raises(InputError, match=match):
    pretrained.load_clip(directory)


def test_missing_files_are_named(tmp_path):
  with pytest.raises(InputError, match=r"config.json is missing.*CLIPModel"):
    pretrained.load_clip(tmp_path)


def test_loss_of_two_pairs_by_hand():
  """Logits [[2, 0], [1.2, 1.6]] of scale 2, cosines [[1, 0], [.6, .8]]."""
  image = jnp.array([[1.0, 0.0], [0.6, 0.8]])
  text = jnp.eye(2)
  e = np.exp
  by_image = [-np.log(e(2) / (e(2) + 1)),
              -np.log(e(1.6) / (e(1.2) + e(1.6)))]
  by_text = [-np.log(e(2) / (e(2) + e(1.2))),
             -np.log(e(1.6) / (1 + e(1.6)))]
  np.testing.assert_allclose(
      contrastive_loss(image, text, 2.0),
      (np.mean(by_image) + np.mean(by_text)) / 2, rtol=1e-6)


def test_scale_counts_as_a_hundred_at_most():
  image, text = (
      jax.random.normal(jax.random.key(i), (4, 8)) / 8**0.5 for i in (0, 1))
  loss = lambda scale: contrastive_loss(image, text, scale)
  found = jax.jit(jax.value_and_grad(loss))
  (below, slope), (at, _), (above, none) = map(found, (99.0, 100.0, 1000.0))
  assert at == above != below and slope != 0 == none


def test_retrieval():
  text = jnp.eye(4)
  # Images 2 and 3 look most like text 1; text 3 finds image 2.
  image = jnp.array([
      [1.0, 0.0, 0.0, 0.0],
      [0.0, 1.0, 0.0, 0.0],
      [0.0, 0.8, 0.5, 0.3],
      [0.0, 0.9, 0.0, 0.2]])
  to_text, to_image = retrieval(image, text)
  assert (float(to_text), float(to_image)) == (0.5, 0.75)


def test_one_pair_has_no_loss_to_learn_from():
  image, text = jnp.eye(3)[:1], jnp.eye(3)[1:2]
  assert contrastive_loss(image, text, 10.0) == 0


def test_embeddings_are_unit_vectors_in_bfloat16():
  config = tiny()
  half = dataclasses.replace(
      config, text=dataclasses.replace(config.text, dtype=jnp.bfloat16),
      vision=dataclasses.replace(config.vision, dtype=jnp.bfloat16))
  params, batch = init(config), inputs(config)
  exact, rough = (
      jax.jit(CLIP(c).apply)({"params": params}, *batch)
      for c in (config, half))
  for a, b in zip(exact[:2], rough[:2], strict=True):
    assert b.dtype == jnp.float32
    np.testing.assert_allclose(jnp.linalg.norm(b, axis=-1), 1, atol=1e-5)
    np.testing.assert_allclose(a, b, atol=0.05)


def test_hub_files():
  """Of a repository with every kind of weights, the ones that are read."""
  read = ["config.json", "merges.txt", "preprocessor_config.json"]
  others = [".gitattributes", "README.md", "pytorch_model.bin", "tf_model.h5"]
  choose = lambda weights: set(pretrained.files.clip_files(
      [*read, *others, "flax_model.msgpack", *weights], "own/clip"))
  assert choose([]) == {*read, "flax_model.msgpack"}
  assert choose(["model.safetensors"]) == {*read, "model.safetensors"}
