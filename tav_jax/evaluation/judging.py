"""Asks the judge whether an image model draws what its captions say."""

import logging
import math
import pathlib

from ml_collections import ConfigDict
import numpy as np

from tav_jax import pretrained
from tav_jax.pipelines import generation
from tav_jax.pretrained import files
from tav_jax.pretrained.parts import token_ids
from tav_jax.reports import sheet, table
from tav_jax.runs import settings
from tav_jax.sampling.methods import Method
from tav_jax.storybook import judge
from tav_jax.storybook.world import scene
from tav_jax.storybook.world.render import render

log = logging.getLogger(__name__)

RANGES = (
    ("seed", *settings.SEEDS), ("prompts", 1, math.inf),
    ("sheet", 1, math.inf), ("sampling.guidance", 0, 100),
    ("sampling.steps", 1, 1000))


def run(config: ConfigDict, workdir: pathlib.Path) -> None:
  """Writes the table and a sheet of each kind of caption.

  Args:
    config: As in `configs/evaluate_storybook.py`.
    workdir: Directory of the results.

  Raises:
    InputError: If the model or the judge cannot be read.
  """
  root = files.locate(config.model.checkpoint, config.model.revision or None)
  model = pretrained.load_pretrained(root, variant={"temporal": "none"})
  unet, params = model.unet_config, model.unet_params
  referee = judge.load(
      pathlib.Path(config.judge) if config.judge
      else files.locate(files.STORYBOOK) / "judge")
  embed = lambda captions: model.text_encoder(token_ids(
      model.tokenizer, model.text_encoder.config.positions, captions)[0])

  size = unet.sample_size
  assert size is not None  # The world's models have one.
  rows = []
  for name, held_out in (("seen pairs", False), ("held-out pairs", True)):
    rng = np.random.default_rng([config.seed, held_out])
    scenes = [
        scene.random_scene(rng, held_out) for _ in range(config.prompts)]
    captions = [scene.caption(s) for s in scenes]
    labels = [scene.labels(s) for s in scenes]
    sampled = generation.sample(
        unet, model.schedule, params,
        generation.noise(
            config.seed, (len(scenes), size, size, unet.in_channels)),
        embed(captions), embed([""]), method=Method(
            config.sampling.steps, guidance=config.sampling.guidance))
    drawn = generation.pictures(model.vae.decode, sampled)
    true = np.stack([render(s, drawn.shape[1]) for s in scenes])
    for what, images in (("samples", drawn), ("true drawings", true)):
      accuracy = referee.accuracy(images, labels)
      log.info("%s, %s: %s", name, what, judge.describe(accuracy))
      rows.append({"captions": name, "pictures": what} | accuracy)
    count = min(config.sheet, len(scenes))
    sheet.grid(captions[:count], drawn[:count]).save(
        workdir / f"{name.replace(' ', '-')}.png")
  table.write(workdir, "judge", rows)
  log.info("%s", workdir / "judge.md")
