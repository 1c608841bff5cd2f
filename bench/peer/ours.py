"""The programs of the comparison, in this project.

Each is a function of a case that gives what to time, and what it came to.
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
from jax.sharding import Mesh
import numpy as np
import optax

from bench.peer.case import Case, temporal_weight
from tav_jax import cli, parallel, pretrained, video_model
from tav_jax.data import video
from tav_jax.models.unet import UNetConfig
from tav_jax.pretrained import load, names
from tav_jax.sampling import ddim, guidance
from tav_jax.sampling.schedule import Schedule
from tav_jax.training import optim, step
from tav_jax.types import Params

_AT_A_TIME = 10  # Denoising steps of a dispatch.

set_up = cli.set_up


class Network(NamedTuple):
  """As much of a `VideoModel` as a denoising step needs."""

  unet: UNetConfig
  trainable: Params
  frozen: Params
  schedule: Schedule


def _on_mesh(program):
  """`program(case, mesh)` as a function of the case, on its config's mesh."""

  @functools.wraps(program)
  def begin(case: Case):
    mesh = parallel.mesh(**case.config().mesh)
    with jax.set_mesh(mesh):
      run, result = program(case, mesh)

    def run_on_mesh() -> None:
      with jax.set_mesh(mesh):
        run()

    return run_on_mesh, result

  return begin


def network(case: Case, mesh: Mesh) -> Network:
  """The network as `video_model.load` has it."""
  chosen = case.config().model
  unet, params = pretrained.load_unet(case.root)
  how = video_model.compute(
      jax.default_backend(), chosen.dtype, chosen.remat, chosen.attention,
      chosen.attention_block)
  trainable, frozen = optim.split(params, chosen.trainable)
  torch = {
      name: temporal_weight(name, x.shape) if "attn_temp" in name else x
      for name, x in names.write_torch_names(trainable).items()}
  return Network(
      dataclasses.replace(unet, compute=how), names.read_torch_names(torch),
      parallel.put(frozen, parallel.param_specs(mesh, frozen)),
      load.load_schedule(case.root / "scheduler"))


def optimizer(case: Case):
  """The optimizer of a run of `tav_jax.tune`."""
  chosen = dict(case.config().optimizer)
  return optim.adamw(chosen["learning_rate"], **{
      k: chosen[k] for k in ("b1", "b2", "eps", "weight_decay", "clip_norm")})


@_on_mesh
def tuning(case: Case, mesh: Mesh):
  """A step of tuning."""
  net, adamw, given = network(case, mesh), optimizer(case), case.inputs()
  batch = tuple(given[k] for k in ("x0", "noise", "timestep", "text"))

  def loss(trainable, frozen, batch, key):
    del key
    return step.denoising_loss(
        video_model.network(net.unet, trainable, frozen), net.schedule, *batch)

  take = jax.jit(step.make_step(loss, adamw), donate_argnums=0)
  last = {"state": step.init(net.trainable, adamw, 0)}

  def run():
    last["state"], last["metrics"] = jax.block_until_ready(
        take(last["state"], net.frozen, batch))

  def result():
    state, metrics = last["state"], last["metrics"]
    return {
        "loss": np.asarray(metrics["loss"]),
        "gradient's norm": np.asarray(metrics["grad_norm"]),
        "gradient": _join(optax.tree.get(state.optimizer, "mu")),
        "weights' change": _join(state.trainable) - _join(net.trainable)}

  return run, result


@_on_mesh
def sampling(case: Case, mesh: Mesh):
  """A step of sampling with guidance: two clips."""
  net, given, last = network(case, mesh), case.inputs(), {}
  config, trainable = case.config().sampling, jax.device_put(net.trainable)
  steps = _middle(net.schedule, config.steps)

  def run():
    last["x"] = jax.block_until_ready(_follow(
        net.unet, net.schedule, trainable, net.frozen, given["noise"], steps,
        given["text"], given["negative"], config.guidance))

  return run, lambda: {
      "sampling step": np.asarray(last["x"]) - given["noise"]}


