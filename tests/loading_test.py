"""Checkpoints in every form load to the same parameters, or not at all."""

from collections.abc import Mapping
import functools
import http.server
import json
import pathlib
import shutil
import threading
import tracemalloc
import urllib.parse

from flax import serialization, traverse_util
import huggingface_hub
import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from bench import random_checkpoint
import tav_jax
from tav_jax import pretrained
from tav_jax.errors import InputError
from tav_jax.pipelines import video_model
from tav_jax.pretrained import configs, files, names

UNET = "unet/diffusion_pytorch_model.safetensors"
VAE = "vae/diffusion_pytorch_model.safetensors"
TEXT = "text_encoder/model.safetensors"


@pytest.fixture(scope="module")
def original(tmp_path_factory):
  directory = tmp_path_factory.mktemp("loading") / "tiny1"
  random_checkpoint.write(directory, "tiny1")
  return directory


@pytest.fixture(scope="module")
def expected(original):
  return load(original)


@pytest.fixture
def copy(original, tmp_path):
  return shutil.copytree(original, tmp_path / "copy")


def load(directory):
  loaded = tav_jax.load_pretrained(directory)
  return {"unet": loaded.unet_params, "vae": loaded.vae.params,
          "text": loaded.text_encoder.params}


def assert_same(a: Mapping, b: Mapping):
  assert jax.tree.structure(a) == jax.tree.structure(b)
  jax.tree.map(np.testing.assert_array_equal, a, b)


def rewrite(file: pathlib.Path, change):
  """Applies `change` to the arrays of a safetensors file."""
  arrays = change(load_file(file))
  save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, file)


def as_float32(arrays):
  return {k: v.astype(np.float32) for k, v in arrays.items()}


def old_attention(arrays, conv=False):
  """The autoencoder's attention as before diffusers 0.17."""
  old = {"to_q": "query", "to_k": "key", "to_v": "value",
         "to_out.0": "proj_attn"}

  def rename(name):
    for new, name_then in old.items():
      name = name.replace(f"attentions.0.{new}.", f"attentions.0.{name_then}.")
    return name

  return {
      rename(k): v[:, :, None, None] if conv and "attentions.0.to_" in k
      and v.ndim == 2 else v for k, v in arrays.items()}


def with_buffer(arrays):
  return arrays | {"text_model.embeddings.position_ids": np.arange(16)[None]}


def without_prefix(arrays):
  return {k.removeprefix("text_model."): v for k, v in arrays.items()}


def test_a_parameter_is_nested_once_on_its_way_to_the_device(
    original, monkeypatch):
  turns = {"flatten_dict": 0, "unflatten_dict": 0}

  def counted(turn, tree, **options):
    turns[turn.__name__] += sum(
        hasattr(x, "nbytes") for x in jax.tree.leaves(tree))
    return turn(tree, **options)

  for name in turns:
    monkeypatch.setattr(traverse_util, name, functools.partial(
        counted, getattr(traverse_util, name)))
  model = video_model.load(video_model.ModelSettings(str(original)))
  parameters = jax.tree.leaves([
      model.trainable, model.frozen, model.vae.params,
      model.text_encoder.params])
  assert turns == {"flatten_dict": 0, "unflatten_dict": len(parameters)}


def test_no_second_copy_of_half_precision(tmp_path):
  """Each array of float16 goes when its float32 is there."""
  unet = tmp_path / "unet"
  shutil.copytree(files.locate("storybook") / "unet", unet)
  rewrite(
      unet / pathlib.Path(UNET).name,
      lambda arrays: {k: v.astype(np.float16) for k, v in arrays.items()})
  pretrained.load_unet(unet)  # Python's own things, such as traces.
  tracemalloc.start()
  try:
    _, params = pretrained.load_unet(unet)
    _, peak = tracemalloc.get_traced_memory()
  finally:
    tracemalloc.stop()
  assert peak < 1.2 * sum(x.nbytes for x in jax.tree.leaves(params))


@pytest.mark.parametrize("file,change", [
    (UNET, as_float32), (VAE, as_float32), (TEXT, as_float32),
    (VAE, old_attention), (VAE, functools.partial(old_attention, conv=True)),
    (TEXT, with_buffer), (TEXT, without_prefix)])
def test_generations_of_names_and_types(copy, expected, file, change):
  rewrite(copy / file, change)
  assert_same(load(copy), expected)


