"""What tuning and sampling both start from: clips, the model, an optimizer."""

import logging

import jax
from ml_collections import ConfigDict
import optax

from tav_jax.data import video
from tav_jax.errors import about
from tav_jax.parallel import placement, processes
from tav_jax.parallel.mesh import make_mesh
from tav_jax.pipelines import video_model
from tav_jax.runs import settings
from tav_jax.training import optim, step

log = logging.getLogger(__name__)


def read(config: ConfigDict) -> video.Clip:
  """The clip of a config, which is checked.

  Raises:
    InputError: If a value will not do, or the video cannot be read.
  """
  settings.check(config)
  source = dict(config.video)
  del source["caption"]
  with about("video."):
    return video.read(**source)


def load(config: ConfigDict) -> video_model.VideoModel:
  """The model of a config, on the config's mesh.

  Raises:
    InputError: If anything in the config will not do.
  """
  with about("mesh."):
    mesh = make_mesh(**config.mesh)
  with about("video."):
    placement.check_frames(mesh, config.video.frames)
  model = video_model.load(mesh=mesh, **config.model)
  settings.check_for_model(config, model.vae.config, model.schedule)
  return model


def encode(
    model: video_model.VideoModel, config: ConfigDict, clip: video.Clip
) -> step.Latents:
  """A clip's latents and its caption's embeddings, on the host."""
  with jax.set_mesh(model.mesh):
    mean, std = model.vae.encode(video.to_model(clip.frames)[None])
  source = config.video
  log.info(
      "%s: %d frames of %dx%d, latents %s", source.path, source.frames,
      source.width, source.height, "x".join(map(str, mean.shape)))
  return step.Latents(*map(
      processes.to_host, (mean, std, model.embed([source.caption]))))


def optimizer(
    config: ConfigDict
) -> tuple[optax.Schedule, optax.GradientTransformation]:
  """Learning rate by step, and the optimizer."""
  chosen = dict(config.optimizer)
  for name in ("accumulate", "steps_per_dispatch"):
    chosen.pop(name)
  with about("optimizer."):
    rate = optim.learning_rate(
        chosen.pop("schedule"), chosen.pop("learning_rate"),
        chosen.pop("warmup_steps"), chosen.pop("steps"))
  return rate, optim.adamw(rate, **chosen)


def initial_state(
    model: video_model.VideoModel, optimizer: optax.GradientTransformation,
    seed: int,
) -> step.State:
  """The state before the first step, on the host."""
  return jax.device_get(step.init(model.trainable, optimizer, seed))
