"""The programs of the comparison, in this project.

Each is a function of a case; it returns a function to time, and another that
gives the results of its last call.
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
from jax.sharding import Mesh
import numpy as np
import optax

from bench.peer.case import Case, STEPS, temporal_weight
from tav_jax import startup
from tav_jax.models.unet import UNetConfig
from tav_jax.parallel import placement
from tav_jax.parallel.mesh import make_mesh
from tav_jax.pipelines import editing, video_model
from tav_jax.pretrained import load, names, shapes
from tav_jax.pretrained.unet import read_unet
from tav_jax.runs import build, settings
from tav_jax.runs.settings import Settings
from tav_jax.sampling import ddim
from tav_jax.sampling.schedule import Schedule
from tav_jax.training import optim, step
from tav_jax.types import Params

set_up = startup.set_up


def _on_mesh(program):
  """`program` without its argument `mesh`: that of the case's config."""

  @functools.wraps(program)
  def begin(case: Case, *args):
    mesh = make_mesh(**case.config().mesh)
    with jax.set_mesh(mesh):
      run, result = program(case, mesh, *args)

    def run_on_mesh() -> None:
      with jax.set_mesh(mesh):
        run()

    return run_on_mesh, result

  return begin


class Network(NamedTuple):
  """The fields of a `VideoModel` that denoising needs.

  Trainable parameters have a first axis `v`, here of one video.
  """

  unet: UNetConfig
  trainable: Params
  frozen: Params
  schedule: Schedule


def network(case: Case, mesh: Mesh) -> Network:
  """The network as `video_model.load` has it."""
  unet, flat = read_unet(case.root / "unet")
  model, platform = _settings(case).model, jax.default_backend()
  trainable, frozen = optim.split(flat, model.trainable)
  del flat  # Else it keeps arrays alive that are moved.
  torch = {
      name: temporal_weight(name, x.shape) if "attn_temp" in name else x
      for name, x in names.write_torch_names(
          names.unflatten(trainable)).items()}
  dtype = model.frozen_dtype(platform)
  return Network(
      dataclasses.replace(unet, execution=model.execution(platform)),
      _lane(mesh, names.read_torch_names(torch)),
      names.nest(frozen, lambda path, x: placement.put_param(
          mesh, path, x.astype(dtype, copy=False))),
      shapes.load_schedule(case.root / "scheduler"))


def _settings(case: Case) -> Settings:
  return settings.of(case.config().to_dict())


def _lane(mesh: Mesh, tree):
  """Arrays of one video, along a first axis."""
  return placement.stack([tree], placement.param_specs(mesh, tree))


def tuning(case: Case):
  """A step of tuning."""
  return _tuning(case, 1)


def tuning_run(case: Case):
  """Ten steps of tuning in one dispatch, as a run takes them."""
  run, _ = _tuning(case, STEPS)
  return run, lambda: {}


@_on_mesh
def _tuning(case: Case, mesh: Mesh, count: int):
  net, given = network(case, mesh), case.inputs()
  _, adamw = build.optimizer(_settings(case).optimizer)
  batch = tuple(given[k][None] for k in ("x0", "noise", "timestep", "text"))

  def loss(trainable, frozen, batch, key):
    del key
    return step.denoising_loss(
        video_model.network(net.unet, trainable, frozen), net.schedule, *batch)

  before = _join(net.trainable)
  host = jax.tree.map(lambda x: np.asarray(x[0]), net.trainable)
  net = net._replace(trainable={})  # As a run has it: in the state alone.
  state = jax.device_get(step.init(host, adamw, 0))
  take = step.make_steps(
      step.make_step(loss, adamw), placement.param_specs(mesh, state))
  last = {"states": _lane(mesh, state)}

  def run():
    last["states"], last["metrics"] = jax.block_until_ready(
        take(last["states"], net.frozen, batch, count))

  def result():
    states, metrics = last["states"], last["metrics"]
    return {
        "loss": np.asarray(metrics["loss"])[0, 0],
        "gradient's norm": np.asarray(metrics["grad_norm"])[0, 0],
        "gradient": _join(optax.tree.get(states.optimizer, "mu")),
        "weights' change": _join(states.trainable) - before}

  return run, result


