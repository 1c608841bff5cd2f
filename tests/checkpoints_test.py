"""What people have: variants of files and configs, and damage.

Nothing here builds a network but for the two tests that say so.
"""

import functools
import json
import math
import pathlib
import shutil
import struct

from checkpoint_files import one_line, STORYBOOK, values, write
from conftest import DATA
from flax import serialization
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from tav_jax import pretrained
from tav_jax.errors import InputError
from tav_jax.pretrained import (
  clip_config,
  configs,
  files,
  load,
  schedulers,
  weights,
)
from tav_jax.storybook import judge

NEWEST = DATA / "diffusers_0.42.1"  # Configs as it writes them.
WEIGHTS = "diffusion_pytorch_model"
ARRAYS = {"conv_in.weight": np.arange(36, dtype=np.float32).reshape(2, 2, 3, 3),
          "conv_in.bias": np.array([0.5, -2], np.float32)}
READERS = {
    "unet/config.json": configs.read_unet,
    "vae/config.json": configs.read_vae,
    "text_encoder/config.json": configs.read_text_encoder,
    "scheduler/scheduler_config.json": schedulers.read_schedule,
    "clip/config.json": clip_config.read_clip,
    "clip/preprocessor_config.json": clip_config.read_preprocessing}


def assert_read(directory: pathlib.Path):
  found = weights.read_weights(directory)
  assert found.keys() == {"conv_in/kernel", "conv_in/bias"}
  np.testing.assert_array_equal(
      found["conv_in/kernel"], ARRAYS["conv_in.weight"].transpose(2, 3, 1, 0))
  np.testing.assert_array_equal(found["conv_in/bias"], [0.5, -2])


# Files.


@pytest.mark.parametrize("name", [
    f"{WEIGHTS}.non_ema.safetensors", f"{WEIGHTS}.bf16.safetensors",
    f"{WEIGHTS}.fp16.safetensors", f"{WEIGHTS}.fp32.safetensors",
    "model.safetensors", "model.fp16.safetensors"])
def test_files_under_other_names(tmp_path, name):
  save_file(ARRAYS, tmp_path / name)
  assert_read(tmp_path)


def test_the_plain_file_is_read_before_others(tmp_path):
  for variant in ("fp16", "non_ema"):
    save_file({"x.bias": np.zeros(1)},
              tmp_path / f"{WEIGHTS}.{variant}.safetensors")
  save_file(ARRAYS, tmp_path / f"{WEIGHTS}.safetensors")
  assert_read(tmp_path)


def test_a_hub_repository_with_variants_alone():
  name = f"unet/{WEIGHTS}.non_ema.safetensors"
  others = [
      f"{part}/model.bf16.safetensors" for part in ("vae", "text_encoder")]
  listed = [name, *others, "unet/config.json", "tokenizer/tokenizer.json"]
  assert set(files.diffusion_files(listed, "own/model")) == set(listed)


@pytest.mark.parametrize("kind,bytes_,expected", [
    # OCP 8-bit floating point (2023), Tables 1 and 2.
    ("F8_E4M3", [0x00, 0x38, 0xBC, 0x7E, 0x01], [0, 1, -1.5, 448, 2**-9]),
    ("F8_E5M2", [0x00, 0x3C, 0xBE, 0x7B, 0x01], [0, 1, -1.5, 57344, 2**-16])])
def test_fp8_files_are_widened(tmp_path, kind, bytes_, expected):
  header = json.dumps({
      "a.bias": {"dtype": kind, "shape": [5], "data_offsets": [0, 5]},
      "b.bias": {"dtype": "BF16", "shape": [1], "data_offsets": [5, 7]},
  }).encode()
  data = bytes(bytes_) + struct.pack("<H", 0x3FC0)  # 1.5 in bfloat16.
  (tmp_path / "model.safetensors").write_bytes(
      struct.pack("<Q", len(header)) + header + data)
  found = weights.read_weights(tmp_path)
  weights.check_numbers(found, "")
  assert found["a/bias"].astype(np.float32).tolist() == expected
  assert found["b/bias"].astype(np.float32).tolist() == [1.5]


