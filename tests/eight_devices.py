"""The same numbers on eight devices as on one, on every kind of mesh.

mesh_test.py runs these tests in a process of eight devices.
"""

import dataclasses
import functools

import jax
from ml_collections import ConfigDict
import numpy as np
import pytest
from unet_test import CONFIG, drawn

from bench import random_checkpoint
from configs import storybook
from tav_jax import pretrained
from tav_jax.errors import InputError
from tav_jax.models import attention, initial
from tav_jax.models.clip import CLIPTextConfig, CLIPTextModel
from tav_jax.models.layers import Conv, Downsample, Execution, Upsample
from tav_jax.models.unet import UNetConfig
from tav_jax.parallel import activations, placement
from tav_jax.parallel.mesh import AXES, make_mesh
from tav_jax.pipelines.video_model import network
from tav_jax.planning import costs, programs
from tav_jax.pretrained import names
from tav_jax.pretraining import networks, stage
from tav_jax.runs import settings
from tav_jax.sampling.schedule import Schedule
from tav_jax.training import diffusion as diffusion_loss
from tav_jax.training import optim, step


def random(seed, *shape):
  return jax.random.normal(jax.random.key(seed), shape)


def mesh_of(*sizes):
  return make_mesh(**dict(zip(AXES, sizes, strict=True)))


@pytest.fixture(scope="module")
def alone():
  """A mesh of the first device."""
  assert jax.device_count() == 8
  return make_mesh(jax.devices()[:1])


# What frames see, as a fork would add to it: which frames, and no more.
ADDED = {
    "previous": lambda f: [(max(i - 1, 0),) for i in range(f)],
    "first_counts_twice": lambda f: [(0, 0, max(i - 1, 0)) for i in range(f)],
    "window": lambda f: [
        (max(i - 2, 0), i, min(i + 1, f - 1)) for i in range(f)],
    "reversed": lambda f: [(f - 1 - i, 5) for i in range(f)]}


def test_attention_is_the_same_on_any_mesh(monkeypatch):
  """All it may see, and text; forward and gradients."""
  for name, rule in ADDED.items():
    monkeypatch.setitem(attention.VISIBLE, name, rule)
  monkeypatch.setitem(attention.KERNELS, "flash", functools.partial(
      attention._flash, interpret=True))
  monkeypatch.setitem(attention.KERNELS, "cudnn", functools.partial(
      attention._cudnn, implementation="xla"))
  q, k, v, upstream = (random(i, 2, 3, 8, 5, 4) for i in range(4))
  text = random(4, 2, 3, 1, 6, 4)

  @functools.partial(jax.jit, static_argnums=(0, 1))
  def run(visible, kernel, q, k, v, upstream):
    keys = (text, 2 * text) if visible == "text" else (k, v)
    kind = "first" if visible == "text" else visible
    out, pull = jax.vjp(
        lambda q, k, v: attention.attend(q, k, v, kind, kernel), q, *keys)
    return out, pull(upstream)

  for visible in (*attention.VISIBLE, "text"):
    cases = [("blockwise", (1, 8, 1))]
    if visible in ("sparse_causal", "text"):
      cases += [("blockwise", (8, 1, 1)), ("blockwise", (1, 1, 8))]
    if visible in ("previous", "first_counts_twice", "text"):
      cases += [("flash", (2, 2, 2)), ("cudnn", (2, 2, 2))]
    expected = run(visible, "blockwise", q, k, v, upstream)
    for kernel, sizes in cases:
      with jax.set_mesh(mesh_of(*sizes)):
        found = run(visible, kernel, q, k, v, upstream)
      assert_close(
          found, expected, atol=5e-6, err_msg=f"{visible} {kernel} {sizes}")


def assert_close(found, expected, **how):
  jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, **{"rtol": 1e-7} | how),
      found, expected)