def sampling(case: Case):
  """A step of sampling with guidance: two clips."""
  return _sampling(case, 1)


def sampling_run(case: Case):
  """Ten steps of sampling in one dispatch, as a run takes them."""
  run, _ = _sampling(case, STEPS)
  return run, lambda: {}


@_on_mesh
def _sampling(case: Case, mesh: Mesh, count: int):
  net, given, last = network(case, mesh), case.inputs(), {}
  config = case.config().sampling
  steps = _middle(net.schedule, config.steps, count)

  def run():
    last["x"] = jax.block_until_ready(editing.follow(
        net.unet, net.schedule, net.trainable, net.frozen,
        given["noise"][None], steps, given["text"][None], given["negative"],
        config.guidance))

  return run, lambda: {
      "sampling step": np.asarray(last["x"][0]) - given["noise"]}


@_on_mesh
def inversion(case: Case, mesh: Mesh):
  """A step of inversion, without guidance."""
  net, given, last = network(case, mesh), case.inputs(), {}
  asked, noisier, cleaner = _middle(
      net.schedule, case.config().sampling.steps, 1)

  def run():
    last["x"] = jax.block_until_ready(editing.follow(
        net.unet, net.schedule, net.trainable, net.frozen, given["x0"][None],
        (asked, cleaner, noisier), given["text"][None], None, 1.0))

  return run, lambda: {
      "inversion step": np.asarray(last["x"][0]) - given["x0"]}


def _middle(schedule: Schedule, of: int, count: int) -> tuple[np.ndarray, ...]:
  """Steps from the middle of sampling."""
  return tuple(
      x[of // 2:of // 2 + count] for x in ddim.sampling_steps(schedule, of))


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
  settings = _settings(case).model
  return dataclasses.replace(
      load.load_vae(
          case.root / "vae", settings.execution(jax.default_backend()).dtype,
          mesh),
      frames_at_a_time=settings.vae_frames)


def job(case: Case):
  """Tuning on the embedded video, inversion, sampling of one prompt."""
  config = _settings(case)
  model = build.load(config)
  mesh, sampling = model.mesh, config.sampling
  _, adamw = build.optimizer(config.optimizer)
  state = build.initial_state(model, adamw, config.seed)
  take_steps = step.make_steps(step.make_step(
      step.tuning_loss(model.network, model.schedule), adamw),
      placement.param_specs(mesh, state))

  def run():
    given = build.encode(model, config.video, build.read(config.video))
    batches = jax.tree.map(lambda x: x[None], given)
    states = _lane(mesh, state)
    for _ in range(config.optimizer.steps // STEPS):
      states, metrics = take_steps(states, model.frozen, batches, STEPS)
      np.asarray(metrics["loss"])  # A run looks at it, too.
    ignore = lambda steps: None
    noise = editing.invert(
        model, states.trainable, given.mean[None], sampling.steps, ignore)
    edits = editing.edit(
        model, states.trainable, noise, [sampling.prompts],
        negative_prompt=sampling.negative_prompt,
        guidance_scale=sampling.guidance, num_steps=sampling.steps,
        batch_size=sampling.batch_size, progress=ignore)
    editing.pixels(model, edits[0])

  def run_on_mesh():
    with jax.set_mesh(mesh):
      run()

  return run_on_mesh, lambda: {}


def _join(params: Params) -> np.ndarray:
  """One video's parameters as one vector, in the order of torch names."""
  one = jax.tree.map(lambda x: x[0], params)
  return np.concatenate([
      x.ravel() for _, x in sorted(names.write_torch_names(one).items())])


PROGRAMS = {
    f.__name__: f
    for f in (
        tuning, tuning_run, sampling, sampling_run, inversion, encode, decode,
        job)}
