r"""Compares pictures by this project and by diffusers' own PyTorch pipeline.

  pip install torch diffusers==0.35.2 transformers==4.57.6
  python -m bench.torch_pipeline --checkpoint=runs/pretrain/model \
      --out=runs/torch-pipeline

Loads the directory with `StableDiffusionPipeline.from_pretrained`, unchanged,
and samples every prompt there and here from the same noise. Prints the largest
difference of the latents, and writes both rows of pictures to `sheet.png`.
"""

import pathlib

from absl import app, flags
import diffusers
import numpy as np
import torch

from tav_jax import pretrained, startup
from tav_jax.pipelines import generation
from tav_jax.pretrained import files
from tav_jax.pretrained.parts import token_ids
from tav_jax.reports import sheet
from tav_jax.sampling.methods import Method

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", "storybook", "A checkpoint of any Stable Diffusion layout.")
_OUT = flags.DEFINE_string("out", None, "Directory to write.", required=True)
_PROMPTS = flags.DEFINE_multi_string(
    "prompt",
    ["a man is skiing on the snow", "a red panda is dancing on the moon",
     "a robot is surfing under the sea, neon style",
     "a rabbit wearing a blue hat is jumping in the city, sketch style"],
    "What to draw.")
_STEPS = flags.DEFINE_integer("steps", 30, "DDIM steps.")
_GUIDANCE = flags.DEFINE_float("guidance", 3.0, "Guidance scale.")


def ours(root: pathlib.Path, prompts: list[str]):
  """Noise, latents and pictures of the prompts, all channels last."""
  model = pretrained.load_pretrained(root)
  unet, params = pretrained.load_unet(root, temporal="none")
  size = unet.sample_size
  assert size is not None  # Checkpoints in this layout have one.
  noise = generation.noise(
      0, (len(prompts), size, size, unet.in_channels))
  embed = lambda texts: model.text_encoder(token_ids(
      model.tokenizer, model.text_encoder.config.positions, texts)[0])
  latents = generation.sample(
      unet, model.schedule, params, noise, embed(prompts), embed([""]),
      method=Method(_STEPS.value, guidance=_GUIDANCE.value))
  return (
      np.asarray(noise)[:, 0], np.asarray(latents)[:, 0],
      generation.pictures(model.vae.decode, latents))


def theirs(root: pathlib.Path, prompts: list[str], noise: np.ndarray):
  """Latents and pictures of diffusers' pipeline from the same noise."""
  pipeline = diffusers.StableDiffusionPipeline.from_pretrained(
      root, torch_dtype=torch.float32)
  last = {}

  def keep(pipeline, step, timestep, tensors):
    del pipeline, step, timestep
    last.update(tensors)
    return {}

  pictures = pipeline(
      prompts, num_inference_steps=_STEPS.value,
      guidance_scale=_GUIDANCE.value, output_type="np",
      latents=torch.from_numpy(np.moveaxis(noise, -1, 1).copy()),
      callback_on_step_end=keep).images
  return (
      np.moveaxis(last["latents"].numpy(), 1, -1),
      np.round(pictures * 255).astype(np.uint8))


def main(argv) -> None:
  """Prints the difference and writes the sheet."""
  del argv
  startup.set_up()
  root, prompts = files.locate(_CHECKPOINT.value), _PROMPTS.value
  noise, latents, pictures = ours(root, prompts)
  their_latents, their_pictures = theirs(root, prompts, noise)
  error = np.abs(latents - their_latents).max()
  print(f"latents: largest difference {error:.1e} of values up to "
        f"{np.abs(latents).max():.1f}")
  apart = np.abs(pictures.astype(int) - their_pictures)
  print(f"pictures: largest difference {apart.max()} of 255")
  out = pathlib.Path(_OUT.value)
  out.mkdir(parents=True, exist_ok=True)
  sheet.grid(
      [*prompts, *(f"diffusers: {p}" for p in prompts)],
      np.concatenate([pictures, their_pictures]), across=len(prompts)).save(
          out / "sheet.png")


if __name__ == "__main__":
  app.run(main)