def test_fp8_with_scales_is_refused_by_name(tmp_path):
  save_file(ARRAYS | {"conv_in.scale_weight": np.ones(1, np.float32)},
            tmp_path / "model.safetensors")
  with pytest.raises(InputError, match=r"fp8 weights with scales .*fp16 or"):
    weights.read_weights(tmp_path)


def test_numbers_that_are_no_weights(tmp_path):
  for kind in ("int8", "uint8", "bool", "complex64"):
    save_file({"a.bias": np.ones(2, kind)}, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match=f"a.bias is of type {kind}"):
      weights.check_numbers(weights.read_weights(tmp_path), "x")


@pytest.mark.parametrize("kind", [
    "float64", "float32", "float16", "bfloat16", "float8_e4m3fn",
    "float8_e5m2"])
def test_what_is_not_finite_is_named(kind):
  good = np.linspace(-400, 400, 60).astype(jnp.dtype(kind)).reshape(4, 15).T
  weights.check_numbers({"a/kernel": good, "b/bias": good[:0]}, "unet")
  for value in (np.nan, -np.nan, np.inf, -np.inf):
    bad = good.copy()
    bad[3, 2] = value
    with pytest.raises(InputError, match="unet: b/kernel has values that"):
      weights.check_numbers({"a/kernel": good, "b/kernel": bad}, "unet")


def test_weights_that_are_nan_are_refused_at_loading(tmp_path):
  """Through the whole of loading; builds the autoencoder."""
  vae = shutil.copytree(STORYBOOK / "vae", tmp_path / "vae")
  arrays = weights.read_safetensors([vae / f"{WEIGHTS}.safetensors"])
  arrays["decoder.conv_out.bias"][1] = np.nan
  save_file(arrays, vae / f"{WEIGHTS}.safetensors")
  with pytest.raises(InputError, match=r"vae: decoder/conv_out/bias has val"):
    load.load_vae(vae)


def write_index(directory: pathlib.Path, weight_map):
  for i, (name, array) in enumerate(ARRAYS.items()):
    save_file({name: array}, directory / f"{WEIGHTS}-{i}.safetensors")
  (directory / f"{WEIGHTS}.safetensors.index.json").write_text(
      json.dumps({"weight_map": weight_map}))


SHARDS = {"conv_in.weight": f"{WEIGHTS}-0.safetensors",
          "conv_in.bias": f"{WEIGHTS}-1.safetensors"}


def test_shards(tmp_path):
  write_index(tmp_path, SHARDS)
  assert_read(tmp_path)


@pytest.mark.parametrize("weight_map,says", [
    (SHARDS | {"conv_in.bias": "../secret.safetensors"},
     "names '../secret.safetensors'; expected files beside it"),
    (SHARDS | {"conv_in.bias": "/etc/passwd"}, "names '/etc/passwd'"),
    (SHARDS | {"conv_in.bias": ".."}, "names '..', which is not there"),
    (SHARDS | {"conv_in.bias": "9" * 400}, "which is not there"),
    (SHARDS | {"conv_in.bias": f"{WEIGHTS}-7.safetensors"},
     f"names '{WEIGHTS}-7.safetensors', which is not there"),
    (SHARDS | {"conv_out.bias": f"{WEIGHTS}-1.safetensors"},
     f"says that {WEIGHTS}-1.safetensors has 'conv_out.bias', which it do"),
    ({"conv_in.bias": 3}, "weight_map is none"), ([], "weight_map is none"),
    (None, "weight_map is none"), ({}, "weight_map is none")])
def test_indices_that_name_what_is_not_there(tmp_path, weight_map, says):
  write_index(tmp_path, weight_map)
  with pytest.raises(InputError) as error:
    weights.read_weights(tmp_path)
  assert says in one_line(error)


def damaged(data: bytes, count: int):
  """Cut and flipped copies of a file's bytes."""
  random = np.random.default_rng(0)
  yield from (data[:int(n)] for n in np.linspace(0, len(data) - 1, count))
  for _ in range(count):
    copy = bytearray(data)
    copy[random.integers(min(len(copy), 400))] ^= 1 << random.integers(8)
    yield bytes(copy)