def test_tuning_steps_are_the_same_on_a_mesh(alone):
  """Of two videos; these, frames and parameters split, convolutions in time."""
  config = dataclasses.replace(
      CONFIG, execution=Execution(remat=True), convolution="pseudo_3d",
      channels=(32,), layers=(1,), heads=(4,), down_attention=(True,),
      up_attention=(False,))
  latents = random(0, 2, 1, 4, 5, 6, 4)
  text = random(1, 2, 1, 3, config.text_width)
  normal = np.random.default_rng(1).standard_normal
  params = {
      path: x + 0.02 * normal(x.shape, np.float32)  # Of which none is zero.
      for path, x in names.flatten(drawn(config)).items()}
  trainable, frozen = map(names.unflatten, optim.split(
      params, ("attn1/to_q", "attn_temp")))
  optimizer = optim.adamw(1e-3, eps=1e-2)
  one_step = step.make_step(step.tuning_loss(
      lambda *trees: network(config, *trees), Schedule()), optimizer)
  states = [
      jax.device_get(step.init(trainable, optimizer, seed)) for seed in (0, 1)]

  def run(mesh):
    where = placement.param_specs(mesh, states[0])
    place = lambda x: placement.stack(
        list(x), placement.video_spec(mesh, x[0].shape))
    batch = step.Latents(place(latents), place(0.1 * latents), place(text))
    weights = jax.device_put(frozen, placement.param_specs(mesh, frozen))
    take = step.make_steps(one_step, where)
    with jax.set_mesh(mesh):
      state, metrics = take(placement.stack(states, where), weights, batch, 2)
    # So that every process can read them.
    assert all(x.is_fully_replicated for x in jax.tree.leaves(metrics))
    second = placement.pick(state, 1, where)
    split = [x.sharding.spec for x in jax.tree.leaves((weights, second))]
    return jax.device_get((state, metrics, second)), split

  expected, split = run(alone)
  assert not any("model" in spec for spec in split)
  a_video_each = make_mesh(jax.devices()[:2], video=2)
  for mesh in (a_video_each, mesh_of(2, 2, 2)):
    found, split = run(mesh)
    assert any("model" in spec for spec in split) == (mesh.shape["model"] > 1)
    assert_close(found, expected, rtol=2e-4, atol=2e-6)


def test_devices_share_the_work(alone, tmp_path):
  """Operations and messages of a run's programs, as they are compiled.

  Numbers cannot show it: they are equal even if every device does everything.
  """
  random_checkpoint.write(tmp_path, "least1")
  config = storybook.get_config()
  config.model.update(checkpoint=str(tmp_path), remat=False)
  config.video.update(frames=8, width=8, height=8)
  config.sampling.update(prompts=("a", "b"), batch_size=2, start="random")
  unet = pretrained.load_shapes(tmp_path).unet_params
  parameters = sum(x.size for x in jax.tree.leaves(unet))

  def lower(mesh, names):
    made = programs.of_run(settings.of(config.to_dict()), mesh, "cpu")
    of = {program.name.split()[0]: program for program in made}
    return {
        name: (
            of[name].lower(mesh, "cpu"),
            # The autoencoder's is of a few frames.
            8 / int(of[name].name.split()[1]) if "coding" in name else 1)
        for name in names}

  whole = lower(alone, ("tuning", "sampling", "encoding", "decoding"))
  work = {
      name: times * costs.of(lowered, "cpu").flops
      for name, (lowered, times) in whole.items()}
  for sizes, some in (
      ((1, 8, 1), ("tuning", "sampling")),
      ((8, 1, 1), ("sampling", "decoding")),
      ((2, 2, 2), ("sampling", "encoding"))):
    for name, (lowered, times) in lower(mesh_of(*sizes), some).items():
      videos = 1 if "coding" in name else sizes[0]
      cost = costs.of(lowered, "cpu")
      told = f"{name} {sizes}: {cost}"
      assert times * cost.flops <= 1.15 * videos * work[name] / 8, told
      if "coding" in name or sizes == (8, 1, 1):
        assert not cost.collectives, told
      elif sizes[2] == 1:
        assert "all-gather" not in cost.collectives, told
      else:  # The parameters, where they are split.
        assert cost.collectives["all-gather"] <= 1.5 * 4 * parameters, told

  # Without guidance there is no negative half.
  config.sampling.guidance = 1.0
  (plain, _), (guided, _) = (
      lower(alone, ("sampling",))["sampling"], whole["sampling"])
  flops = lambda lowered: lowered.cost_analysis()["flops"]
  assert flops(plain) <= 0.51 * flops(guided)


