"""The programs that a run will send to the devices, without weights."""

from collections.abc import Callable
import dataclasses
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from tav_jax import pretrained
from tav_jax.errors import about
from tav_jax.parallel import placement
from tav_jax.pipelines import editing, video_model
from tav_jax.pretrained import names, parts
from tav_jax.runs.settings import check_for_model, Settings
from tav_jax.training import optim, step


class Program(NamedTuple):
  """A jitted function, with arguments that have shapes and shardings alone.

  Attributes:
    name: What it does.
    jitted: The function.
    args: Its arguments.
    times: How often a run calls it.
  """

  name: str
  jitted: Any
  args: tuple
  times: int

  @property
  def arguments(self) -> int:
    """Bytes of the arguments, on each device."""
    return sum(
        math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize
        for x in jax.tree.leaves(self.args)
        if isinstance(x, jax.ShapeDtypeStruct))

  def lower(self, mesh: Mesh, platform: str) -> jax.stages.Lowered:
    """The program for a mesh, ready to be compiled."""
    with jax.set_mesh(mesh):
      return self.jitted.trace(*self.args).lower(
          lowering_platforms=(platform,))


def of_run(config: Settings, mesh: Mesh, platform: str) -> list[Program]:
  """The programs that tuning and sampling with a config will run.

  Args:
    config: Settings of the run.
    mesh: The devices.
    platform: "tpu", "gpu" or "cpu", which decides what "auto" means.

  Raises:
    InputError: If the config is invalid.
  """
  model, sampling = config.model, config.sampling
  model.check()
  shapes = pretrained.load_shapes(
      model.checkpoint, revision=model.revision or None, variant=model.variant)
  check_for_model(config, shapes.vae_config, shapes.schedule)
  with about("video."):
    placement.check_frames(mesh, config.video.frames)
  unet = dataclasses.replace(
      shapes.unet_config, execution=model.execution(platform))
  with about("model."):
    trainable, frozen = map(names.unflatten, optim.split(
        names.flatten(shapes.unet_params), model.trainable))

  everywhere = placement.everywhere(mesh)
  array = lambda *shape, at=everywhere, dtype=jnp.float32: (
      jax.ShapeDtypeStruct(shape, dtype, sharding=at))
  # One video on each place of the axis of that name.
  each = lambda x: array(
      mesh.shape["video"], *x.shape, at=placement.of_videos(x.sharding),
      dtype=x.dtype)

  def place(tree: Any, dtype=None) -> Any:
    return jax.tree.map(
        lambda x, sharding: array(
            *x.shape, at=sharding, dtype=dtype or x.dtype),
        tree, placement.param_specs(mesh, tree))

  optimizer = optim.adamw(1e-4)
  alone = place(jax.eval_shape(
      lambda tree: step.init(tree, optimizer, 0), trainable))
  state = jax.tree.map(each, alone)
  frozen = place(frozen, model.frozen_dtype(platform))
  factor, depth = shapes.vae_config.factor, unet.in_channels
  video = (config.video.frames, config.video.height, config.video.width)

  def latents(b):
    shape = (b, video[0], video[1] // factor, video[2] // factor, depth)
    return each(array(*shape, at=placement.video_spec(mesh, shape)))

  no_text = lambda b: array(b, shapes.text_config.positions, unet.text_width)
  text: Callable[[int], Any] = lambda b: each(no_text(b))
  timesteps = (array(1, dtype=jnp.int32),) * 3

  tune = step.make_steps(step.make_step(
      step.tuning_loss(
          lambda *trees: video_model.network(unet, *trees), shapes.schedule),
      optimizer, config.optimizer.accumulate),
      jax.tree.map(lambda x: x.sharding, alone))
  batch = min(sampling.batch_size, len(sampling.prompts))
  batches = editing.dispatches(len(sampling.prompts), sampling.batch_size)
  inverted = sampling.start == "inversion"
  follow = lambda b, negative, scale: (
      unet, shapes.schedule, state.trainable, frozen, latents(b),
      timesteps, text(b), negative, scale)
  guided = sampling.guidance != 1
  dtype = unet.execution.dtype
  autoencoder = parts.VAE(
      dataclasses.replace(shapes.vae_config, dtype=dtype),
      jax.tree.map(
          lambda x: array(*x.shape, dtype=dtype), shapes.vae_params),
      model.vae_frames, mesh=mesh)
  vae = lambda method, *shape: (
      autoencoder.config, method, mesh, autoencoder.params,
      array(*shape, at=placement.frames_spec(mesh)))
  at_a_time = autoencoder.piece(video[0])
  dispatches = -(-video[0] // at_a_time)
  programs = [
      Program(
          "tuning step", tune,
          (state, frozen, step.Latents(latents(1), latents(1), text(1)), 1),
          config.optimizer.steps),
      Program(
          "inversion step", editing.follow, follow(1, None, 1.0),
          2 * sampling.steps if inverted else 0),  # There and back.
      Program(
          f"sampling step, {batch} prompt{'s' * (batch > 1)}", editing.follow,
          follow(batch, no_text(batch) if guided else None, sampling.guidance),
          sampling.steps * batches),
      Program(
          f"encoding {at_a_time} frames", parts.apply_vae,
          vae("encode", at_a_time, *video[1:], 3), dispatches),
      Program(
          f"decoding {at_a_time} frames", parts.apply_vae,
          vae("decode", at_a_time, *latents(1).shape[3:]),
          dispatches * (len(sampling.prompts) + 2 * inverted)),
  ]
  return [program for program in programs if program.times]
