"""One round of samples: inversion, reconstruction check, edits, files."""

import json
import logging
import pathlib
import time

from ml_collections import ConfigDict
import tqdm

from tav_jax import editing, parallel, results
from tav_jax.data import sheet
from tav_jax.data.video import Clip
from tav_jax.types import Params, Video
from tav_jax.video_model import VideoModel

log = logging.getLogger(__name__)


def render(
    model: VideoModel,
    trainable: Params,
    clip: Clip,
    latents: Video,
    settings: ConfigDict,
    directory: pathlib.Path,
) -> list[sheet.Labelled]:
  """Renders the prompts of `settings` and writes them all to `directory`.

  With `start="inversion"` it also measures where quality is lost: source ->
  autoencoder round trip -> inversion and back without guidance.

  Args:
    model: The model.
    trainable: Its tuned parameters.
    clip: The source video.
    latents: Its latents, `1 f h w c`.
    settings: The config's `sampling` section.
    directory: Where to write; must not exist.

  Returns:
    What was rendered, labelled by prompt.
  """
  started = time.monotonic()
  inverted = settings.start == "inversion"
  batches = editing.dispatches(len(settings.prompts), settings.batch_size)
  total = settings.steps * (batches + (2 if inverted else 0))
  with tqdm.tqdm(
      total=total, desc="sampling", unit="step", leave=False,
      dynamic_ncols=True) as bar:
    checks = []
    if inverted:
      noise = editing.invert(
          model, trainable, latents, settings.steps, bar.update)
      back = editing.resample(
          model, trainable, noise, settings.steps, bar.update)
      checks = [("autoencoder round trip", latents),
                ("inversion and back, no guidance", back)]
    else:
      noise = editing.noise(settings.start, settings.seed, latents.shape)
    edits = editing.edit(
        model, trainable, noise, settings.prompts,
        negative_prompt=settings.negative_prompt,
        guidance_scale=settings.guidance, num_steps=settings.steps,
        batch_size=settings.batch_size, progress=bar.update)
  checks = [(label, editing.pixels(model, x)[0]) for label, x in checks]
  psnr = {label: editing.psnr(clip.frames, x) for label, x in checks}
  named = list(zip(settings.prompts, edits, strict=True))
  if parallel.is_first():
    results.write(
        directory, [("source", clip.frames), *checks, *named], clip.fps,
        json.loads(settings.to_json_best_effort()) | {
            "psnr_db": {k: round(v, 2) for k, v in psnr.items()}})
  parallel.wait()
  for label, value in psnr.items():
    log.info("%s: PSNR %.1f dB", label, value)
  log.info(
      "%d videos in %s (%.0f s)", len(named), directory,
      time.monotonic() - started)
  return named