def test_fp16_file_names(copy, expected):
  for file in (UNET, VAE, TEXT):
    (copy / file).rename((copy / file).with_suffix(".fp16.safetensors"))
  assert_same(load(copy), expected)


@pytest.mark.parametrize("variant", ["", ".fp16"])
def test_shards_with_an_index(copy, expected, variant):
  arrays = load_file(copy / UNET)
  (copy / UNET).unlink()
  stem, weight_map = f"diffusion_pytorch_model{variant}", {}
  for i in range(2):
    shard = f"{stem}-0000{i + 1}-of-00002.safetensors"
    part = dict(list(arrays.items())[i::2])
    weight_map |= dict.fromkeys(part, shard)
    save_file(part, copy / "unet" / shard)
  index = f"diffusion_pytorch_model.safetensors.index{variant}.json"
  (copy / "unet" / index).write_text(json.dumps({"weight_map": weight_map}))
  assert_same(load(copy), expected)


def test_flax_msgpack(copy, expected):
  """In the layout of the hub's `flax` branches."""
  def flax_names(path):
    for ours, theirs in {
        "to_q": "query", "to_k": "key", "to_v": "value",
        "to_out_0": "proj_attn"}.items():
      path = path.replace(f"mid_block/attentions_0/{ours}/",
                          f"mid_block/attentions_0/{theirs}/")
    return path

  def write(file, flat):
    (copy / file).with_suffix(".safetensors").unlink(missing_ok=True)
    (copy / file).write_bytes(serialization.msgpack_serialize(
        traverse_util.unflatten_dict(flat, sep="/")))

  unet = names.flatten(expected["unet"])
  (copy / UNET).unlink()
  write("unet/diffusion_flax_model.msgpack",
        {k: v for k, v in unet.items() if "_temp/" not in k})
  (copy / VAE).unlink()
  write("vae/diffusion_flax_model.msgpack", {
      flax_names(k): v for k, v in names.flatten(expected["vae"]).items()})
  (copy / TEXT).unlink()
  write("text_encoder/flax_model.msgpack", {
      "text_model/" + k.replace("layers_", "layers/"): v
      for k, v in names.flatten(expected["text"]).items()})
  assert_same(load(copy), expected)


def test_torch_names_round_trip(sd1):
  arrays = load_file(sd1 / "unet/diffusion_pytorch_model.safetensors")
  arrays |= load_file(sd1 / "temporal.safetensors")
  params = pretrained.read_torch_names(arrays)
  back = pretrained.write_torch_names(params)
  assert back.keys() == arrays.keys()
  for name, array in arrays.items():
    np.testing.assert_array_equal(back[name], array)


def test_export_is_the_authors_layout_and_loads_back(sd1, tmp_path):
  config, params = pretrained.load_unet(sd1, sd1 / "temporal.safetensors")
  pretrained.export_unet(tmp_path, config, params)
  written = load_file(tmp_path / UNET)
  assert written.keys() == (
      load_file(sd1 / UNET).keys()
      | load_file(sd1 / "temporal.safetensors").keys())
  kinds = json.loads((tmp_path / "unet/config.json").read_text())
  assert kinds["_class_name"] == "UNet3DConditionModel"
  assert kinds["up_block_types"] == ["UpBlock3D"] + ["CrossAttnUpBlock3D"] * 3
  config_back, back = pretrained.load_unet(tmp_path)
  assert config_back == config
  assert_same(back, params)


def test_strict_merge_lists_paths(copy):
  def change(arrays):
    arrays["conv_in.weight"] = arrays["conv_in.weight"][:, :3]
    arrays["conv_out.scale"] = arrays.pop("conv_out.bias")
    return arrays

  rewrite(copy / UNET, change)
  with pytest.raises(InputError) as error:
    tav_jax.load_pretrained(copy)
  lines = [line.strip() for line in str(error.value).splitlines()[1:]]
  assert lines == [
      "- conv_out/bias (4,)", "+ conv_out/scale (4,)",
      "~ conv_in/kernel (3, 3, 3, 32), expected (3, 3, 4, 32)"]


@pytest.mark.parametrize("pickle", [
    "diffusion_pytorch_model.bin", "model.ckpt"])
