"""Writing a checkpoint that diffusers' `StableDiffusionPipeline` loads.

Each part is written whole or not at all, so that a run that is killed leaves a
directory that can be loaded:

  model_index.json  scheduler/  tokenizer/  text_encoder/  unet/  vae/

Weights are float16 safetensors under torch names.
"""

import json
import os
import pathlib
from typing import Any

import jax
import numpy as np
from safetensors import numpy as safetensors

from tav_jax.data import atomic
from tav_jax.models.clip import CLIPTextConfig
from tav_jax.models.unet import UNetConfig
from tav_jax.models.vae import VAEConfig
from tav_jax.pretrained import names
from tav_jax.sampling.schedule import Schedule
from tav_jax.types import Params

_VERSION = "0.35.2"
WEIGHTS = "diffusion_pytorch_model.safetensors"
"""What diffusers calls the weights of a part."""
_TEXT_WEIGHTS = "model.safetensors"  # transformers calls them so.


def unet_fields(config: UNetConfig) -> dict[str, Any]:
  """The config of diffusers' `UNet2DConditionModel`.

  diffusers has no class for this network without text: `UNet2DConditionModel`
  requires `cross_attention_dim`, and `UNet2DModel` has attention of another
  kind. Then `cross_attention_dim` is null, which `pretrained.load_unet` reads.
  """
  block = lambda kind, attends: f"CrossAttn{kind}2D" if attends else f"{kind}2D"
  # diffusers' Flax network takes no list of layers.
  same = len(set(config.layers)) == 1
  return {
      "_class_name": "UNet2DConditionModel",
      "_diffusers_version": _VERSION,
      "sample_size": config.sample_size,
      "in_channels": config.in_channels,
      "out_channels": config.out_channels,
      "block_out_channels": config.channels,
      "layers_per_block": config.layers[0] if same else config.layers,
      "attention_head_dim": config.heads,
      "down_block_types": [
          block("DownBlock", x) for x in config.down_attention],
      "up_block_types": [block("UpBlock", x) for x in config.up_attention],
      "cross_attention_dim": config.text_width,
      "norm_num_groups": config.groups,
      "norm_eps": config.norm_eps,
      "use_linear_projection": config.linear_projection,
      "flip_sin_to_cos": config.flip_sin_to_cos,
      "freq_shift": int(config.freq_shift),
  }


def write_unet(root: pathlib.Path, config: UNetConfig, params: Params) -> None:
  """Writes `unet/`, a `UNet2DConditionModel`."""
  write_part(root / "unet", WEIGHTS, params, unet_fields(config))


def write_vae(root: pathlib.Path, config: VAEConfig, params: Params) -> None:
  """Writes `vae/`, an `AutoencoderKL`."""
  levels = len(config.channels)
  write_part(root / "vae", WEIGHTS, params, {
      "_class_name": "AutoencoderKL",
      "_diffusers_version": _VERSION,
      "sample_size": config.sample_size,
      "in_channels": config.in_channels,
      "out_channels": config.out_channels,
      "latent_channels": config.latent_channels,
      "block_out_channels": config.channels,
      "layers_per_block": config.layers,
      "norm_num_groups": config.groups,
      "down_block_types": ["DownEncoderBlock2D"] * levels,
      "up_block_types": ["UpDecoderBlock2D"] * levels,
      "scaling_factor": config.scaling_factor,
  })


def write_text_encoder(
    root: pathlib.Path, config: CLIPTextConfig, params: Params, tokenizer
) -> None:
  """Writes `text_encoder/`, a `CLIPTextModel`, for this tokenizer."""
  write_part(root / "text_encoder", _TEXT_WEIGHTS, params, {
      "architectures": ["CLIPTextModel"],
      "model_type": "clip_text_model",
      "vocab_size": config.vocab_size,
      "max_position_embeddings": config.positions,
      "hidden_size": config.width,
      "intermediate_size": config.mlp_width,
      "num_hidden_layers": config.layers,
      "num_attention_heads": config.heads,
      "hidden_act": config.activation,
      "layer_norm_eps": config.norm_eps,
      "bos_token_id": tokenizer.bos_token_id,
      "eos_token_id": tokenizer.eos_token_id,
      "pad_token_id": tokenizer.pad_token_id,
  }, prefix="text_model.")


def write_scheduler(
    root: pathlib.Path, schedule: Schedule, ancestral: bool = False
) -> None:
  """Writes `scheduler/`, a `DDIMScheduler`, or `DDPMScheduler` if ancestral."""
  name = "DDPMScheduler" if ancestral else "DDIMScheduler"
  of_kind = {"variance_type": "fixed_small"} if ancestral else {
      "set_alpha_to_one": schedule.alpha_to_one}
  _write_json(root / "scheduler/scheduler_config.json", {
      "_class_name": name,
      "_diffusers_version": _VERSION,
      "num_train_timesteps": schedule.num_train_steps,
      "beta_start": schedule.beta_start,
      "beta_end": schedule.beta_end,
      "beta_schedule": schedule.beta_schedule,
      "prediction_type": schedule.prediction,
      "timestep_spacing": schedule.spacing,
      "steps_offset": schedule.steps_offset,
      "clip_sample": schedule.clip_sample,
      "rescale_betas_zero_snr": schedule.zero_snr,
  } | of_kind)


def write_index(root: pathlib.Path) -> None:
  """Writes `model_index.json`, of a complete text-to-image pipeline."""
  _write_json(root / "model_index.json", {
      "_class_name": "StableDiffusionPipeline",
      "_diffusers_version": _VERSION,
      "feature_extractor": [None, None],
      "image_encoder": [None, None],
      "requires_safety_checker": False,
      "safety_checker": [None, None],
      "scheduler": ["diffusers", "DDIMScheduler"],
      "text_encoder": ["transformers", "CLIPTextModel"],
      "tokenizer": ["transformers", "CLIPTokenizer"],
      "unet": ["diffusers", "UNet2DConditionModel"],
      "vae": ["diffusers", "AutoencoderKL"],
  })


def write_part(
    directory: str | os.PathLike, weights: str, params: Params,
    config: dict[str, Any], prefix: str = "",
) -> None:
  """Writes a part's config and float16 weights, in place of older ones.

  Args:
    directory: The part's directory.
    weights: Name of the weights' file.
    params: Nested parameters.
    config: What goes into `config.json`.
    prefix: Put before every parameter's torch name.
  """
  half = jax.tree.map(lambda x: np.asarray(x, np.float16), dict(params))
  with atomic.replacing(directory) as partial:
    _write_json(partial / "config.json", config)
    safetensors.save_file(
        {prefix + k: v for k, v in names.write_torch_names(half).items()},
        partial / weights, metadata={"format": "pt"})


def _write_json(file: pathlib.Path, values: dict[str, Any]) -> None:
  with atomic.replacing(file) as partial:
    partial.write_text(json.dumps(values, indent=2) + "\n")
