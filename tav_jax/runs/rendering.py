"""Rounds of samples: inversion, reconstruction check, edits, files."""

from collections.abc import Sequence
import dataclasses
import logging
import pathlib
from typing import Any, NamedTuple

import jax
import numpy as np
import tqdm

from tav_jax.measures.psnr import psnr
from tav_jax.parallel import processes
from tav_jax.pipelines import editing
from tav_jax.pipelines.video_model import VideoModel
from tav_jax.reports import sheet
from tav_jax.runs import results
from tav_jax.runs.job import Job
from tav_jax.types import Params, Video

log = logging.getLogger(__name__)


class Sampled(NamedTuple):
  """What was sampled of a video, before it is decoded.

  Attributes:
    back: Latents after inversion and back, `1 f h w c`; None without inversion.
    edits: Latents of each prompt, `n f h w c`.
  """

  back: Video | None
  edits: Video


def sample(
    model: VideoModel, trainable: Params, jobs: Sequence[Job]
) -> list[Sampled]:
  """Samples the prompts of several jobs in one program.

  Args:
    model: The model.
    trainable: Tuned parameters of each job along a first axis, which may be
      longer than the list of jobs, to fill up a mesh.
    jobs: Jobs that are open, or at least encoded. Their `sampling` sections
      differ in seeds and texts alone.
  """
  places = len(jax.tree.leaves(trainable)[0])
  filled = [*jobs, *[jobs[-1]] * (places - len(jobs))]
  settings = jobs[0].settings.sampling
  inverted = settings.start == "inversion"
  batches = editing.dispatches(len(settings.prompts), settings.batch_size)
  total = settings.steps * (batches + (2 if inverted else 0))
  with tqdm.tqdm(
      total=total, desc="sampling", unit="step", leave=False,
      dynamic_ncols=True) as bar:
    back: Any = [None] * places
    if inverted:
      noise = editing.invert(
          model, trainable, np.stack([job.latents.mean for job in filled]),
          settings.steps, bar.update)
      back = processes.to_host(editing.resample(
          model, trainable, noise, settings.steps, bar.update))
    else:
      noise = editing.noise(
          settings.start, [job.settings.sampling.seed for job in filled],
          jobs[0].latents.mean.shape)
    edits = editing.edit(
        model, trainable, noise,
        [job.settings.sampling.prompts for job in filled],
        negative_prompt=settings.negative_prompt,
        guidance_scale=settings.guidance, num_steps=settings.steps,
        batch_size=settings.batch_size, progress=bar.update)
  return list(map(Sampled, back, edits))[:len(jobs)]


def write(
    model: VideoModel, job: Job, sampled: Sampled, directory: pathlib.Path
) -> list[sheet.Labelled]:
  """Decodes the latents that were sampled of a video and writes the videos.

  After inversion it also measures where quality is lost: source -> autoencoder
  round trip -> inversion and back without guidance.

  Args:
    model: The model.
    job: The video's job.
    sampled: What `sample` returned for it.
    directory: Directory to write, which must not exist.

  Returns:
    The rendered videos, labelled by prompt.

  Raises:
    InputError: If the samples are not finite.
  """
  clip, latents, settings = job.clip, job.latents, job.settings.sampling
  to_check = [] if sampled.back is None else [
      ("autoencoder round trip", latents.mean),
      ("inversion and back, no guidance", sampled.back)]
  checks = [(label, editing.pixels(model, x)[0]) for label, x in to_check]
  found = {label: psnr(clip.frames, x) for label, x in checks}
  named = list(zip(
      settings.prompts, editing.pixels(model, sampled.edits), strict=True))
  if processes.is_first():
    results.write(
        directory, [("source", clip.frames), *checks, *named], clip.fps,
        dataclasses.asdict(settings) | {
            "caption": job.settings.video.caption,
            "psnr_db": {k: round(v, 2) for k, v in found.items()}})
  processes.wait()
  log.info(
      "%d videos in %s%s", len(named), directory,
      "".join(f"; {k}: PSNR {v:.1f} dB" for k, v in found.items()))
  return named
