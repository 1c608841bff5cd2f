"""Builds what tuning and sampling start from: clip, model, optimizer, state."""

import logging

import jax
import optax

from tav_jax.data import video
from tav_jax.errors import about
from tav_jax.parallel import placement, processes
from tav_jax.parallel.mesh import make_mesh
from tav_jax.pipelines import video_model
from tav_jax.runs.settings import OptimizerSettings, Settings, VideoSettings
from tav_jax.training import optim, step

log = logging.getLogger(__name__)


def read(settings: VideoSettings) -> video.Clip:
  """The clip of a run.

  Raises:
    InputError: If the video cannot be read, or has too few frames.
  """
  source = dict(vars(settings))
  del source["caption"]
  with about("video."):
    return video.read(**source)


def load(settings: Settings) -> video_model.VideoModel:
  """The model of a run, on the run's mesh.

  Raises:
    InputError: If a setting is invalid, or the checkpoint cannot be read.
  """
  with about("mesh."):
    mesh = make_mesh(**vars(settings.mesh))
  with about("video."):
    placement.check_frames(mesh, settings.video.frames)
  return video_model.load(settings.model, mesh)


def encode(
    model: video_model.VideoModel, settings: VideoSettings, clip: video.Clip
) -> step.Latents:
  """A clip's latents and its caption's embeddings, on the host."""
  with jax.set_mesh(model.mesh):
    mean, std = model.vae.encode(video.to_model(clip.frames)[None])
  log.info(
      "%s: %d frames of %dx%d, latents %s", settings.path, settings.frames,
      settings.width, settings.height, "x".join(map(str, mean.shape)))
  return step.Latents(*map(
      processes.to_host, (mean, std, model.embed([settings.caption]))))


def optimizer(
    settings: OptimizerSettings
) -> tuple[optax.Schedule, optax.GradientTransformation]:
  """Learning rate by step, and the optimizer."""
  rate = optim.learning_rate(
      settings.schedule, settings.learning_rate, settings.warmup_steps,
      settings.steps)
  return rate, optim.adamw(
      rate, b1=settings.b1, b2=settings.b2, eps=settings.eps,
      weight_decay=settings.weight_decay, clip_norm=settings.clip_norm)


def initial_state(
    model: video_model.VideoModel, optimizer: optax.GradientTransformation,
    seed: int,
) -> step.State:
  """The state before the first step, on the host."""
  return jax.device_get(step.init(model.trainable, optimizer, seed))