@pytest.mark.parametrize("layer,args", [
    (Conv(3), ()), (Downsample(), ()), (Upsample(), ((11, 12),))])
def test_neither_videos_nor_frames_lead_in_memory(layer, args):
  """More of both than devices along their axes."""
  x = random(0, 4, 2, 8, 6, 6, 4)
  params = layer.init(jax.random.key(0), x[0], *args)
  run = jax.jit(lambda x: activations.over_videos(
      lambda x: layer.apply(params, x, *args), (0,))(x))
  expected = run(x)
  mesh = mesh_of(2, 2, 2)
  lying = placement.of_videos(placement.video_spec(mesh, x.shape[1:]))
  with jax.set_mesh(mesh):
    compiled = run.lower(jax.device_put(x, lying)).compile()
  assert not costs.read_collectives(compiled.as_text())[0]
  np.testing.assert_allclose(
      compiled(jax.device_put(x, lying)), expected, atol=1e-5)


def test_pretraining_steps_are_the_same(alone):
  """Of clips with pictures beside them; each device has two, and no more work.
  """
  shape = UNetConfig(
      in_channels=2, out_channels=2, channels=(8,), layers=(1,), heads=(2,),
      down_attention=(False,), up_attention=(False,), text_width=8, groups=4,
      sample_size=4, temporal="relative", scalars=("frame_rate",))
  text = CLIPTextConfig(
      width=8, mlp_width=8, layers=1, heads=2, vocab_size=20, positions=5)
  normal = np.random.default_rng(1).standard_normal
  params = jax.tree.map(
      lambda x: x + 0.1 * normal(x.shape).astype(np.float32), {
          "unet": networks.init(shape, 0),
          "text": initial.init(
              CLIPTextModel(text), 0, np.zeros((1, 5), np.int32))})
  examples = lambda *lead: {
      "mean": normal((*lead, 4, 4, 2)), "std": np.abs(normal((*lead, 4, 4, 2))),
      "tokens": np.broadcast_to(
          np.arange(5, dtype=np.int32), (*lead[:-1], 5)),
      "scalars": {"frame_rate": np.ones(lead[:-1], np.float32)}}
  batch = examples(16, 3) | {"images": examples(16, 2, 1)}
  optimizer = optim.averaged(optim.adamw(1e-3, eps=1e-3), 0.9)
  loss = diffusion_loss.loss(shape, text, Schedule(num_train_steps=50), 5.0)
  assert make_mesh().size == 8
  ends, work = [], []
  for mesh in (jax.sharding.Mesh(alone.devices.flat, ("video",)), make_mesh()):
    state = placement.replicate(mesh, step.init(params, optimizer, 0))
    placed = placement.split_batch(mesh, batch)
    assert len(placed["mean"].addressable_shards) == mesh.size
    take = jax.jit(step.make_step(loss, optimizer)).lower(
        state, {}, placed).compile()
    work.append(take.cost_analysis()["flops"])
    for _ in range(2):
      state, metrics = take(state, {}, placed)
    assert all(x.sharding.is_fully_replicated for x in jax.tree.leaves(state))
    ends.append(jax.device_get((state, metrics)))
  assert_close(*ends, rtol=1e-4, atol=1e-6)
  # Every device updates all parameters, which are many beside such small clips.
  assert work[1] < 1.25 * work[0] / 8


def test_a_batch_that_devices_cannot_share_is_refused(tmp_path):
  config = ConfigDict({"seed": 0, "optimizer": {"batch_size": 12}})
  with pytest.raises(InputError, match=(
      r"^clip.optimizer.batch_size=12: expected a multiple of 8, the number of "
      "devices$")):
    stage.check("clip", tmp_path, config)
