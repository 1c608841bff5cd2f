"""What tuning and sampling both start from: video, model, latents, optim."""

import logging
from typing import NamedTuple

import jax
from ml_collections import ConfigDict
import optax

from tav_jax import parallel, settings, video_model
from tav_jax.data import video
from tav_jax.training import optim, step

log = logging.getLogger(__name__)


class Session(NamedTuple):
  """A config, loaded.

  Attributes:
    model: The network and its frozen parts.
    clip: The source video.
    batch: Its latents and its caption's embeddings.
    learning_rate: Rate by step.
    optimizer: Optimizer of the trainable tree.
  """

  model: video_model.VideoModel
  clip: video.Clip
  batch: step.Latents
  learning_rate: optax.Schedule
  optimizer: optax.GradientTransformation

  def initial_state(self, seed: int) -> step.State:
    """The state before the first step."""
    state = step.init(self.model.trainable, self.optimizer, seed)
    return parallel.put(
        state, parallel.param_specs(self.model.mesh, state))


def start(config: ConfigDict) -> Session:
  """Reads the video, loads the model, encodes.

  Raises:
    InputError: If anything in the config will not do.
  """
  settings.check(config)
  source = dict(config.video)
  caption = source.pop("caption")
  clip = video.read(**source)
  mesh = parallel.mesh(**config.mesh)
  parallel.check_frames(mesh, source["frames"])
  model = video_model.load(mesh=mesh, **config.model)
  settings.check_for_model(config, model.vae.config, model.schedule)

  with jax.set_mesh(mesh):
    moments = model.vae.encode(video.to_model(clip.frames)[None])
  mean, std = (
      jax.device_put(x, parallel.video_spec(mesh, x.shape)) for x in moments)
  batch = step.Latents(mean, std, model.embed([caption]))
  log.info(
      "%s: %d frames of %dx%d, latents %s", source["path"], source["frames"],
      source["width"], source["height"], "x".join(map(str, mean.shape)))

  chosen = dict(config.optimizer)
  for name in ("accumulate", "steps_per_dispatch"):
    chosen.pop(name)
  rate = optim.learning_rate(
      chosen.pop("schedule"), chosen.pop("learning_rate"),
      chosen.pop("warmup_steps"), chosen.pop("steps"))
  return Session(model, clip, batch, rate, optim.adamw(rate, **chosen))
