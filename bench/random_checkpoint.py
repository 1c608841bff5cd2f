r"""Writes a random-weight Stable Diffusion checkpoint as a diffusers directory.

For measuring time and memory at full size, and for tests, without a download:

  python -m bench.random_checkpoint --size=sd1 --out=runs/random-sd1

The tokenizer is the embedded model's, so ids are small and texts mean nothing.
"""

import json
import pathlib
import shutil

from absl import app, flags
from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from tav_jax.models.clip import CLIPTextModel
from tav_jax.models.unet import UNet3D
from tav_jax.models.vae import AutoencoderKL
from tav_jax.pretrained import configs, files, names, pipeline

_UNET = {
    "_class_name": "UNet2DConditionModel", "in_channels": 4, "out_channels": 4,
    "sample_size": 64, "layers_per_block": 2,
    "block_out_channels": [320, 640, 1280, 1280],
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
    "attention_head_dim": 8, "cross_attention_dim": 768}
_UNET_2 = _UNET | {
    "attention_head_dim": [5, 10, 20, 20], "cross_attention_dim": 1024,
    "use_linear_projection": True}
_VAE = {
    "_class_name": "AutoencoderKL", "latent_channels": 4, "sample_size": 512,
    "layers_per_block": 2, "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4, "scaling_factor": 0.18215}
_TEXT = {
    "architectures": ["CLIPTextModel"], "model_type": "clip_text_model",
    "vocab_size": 49408, "max_position_embeddings": 77, "hidden_size": 768,
    "intermediate_size": 3072, "num_hidden_layers": 12,
    "num_attention_heads": 12, "hidden_act": "quick_gelu"}
_TEXT_2 = _TEXT | {
    "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 23,
    "num_attention_heads": 16, "hidden_act": "gelu"}
_SCHEDULER = {
    "_class_name": "PNDMScheduler", "beta_start": 0.00085, "beta_end": 0.012,
    "beta_schedule": "scaled_linear", "num_train_timesteps": 1000,
    "set_alpha_to_one": False, "skip_prk_steps": True, "steps_offset": 1,
    "clip_sample": False, "prediction_type": "epsilon"}
_SCHEDULER_2 = _SCHEDULER | {"prediction_type": "v_prediction"}

# What makes a configuration tiny.
_TINY_UNET = {
    "sample_size": 8, "layers_per_block": 1, "block_out_channels": [32, 64],
    "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
    "cross_attention_dim": 32}
_TINY_VAE = {
    "sample_size": 16, "layers_per_block": 1, "block_out_channels": [32, 32],
    "down_block_types": ["DownEncoderBlock2D"] * 2,
    "up_block_types": ["UpDecoderBlock2D"] * 2}
_TINY_TEXT = {
    "vocab_size": 614, "max_position_embeddings": 16, "hidden_size": 32,
    "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
# Of one level, and attention where it goes down and in the middle.
_LEAST_UNET = _TINY_UNET | {
    "block_out_channels": [32], "down_block_types": ["CrossAttnDownBlock2D"],
    "up_block_types": ["UpBlock2D"]}

SIZES = {
    "sd1": (_UNET, _VAE, _TEXT, _SCHEDULER),
    "sd2": (_UNET_2, _VAE, _TEXT_2, _SCHEDULER_2),
    "tiny1": (_UNET | _TINY_UNET | {"attention_head_dim": 4},
              _VAE | _TINY_VAE, _TEXT | _TINY_TEXT, _SCHEDULER),
    "least1": (_UNET | _LEAST_UNET | {"attention_head_dim": 4},
               _VAE | _TINY_VAE, _TEXT | _TINY_TEXT, _SCHEDULER),
    "tiny2": (_UNET_2 | _TINY_UNET | {"attention_head_dim": [2, 4]},
              _VAE | _TINY_VAE, _TEXT_2 | _TINY_TEXT, _SCHEDULER_2),
    "least2": (_UNET_2 | _LEAST_UNET | {"attention_head_dim": [2]},
               _VAE | _TINY_VAE, _TEXT_2 | _TINY_TEXT, _SCHEDULER_2),
}


def write(out: pathlib.Path, size: str) -> None:
  """Writes a checkpoint of one of `SIZES` to the directory `out`."""
  out = pathlib.Path(out)
  unet, vae, text, scheduler = SIZES[size]
  unet_config = configs.read_unet(unet, "unet")
  vae_config = configs.read_vae(vae, "vae")
  text_config = configs.read_text_encoder(text, "text_encoder")
  _write_part(
      out / "unet", unet, pipeline.WEIGHTS, UNet3D(unet_config),
      jnp.zeros((1, 1, 8, 8, unet_config.in_channels)), jnp.zeros(1, int),
      jnp.zeros((1, 2, unet_config.text_width)))
  _write_part(
      out / "vae", vae, pipeline.WEIGHTS, AutoencoderKL(vae_config),
      jnp.zeros((1, vae_config.factor, vae_config.factor, 3)))
  _write_part(
      out / "text_encoder", text, "model.safetensors",
      CLIPTextModel(text_config), jnp.zeros((1, 2), int), prefix="text_model.")
  _write_json(out / "scheduler/scheduler_config.json", scheduler)
  _write_tokenizer(out / "tokenizer", text_config.positions)
  _write_json(out / "model_index.json", {
      "_class_name": "StableDiffusionPipeline",
      "scheduler": ["diffusers", scheduler["_class_name"]],
      "text_encoder": ["transformers", "CLIPTextModel"],
      "tokenizer": ["transformers", "CLIPTokenizer"],
      "unet": ["diffusers", "UNet2DConditionModel"],
      "vae": ["diffusers", "AutoencoderKL"]})


def _write_part(
    directory: pathlib.Path, config: dict, file: str, module: nn.Module, *args,
    prefix: str = "",
) -> None:
  shapes = jax.eval_shape(module.init, jax.random.key(0), *args)["params"]
  random = np.random.default_rng(0)
  flat = {
      path: _draw(random, path, leaf.shape)
      for path, leaf in names.flatten(shapes).items() if "_temp/" not in path}
  pipeline.write_part(directory, file, flat, config, prefix)


def _draw(random, path: str, shape: tuple[int, ...]) -> np.ndarray:
  """Ones for norms, zeros for biases, else normal numbers.

  Their variance keeps the size of activations.
  """
  leaf = path.rsplit("/", 1)[-1]
  if leaf == "scale":
    return np.ones(shape, np.float16)
  if leaf == "bias":
    return np.zeros(shape, np.float16)
  fan_in = 2500 if leaf == "embedding" else np.prod(shape[:-1])
  draw = random.standard_normal(shape, np.float32)
  return (draw * fan_in**-0.5).astype(np.float16)


def _write_tokenizer(directory: pathlib.Path, positions: int) -> None:
  shutil.copytree(files.locate("storybook") / "tokenizer", directory)
  file = directory / "tokenizer_config.json"
  _write_json(
      file, json.loads(file.read_text()) | {"model_max_length": positions})


def _write_json(file: pathlib.Path, values: dict) -> None:
  file.parent.mkdir(parents=True, exist_ok=True)
  file.write_text(json.dumps(values, indent=2) + "\n")


_SIZE = flags.DEFINE_enum("size", "sd1", list(SIZES), "Configuration.")
_OUT = flags.DEFINE_string("out", None, "Directory to write.", required=True)


def main(argv) -> None:
  """Writes the checkpoint that the flags ask for."""
  del argv
  if pathlib.Path(_OUT.value).exists():
    raise app.UsageError(f"--out={_OUT.value} exists; give a new directory")
  write(pathlib.Path(_OUT.value), _SIZE.value)
  print(f"wrote {_OUT.value}")


if __name__ == "__main__":
  app.run(main)
