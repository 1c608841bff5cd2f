"""Models of other kinds, each named for what it is, with what to do."""

import shutil

from checkpoint_files import one_line, STORYBOOK, values, write
import numpy as np
import pytest
from safetensors.numpy import save_file

import tav_jax
from tav_jax import pretrained
from tav_jax.errors import InputError
from tav_jax.pretrained import configs, files, foreign, load, weights

POINTER = (b"version https://git-lfs.github.com/spec/v1\n"
           b"oid sha256:4d7a21\nsize 3438167540\n")
INDEX = "model_index.json"
KINDS = {
    "Stable Diffusion XL": {
        INDEX: {"_class_name": "StableDiffusionXLPipeline"}, "unet/a": b""},
    "Stable Diffusion XL, which": {"text_encoder_2/config.json": {}},
    "Stable Diffusion 3": {INDEX: {"_class_name": "StableDiffusion3Pipeline"}},
    "a diffusion transformer": {"transformer/config.json": {}, "vae/a": b""},
    "ModelScope text-to-video": {
        INDEX: {"_class_name": "TextToVideoSDPipeline"}},
    "Stable Video Diffusion": {
        INDEX: {"_class_name": "StableVideoDiffusionPipeline"}},
    "a ControlNet": {"config.json": {"_class_name": "ControlNetModel"}},
    "a LoRA alone .*load_lora_weights": {
        "pytorch_lora_weights.safetensors": b""},
    "a LoRA alone": {"adapter_config.json": {}},
    "a textual inversion": {"learned_embeds.safetensors": b""},
    "a single file.*from_single_file": {"v1-5-pruned.safetensors": b""},
    "a single file": {"v1-5.ckpt": b"", "README.md": b""},
    "Core ML": {"Unet.mlmodelc/a": b""},
    "ONNX": {"model.onnx": b""},
    "a pointer of Git LFS.*git lfs pull": {"v1-5-pruned.safetensors": POINTER},
    "one part of a model": {
        "config.json": {"_class_name": "UNet2DConditionModel"}},
    "a model of transformers": {"config.json": {"model_type": "clip"}},
    "unet/ is missing": {"notes.txt": b""}}


@pytest.mark.parametrize("says", KINDS)
def test_directories_of_another_kind(tmp_path, says):
  root = write(tmp_path / "it", KINDS[says])
  with pytest.raises(InputError, match=rf"it.*(this is )?.*{says}") as error:
    tav_jax.load_pretrained(root)
  one_line(error)


def test_a_pipeline_with_a_controlnet_beside_its_model_is_none():
  """The model itself is all there."""
  foreign.refuse_names({"unet", "vae", "controlnet"}, "x")


def test_single_files_of_another_kind(tmp_path):
  save_file({"lora_unet_down.lora_down.weight": np.ones(2)},
            tmp_path / "style.safetensors")
  write(tmp_path, {"model.ckpt": b"", "model.gguf": b"", "p.ckpt": POINTER})
  for name, says in (
      ("style.safetensors", "a LoRA alone"), ("model.ckpt", "from_single_file"),
      ("model.gguf", "a GGUF file"), ("p.ckpt", "git lfs pull")):
    with pytest.raises(InputError, match=f"{name}.*{says}"):
      tav_jax.load_pretrained(tmp_path / name)


@pytest.mark.parametrize("name,says", [
    ("base_model.model.conv_in.weight", "wrapped by PEFT.*merge_and_unload"),
    ("down_blocks.0.attn1.to_q.lora_A.weight", "a LoRA alone, or a model with"),
    ("down_blocks.0.attn1.processor.to_q_lora.down.weight", "a LoRA"),
    ("lora_unet_down_blocks_0.alpha", "a LoRA"),
    ("transformer_in.norm.weight", "a ModelScope text-to-video U-Net"),
    ("down_blocks.0.temp_convs.0.conv1.0.weight", "a ModelScope"),
    ("down_blocks.0.motion_modules.0.norm.weight", "an AnimateDiff U-Net"),
    ("controlnet_cond_embedding.conv_in.weight", "a ControlNet"),
    ("add_embedding.linear_1.weight", "Stable Diffusion XL"),
    ("model.diffusion_model.out.0.weight", "layout of a single file"),
    ("module.conv_in.weight", "still wrapped for training"),
    ("conv_in.absmax", "quantized weights")])
