r"""Scores of a real video by this project and by transformers' Flax CLIP.

  PYTHONPATH=.venv/oracles python -m bench.clip_scores --shape=vit-l-14 \
      --video=my.mp4

Writes a CLIP of a published shape with random weights, loads it both ways,
scores the video's first frames with each, starting from the file, and prints
the scores and their difference. Needs what launch/test.sh installs; vit-h-14
takes 16 GB of memory.
"""

import pathlib
import tempfile

from absl import app, flags
import jax
import jax.numpy as jnp
import numpy as np
import transformers

from tav_jax import pretrained, startup
from tav_jax.data import video
from tav_jax.measures import clip_score
from tav_jax.models.clip import (
  CLIP,
  CLIPConfig,
  CLIPTextConfig,
  CLIPVisionConfig,
)
from tav_jax.pretrained import names
from tav_jax.pretrained.clip_config import Preprocessing

_END = 613  # End token of the embedded tokenizer, which random CLIPs get.

SHAPES = {
    "tiny": CLIPConfig(
        text=CLIPTextConfig(width=32, mlp_width=64, layers=2, heads=4),
        vision=CLIPVisionConfig(
            width=48, mlp_width=96, layers=2, heads=4, patch_size=32),
        embed_width=24, eos_token=_END),
    "vit-b-32": CLIPConfig(
        text=CLIPTextConfig(width=512, mlp_width=2048, layers=12, heads=8),
        vision=CLIPVisionConfig(
            width=768, mlp_width=3072, layers=12, heads=12, patch_size=32),
        embed_width=512, eos_token=_END),
    "vit-l-14": CLIPConfig(
        text=CLIPTextConfig(width=768, mlp_width=3072, layers=12, heads=12),
        vision=CLIPVisionConfig(
            width=1024, mlp_width=4096, layers=24, heads=16, patch_size=14),
        embed_width=768, eos_token=_END),
    # PickScore's.
    "vit-h-14": CLIPConfig(
        text=CLIPTextConfig(
            width=1024, mlp_width=4096, layers=24, heads=16, activation="gelu"),
        vision=CLIPVisionConfig(
            width=1280, mlp_width=5120, layers=32, heads=16, patch_size=14,
            activation="gelu"),
        embed_width=1024, eos_token=_END),
}

_SHAPE = flags.DEFINE_enum("shape", "tiny", list(SHAPES), "Shape of the CLIP.")
_VIDEO = flags.DEFINE_string("video", None, "A video file.", required=True)
_TEXT = flags.DEFINE_string("text", "a man is skiing on the snow", "Prompt.")
_FRAMES = flags.DEFINE_integer("frames", 4, "How many of its first frames.")


def write(directory: pathlib.Path, config: CLIPConfig) -> None:
  """Writes a CLIP with random weights that keep the size of activations."""
  size = config.vision.image_size
  shapes = jax.eval_shape(
      CLIP(config).init, jax.random.key(0), jnp.zeros((1, size, size, 3)),
      jnp.zeros((1, config.text.positions), int))["params"]
  random = np.random.default_rng(0)
  params = {
      path: _draw(random, path, leaf.shape)
      for path, leaf in names.flatten(shapes).items()}
  tokenizer = pretrained.load_clip("storybook").tokenizer
  tokenizer.model_max_length = config.text.positions
  pretrained.export_clip(
      directory, config, params, tokenizer, Preprocessing())


def _draw(random, path: str, shape: tuple[int, ...]) -> np.ndarray:
  leaf = path.rsplit("/", 1)[-1]
  if leaf == "logit_scale":
    return np.full(shape, np.log(100), np.float32)
  if leaf == "scale":
    return np.ones(shape, np.float32)
  fan_in = np.prod(shape[:-1]) if leaf == "kernel" else 2500
  return random.standard_normal(shape, np.float32) / np.float32(fan_in**0.5)


def ours(directory: pathlib.Path, frames: np.ndarray, text: str) -> dict:
  """The scores by this project."""
  scorer = clip_score.Scorer(pretrained.load_clip(directory))
  return scorer.paper_scores(frames, text) | {
      "PickScore": scorer.pick_score(frames, text)}


def theirs(directory: pathlib.Path, frames: np.ndarray, text: str) -> dict:
  """The scores by transformers alone."""
  model = transformers.FlaxCLIPModel.from_pretrained(directory)
  inputs = transformers.CLIPImageProcessor.from_pretrained(directory)(
      list(frames), return_tensors="np")
  inputs |= transformers.CLIPTokenizer.from_pretrained(directory)(
      [text], return_tensors="np", padding="max_length")
  params = model.to_fp32(model.params)
  apply = jax.jit(lambda params, inputs: model(**inputs, params=params))
  out = apply(params, dict(inputs))
  cosines = np.asarray(out.image_embeds @ out.image_embeds.T)
  logits = np.asarray(out.logits_per_image)
  return {
      "frame consistency":
          100 * cosines[np.triu_indices(len(frames), 1)].mean(),
      "adjacent consistency": 100 * np.diag(cosines, 1).mean(),
      "textual alignment": 100 * logits.mean() / np.exp(params["logit_scale"]),
      "PickScore": logits.mean()}


def main(argv) -> None:
  """Prints the scores of both, and how far they are apart."""
  del argv
  startup.set_up()
  frames = video.read_all(_VIDEO.value)[:_FRAMES.value]
  with tempfile.TemporaryDirectory() as temporary:
    directory = pathlib.Path(temporary)
    write(directory, SHAPES[_SHAPE.value])
    found = ours(directory, frames, _TEXT.value)
    expected = theirs(directory, frames, _TEXT.value)
  for name, value in found.items():
    print(f"{name:22}{value:12.6f}{expected[name]:12.6f}"
          f"{value - expected[name]:12.1e}")


if __name__ == "__main__":
  app.run(main)