def write_forms(directory: pathlib.Path) -> list[pathlib.Path]:
  """A directory with the arrays in each form."""
  forms = [directory / name for name in ("torch", "flax", "index")]
  for form in forms:
    form.mkdir()
  save_file(ARRAYS, forms[0] / "model.safetensors")
  (forms[1] / "flax_model.msgpack").write_bytes(serialization.msgpack_serialize(
      {"conv_in": {"kernel": np.ones((3, 3, 2, 2)), "bias": np.ones(2)}}))
  write_index(forms[2], SHARDS)
  return [forms[0] / "model.safetensors", forms[1] / "flax_model.msgpack",
          forms[2] / f"{WEIGHTS}.safetensors.index.json"]


def test_damaged_files_are_refused_in_one_line_or_read(tmp_path):
  """Bits that only change names or numbers are read; names are checked later.
  """
  refused = 0
  for file in write_forms(tmp_path):
    for data in damaged(file.read_bytes(), 100):
      file.write_bytes(data)
      try:
        weights.read_weights(file.parent)
      except InputError as error:
        assert "\n" not in str(error) and file.parent.name in str(error)
        refused += 1
  assert refused > 300


# Configs.


def test_configs_as_todays_diffusers_writes_them():
  """Of the embedded model, loaded and saved by diffusers and transformers."""
  for file, read in list(READERS.items())[:4]:
    assert read(json.loads((NEWEST / file).read_text()), file) == read(
        values(file), file), file


@pytest.mark.parametrize("changes", [
    {"cross_attention_dim": [128, 128, 128]}, {"act_fn": "swish"},
    {"transformer_layers_per_block": [1, 1, 1]},
    {"layers_per_block": [1, 1, 1]},
    {"only_cross_attention": [False, False, False]}, {"norm_eps": None},
    {"num_attention_heads": [1, 3, 5]}, {"mid_block_scale_factor": 1.0},
    {"sample_size": [16, 16]}, {"dropout": 0.1}, {"class_embed_type": None},
    {"time_cond_proj_dim": None, "attention_type": "default"},
    {"_class_name": "FlaxUNet2DConditionModel"}])
def test_variants_that_mean_the_usual(changes):
  usual = configs.read_unet(values("unet/config.json"), "")
  found = configs.read_unet(values("unet/config.json") | changes, "")
  if "sample_size" in changes:  # Kept for export, if it is one number.
    found = found.__class__(**{**vars(found), "sample_size": 16})
  assert found == usual


ROWS = [
    ("unet/config.json", "layers_per_block", 10**6, "number from 1 to 8"),
    ("unet/config.json", "in_channels", "4", "a whole number from 1 to 16384"),
    ("unet/config.json", "in_channels", True, "a whole number"),
    ("unet/config.json", "in_channels", -4, "a whole number"),
    ("unet/config.json", "block_out_channels", [48] * 20, "1 to 8 values"),
    ("unet/config.json", "block_out_channels", [10**9] * 3, "1 to 8 values"),
    ("unet/config.json", "block_out_channels", 48, "a list of"),
    ("unet/config.json", "attention_head_dim", [1, 3], "a list of 3 values"),
    ("unet/config.json", "attention_head_dim", 7, "heads that divide 48"),
    ("unet/config.json", "norm_eps", math.nan, "a number from 1e-12 to 0.5"),
    ("unet/config.json", "norm_num_groups", 0, "a whole number from 1"),
    ("unet/config.json", "norm_num_groups", 7, "divide 48, 96, 160"),
    ("unet/config.json", "norm_num_groups", None, "groups that divide"),
    ("unet/config.json", "use_linear_projection", 1, "true or false"),
    ("unet/config.json", "cross_attention_dim", [128, 64, 128], "the same for"),
    ("unet/config.json", "only_cross_attention", [False, True, False], "False"),
    ("unet/config.json", "transformer_layers_per_block", [1, 2, 1], "1"),
    ("unet/config.json", "down_block_types", "DownBlock2D", "a list of 3"),
    ("vae/config.json", "scaling_factor", math.inf, "a number from 0.001 to"),
    ("vae/config.json", "layers_per_block", [1, 1], "a whole number"),
    ("vae/config.json", "_class_name", "AutoencoderTiny", "AutoencoderKL"),
    ("text_encoder/config.json", "num_hidden_layers", 10**6, "from 1 to 64"),
    ("text_encoder/config.json", "vocab_size", 10**12, "from 1 to 1000000"),
    ("text_encoder/config.json", "num_attention_heads", 0, "a whole number"),
    ("text_encoder/config.json", "model_type", "t5", "'clip_text_model'"),
    ("clip/config.json", "projection_dim", [128], "a whole number"),
    ("clip/config.json", "text_config", [], "an object {...}"),
    ("clip/preprocessor_config.json", "image_std", [1, 0, 1], "a list of 3"),
    ("clip/preprocessor_config.json", "image_mean", 0.5, "a list of 3 values"),
    ("clip/preprocessor_config.json", "resample", 9, "from 0 to 5"),
    ("clip/preprocessor_config.json", "size", 32, "64, the crop_size, or up"),
    ("clip/preprocessor_config.json", "size", 16384, "64, the crop_size, or up"
     " to four times that")]