def test_pickles_are_refused(copy, pickle):
  (copy / UNET).rename(copy / "unet" / pickle)
  with pytest.raises(InputError, match=rf"{pickle}.*never .*safe_serializ"):
    tav_jax.load_pretrained(copy)


@pytest.mark.parametrize("part", [
    "unet", "vae", "text_encoder", "tokenizer", "scheduler"])
def test_a_missing_part_is_named(copy, part):
  shutil.rmtree(copy / part)
  with pytest.raises(InputError, match=f"{part}/ is missing"):
    tav_jax.load_pretrained(copy)


@pytest.mark.parametrize("key,value", [
    ("class_embed_type", "timestep"), ("only_cross_attention", True),
    ("down_block_types", ["SimpleCrossAttnDownBlock2D", "DownBlock2D"]),
    ("resnet_time_scale_shift", "scale_shift"), ("no_such_key", 3),
    ("attention_head_dim", [8]), ("mid_block_type", "UNetMidBlock2D")])
def test_unknown_settings_of_the_unet_are_refused(original, key, value):
  config = files.read_config(original / "unet") | {key: value}
  with pytest.raises(InputError, match=f"unet.json: {key}"):
    configs.read_unet(config, "unet.json")


class Hub(http.server.BaseHTTPRequestHandler):
  """As much of a hub as a download needs; `root` is the one repository."""

  root: pathlib.Path
  sent: list

  def do_HEAD(self):
    self._answer(body=False)

  def do_GET(self):
    self._answer(body=True)

  def _answer(self, body):
    path = urllib.parse.unquote(urllib.parse.urlparse(self.path).path)
    listed = [str(f.relative_to(self.root))
              for f in self.root.rglob("*") if f.is_file()]
    if path.startswith("/api/models/own/tiny/tree/"):
      data = json.dumps([
          {"type": "file", "path": f, "size": 1, "oid": "0"} for f in listed
      ]).encode()
    elif path.startswith("/api/models/own/tiny"):
      data = json.dumps({
          "id": "own/tiny", "sha": "a" * 40,
          "siblings": [{"rfilename": f} for f in listed]}).encode()
    elif path.startswith("/own/tiny/resolve/"):
      name = path.split("/", 5)[5]
      data = (self.root / name).read_bytes()
      if body:
        self.sent.append(name)
    else:
      self.send_response(404)
      self.send_header("X-Error-Code", "RepoNotFound")
      self.end_headers()
      return
    self.send_response(200)
    self.send_header("Content-Length", str(len(data)))
    self.send_header("ETag", f'"{hash(path) % 10**9}"')
    self.send_header("X-Repo-Commit", "a" * 40)
    self.end_headers()
    if body:
      self.wfile.write(data)

  def log_message(self, *args):
    pass


@pytest.fixture
def hub(original, tmp_path, monkeypatch):
  root = shutil.copytree(original, tmp_path / "served")
  for pickle in ("unet/diffusion_pytorch_model.bin", "v1-4.ckpt"):
    (root / pickle).write_bytes(b"never read")
  shutil.copy(root / UNET, (root / UNET).with_suffix(".fp16.safetensors"))
  handler = type("TinyHub", (Hub,), {"root": root, "sent": []})
  server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
  threading.Thread(target=server.serve_forever, daemon=True).start()
  endpoint = f"http://127.0.0.1:{server.server_port}"
  monkeypatch.setattr(
      huggingface_hub, "HfApi",
      functools.partial(huggingface_hub.HfApi, endpoint=endpoint))
  monkeypatch.setattr(
      huggingface_hub, "snapshot_download", functools.partial(
          huggingface_hub.snapshot_download, endpoint=endpoint,
          cache_dir=tmp_path / "cache"))
  yield server, handler
  server.shutdown()
  server.server_close()


@pytest.mark.versions
def test_hub_downloads_what_it_needs_and_then_works_offline(hub, expected):
  server, handler = hub
  assert_same(load("own/tiny"), expected)
  weights = {f for f in handler.sent if not f.endswith((".json", ".txt"))}
  assert weights == {UNET, VAE, TEXT}
  with pytest.raises(InputError, match=r"own/other .*nor found on the hub"):
    tav_jax.load_pretrained("own/other")
  server.shutdown()
  server.server_close()
  assert_same(load("own/tiny"), expected)
  with pytest.raises(InputError, match=r"own/other .*hub cannot be reached"):
    tav_jax.load_pretrained("own/other")