@_on_mesh
def inversion(case: Case, mesh: Mesh):
  """A step of inversion, without guidance."""
  net, given, last = network(case, mesh), case.inputs(), {}
  config, trainable = case.config().sampling, jax.device_put(net.trainable)
  asked, noisier, cleaner = _middle(net.schedule, config.steps)

  def run():
    last["x"] = jax.block_until_ready(_follow(
        net.unet, net.schedule, trainable, net.frozen, given["x0"],
        (asked, cleaner, noisier), given["text"], None, 1.0))

  return run, lambda: {
      "inversion step": np.asarray(last["x"]) - given["x0"]}


def _middle(schedule: Schedule, count: int) -> tuple[np.ndarray, ...]:
  """The step in the middle of sampling."""
  at = count // 2
  return tuple(
      x[at:at + 1] for x in ddim.sampling_steps(schedule, count))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _follow(
    unet, schedule, trainable, frozen, latents, steps, text, negative, scale):
  """A run of denoising steps as one program, as in `tav_jax.editing`."""
  net = video_model.network(unet, trainable, frozen)
  denoise = (
      guidance.conditional(net, text) if negative is None
      else guidance.classifier_free(net, text, negative, scale))
  return ddim.follow(denoise, schedule, latents, *steps)[0]


@_on_mesh
def encode(case: Case, mesh: Mesh):
  """The clip's latents."""
  vae, pixels, last = _autoencoder(case, mesh), case.inputs()["pixels"], {}

  def run():
    last["moments"] = jax.block_until_ready(vae.encode(pixels))

  return run, lambda: dict(zip(
      ("encoded mean", "encoded deviation"),
      map(np.asarray, last["moments"]), strict=True))


@_on_mesh
def decode(case: Case, mesh: Mesh):
  """The clip's pixels."""
  vae, latents, last = _autoencoder(case, mesh), case.inputs()["x0"], {}

  def run():
    last["x"] = jax.block_until_ready(vae.decode(latents))

  return run, lambda: {"decoded pixels": np.asarray(last["x"])}


def _autoencoder(case: Case, mesh: Mesh):
  vae = load.load_vae(case.root / "vae")
  return dataclasses.replace(vae, params=parallel.replicate(mesh, vae.params))


@_on_mesh
def job(case: Case, mesh: Mesh):
  """Tuning on the embedded video, inversion, sampling of one prompt."""
  config = case.config()
  chosen, source = config.optimizer, dict(config.video)
  caption = source.pop("caption")
  clip = video.read(**source)
  model = video_model.load(mesh=mesh, **config.model)
  adamw = optimizer(case)
  take_step = step.make_step(
      step.tuning_loss(model.network, model.schedule), adamw)

  @functools.partial(jax.jit, donate_argnums=0)
  def take_steps(state, frozen, batch):
    return jax.lax.scan(
        lambda state, _: take_step(state, frozen, batch), state,
        length=chosen.steps_per_dispatch)

  def run():
    mean, std = model.vae.encode(video.to_model(clip.frames)[None])
    batch = step.Latents(mean, std, model.embed([caption]))
    state = step.init(model.trainable, adamw, config.seed)
    for _ in range(chosen.steps // chosen.steps_per_dispatch):
      state, _ = take_steps(state, model.frozen, batch)
    count = config.sampling.steps
    no_text, text = model.embed([""]), model.embed(config.sampling.prompts)
    follow = lambda x, steps, *texts: _in_dispatches(
        model, state.trainable, x, steps, *texts)
    x = follow(mean, ddim.inversion_steps(model.schedule, count), no_text,
               None, 1.0)
    x = follow(x, ddim.sampling_steps(model.schedule, count), text, no_text,
               config.sampling.guidance)
    jax.block_until_ready(model.vae.decode(x))

  return run, lambda: {}


def _in_dispatches(model, trainable, x, steps, text, negative, scale):
  """All steps, as many at a time as in `tav_jax.editing`."""
  for i in range(0, len(steps[0]), _AT_A_TIME):
    x = _follow(
        model.unet, model.schedule, trainable, model.frozen, x,
        tuple(s[i:i + _AT_A_TIME] for s in steps), text, negative, scale)
  return x


def _join(params: Params) -> np.ndarray:
  """All parameters as one vector, in the order of their torch names."""
  return np.concatenate([
      x.ravel() for _, x in sorted(names.write_torch_names(params).items())])


PROGRAMS = {
    f.__name__: f
    for f in (tuning, sampling, inversion, encode, decode, job)}