@pytest.mark.parametrize("file,key,value,expected", ROWS)
def test_a_value_of_another_kind_is_named(file, key, value, expected):
  with pytest.raises(InputError) as error:
    READERS[file](values(file) | {key: value}, file)
  message = one_line(error)
  assert message.startswith(f"{file}: {key} is {value!r}"[:60])
  assert expected in message


BAD = (
    None, True, False, 0, 1, -1, 3.5, math.nan, -math.inf, 1e300, 10**30, "",
    "3", "null", [], [1], [None], [[1]], ["a", 1], {}, {"a": 1}, [10**9] * 30,
    "x" * 10**5)


@pytest.mark.parametrize("file", READERS)
def test_any_value_anywhere_is_read_or_refused(file):
  """No other outcome, whatever stands there, one level down too."""
  read = functools.partial(READERS[file], source=file)
  for bad in BAD:
    for key in [*values(file), "no_such_key"]:
      changed = values(file)
      variants = [changed | {key: bad}]
      inner = changed.get(key)
      if isinstance(inner, dict):
        variants += [changed | {key: inner | {k: bad}} for k in inner]
      if isinstance(inner, list):
        variants += [changed | {key: [bad, *inner[1:]]}]
      for variant in variants:
        try:
          read(variant)
        except InputError as error:
          assert "\n" not in str(error) and len(str(error)) < 1200
        json.dumps(variant)


@pytest.mark.parametrize("text", [
    "", "{", "[1]", "3", "null", '"a"', "\xff", "[" * 10**5, '{"a": 1e5' ])
def test_json_that_is_none(tmp_path, text):
  (tmp_path / "config.json").write_text(text, encoding="latin-1")
  with pytest.raises(InputError, match=r"config.json: (not valid|holds a)"):
    files.read_config(tmp_path)


def test_nothing_is_made_of_sizes_that_weights_do_not_have(tmp_path):
  """Builds a U-Net's shapes; new temporal layers would take 20 GB here."""
  save_file(ARRAYS, tmp_path / f"{WEIGHTS}.safetensors")
  config = values("unet/config.json") | {
      "block_out_channels": [16384] * 3, "attention_head_dim": 16}
  (tmp_path / "config.json").write_text(json.dumps(config))
  with pytest.raises(InputError, match="the weights are not those") as e:
    pretrained.load_unet(tmp_path)
  assert "_temp" not in str(e.value)


@pytest.mark.parametrize("key,value,says", [
    ("channels", [10**9], "channels is .* each a multiple of 16 up to 4096"),
    ("channels", "wide", "channels is 'wide'; expected a list of 1 to 6"),
    ("strips", "1", "strips is '1'; expected a whole number from 1 to 64"),
    ("groups", 3, r"groups is 3; expected an object"),
    ("groups", {}, "tells other groups")])
def test_a_judges_config_is_checked_too(tmp_path, key, value, says):
  copy = shutil.copytree(STORYBOOK / "judge", tmp_path / "judge")
  write(copy, {"config.json": values("judge/config.json") | {key: value}})
  with pytest.raises(InputError, match=f"judge.*{says}"):
    judge.load(copy)