def test_names_of_weights_tell(tmp_path, name, says):
  save_file({name: np.ones(1, np.float32)}, tmp_path / "model.safetensors")
  with pytest.raises(InputError, match=says):
    weights.read_weights(tmp_path)


@pytest.mark.parametrize("listed,says", [
    (["model.onnx"], "made for ONNX"), (["weights.pb"], "no weights; expected"),
    (["openvino_model.xml", "openvino_model.bin"], "made for OpenVINO"),
    (["tf_model.h5"], "made for TensorFlow"),
    (["model.q4.gguf"], "made for GGUF"),
    (["diffusion_pytorch_model.bin"], r"never loaded.*from_pretrained\('m'"),
    (["other.safetensors"], "there is other.safetensors")])
def test_parts_in_another_form(listed, says):
  with pytest.raises(InputError, match=f"m/unet.*{says}"):
    weights.choose(listed, "m/unet")


@pytest.mark.parametrize("changes,says", [
    ({"mid_block_type": None}, "a U-Net without a middle block"),
    ({"addition_embed_type": "text_time"}, "Stable Diffusion XL"),
    ({"_class_name": "UNetMotionModel"}, "an AnimateDiff"),
    ({"_class_name": "UNetSpatioTemporalConditionModel"}, "Stable Video"),
    ({"_class_name": "Kandinsky3UNet"}, "Kandinsky"),
    ({"_class_name": "MyUNet"}, "_class_name is 'MyUNet'; expected UNet2DCond"),
    ({"quantization_config": {"bits": 4}}, "quantization_config=")])
def test_unets_of_another_family(changes, says):
  with pytest.raises(InputError, match=f"unet.json: .*{says}"):
    configs.read_unet(values("unet/config.json") | changes, "unet.json")


@pytest.mark.parametrize("channels,says", [
    (9, "an inpainting model"), (8, "InstructPix2Pix"), (6, "expected 4")])
def test_a_unet_that_sees_more_than_latents(channels, says):
  unet = configs.read_unet(
      values("unet/config.json") | {"in_channels": channels}, "")
  with pytest.raises(InputError, match=f"in_channels is {channels}.*{says}"):
    load._check_widths(unet, STORYBOOK)


def test_pointers_of_git_lfs_in_a_part(tmp_path):
  for name in ("model.safetensors", "flax_model.msgpack", "config.json"):
    write(tmp_path / name, {name: POINTER})
    with pytest.raises(InputError, match=f"{name}: this is a pointer"):
      (files.read_config if name == "config.json" else weights.read_weights)(
          tmp_path / name)


def test_a_repository_in_the_hubs_cache(tmp_path):
  root = tmp_path / "models--own--model"
  write(root, {"snapshots/abc/a": b"", "snapshots/def/a": b"",
               "refs/main": b"def", "refs/flax": b"abc\n"})
  assert files.locate(str(root)) == root / "snapshots/def"
  assert files.locate(str(root), "flax") == root / "snapshots/abc"
  assert files.locate(str(root), "abc") == root / "snapshots/abc"
  with pytest.raises(InputError, match="revision v2; expected one of abc"):
    files.locate(str(root), "v2")
  shutil.rmtree(root / "refs")
  with pytest.raises(InputError, match=r"without revision main"):
    files.locate(str(root))
  shutil.rmtree(root / "snapshots/def")
  assert files.locate(str(root)) == root / "snapshots/abc"


def test_a_clip_is_no_model_to_tune_nor_the_other_way(tmp_path):
  write(tmp_path, {"unet/config.json": {}})
  with pytest.raises(InputError, match=r"a diffusion model; expected a CLIP"):
    pretrained.load_clip(tmp_path)
