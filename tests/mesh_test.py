"""The same numbers on eight devices as on one, on every kind of mesh."""

import os
import subprocess
import sys

from conftest import ROOT
import pytest

from bench import random_checkpoint

# Run where XLA was told of eight devices before JAX started.
COMMON = """
import functools, sys
sys.path.insert(0, "tests")
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from tav_jax.parallel import placement
from tav_jax.parallel.mesh import AXES, make_mesh
from tav_jax.models import attention

random = lambda seed, *shape: jax.random.normal(jax.random.key(seed), shape)
alone = make_mesh(jax.devices()[:1])
assert jax.device_count() == 8
"""

ATTENTION = COMMON + """
attention.VISIBLE.update({  # As a fork would: which frames, and no more.
    "previous": lambda f: [(max(i - 1, 0),) for i in range(f)],
    "first_counts_twice": lambda f: [(0, 0, max(i - 1, 0)) for i in range(f)],
    "window": lambda f: [
        tuple(np.clip([i - 2, i, i + 1], 0, f - 1)) for i in range(f)],
    "reversed": lambda f: [(f - 1 - i, 5) for i in range(f)]})
attention.KERNELS["flash"] = functools.partial(attention._flash, interpret=True)
attention.KERNELS["cudnn"] = functools.partial(
    attention._cudnn, implementation="xla")
q, k, v, upstream = (random(i, 2, 3, 8, 5, 4) for i in range(4))
text = random(4, 2, 3, 1, 6, 4)

def run(visible, kernel, q, k, v, upstream):
  keys = (text, 2 * text) if visible == "text" else (k, v)
  kind = "first" if visible == "text" else visible
  out, pull = jax.vjp(
      lambda q, k, v: attention.attend(q, k, v, kind, kernel), q, *keys)
  return out, pull(upstream)

jitted = jax.jit(run, static_argnums=(0, 1))
for visible in (*attention.VISIBLE, "text"):
  cases = [("blockwise", (1, 8, 1))]
  if visible in ("sparse_causal", "text"):
    cases += [("blockwise", (8, 1, 1)), ("blockwise", (1, 1, 8))]
  if visible in ("previous", "first_counts_twice", "text"):
    cases += [("flash", (2, 2, 2)), ("cudnn", (2, 2, 2))]
  expected = jitted(visible, "blockwise", q, k, v, upstream)
  for kernel, sizes in cases:
    with jax.set_mesh(make_mesh(**dict(zip(AXES, sizes)))):
      found = jitted(visible, kernel, q, k, v, upstream)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(
            a, b, atol=5e-6, err_msg=f"{visible} {kernel} {sizes}"),
        found, expected)
"""

UNET = COMMON + """
import dataclasses
from unet_test import CONFIG, drawn
from tav_jax.models.layers import Execution
from tav_jax.pretrained import names
from tav_jax.training import optim, step
from tav_jax.sampling.schedule import Schedule
from tav_jax.pipelines.video_model import network

config = dataclasses.replace(
    CONFIG, execution=Execution(remat=True), convolution="pseudo_3d")
latents = random(0, 2, 1, 8, 5, 6, 4)
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
for mesh in (a_video_each, make_mesh(video=2, frame=2, model=2)):
  found, split = run(mesh)
  assert any("model" in spec for spec in split) == (mesh.shape["model"] > 1)
  jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-6),
      found, expected)
"""


COUNTS = COMMON + """
from configs import storybook
from tav_jax import pretrained
from tav_jax.models.layers import Conv
from tav_jax.parallel import activations
from tav_jax.planning import costs, programs
from tav_jax.runs import settings

config = storybook.get_config()
config.model.update(checkpoint=sys.argv[1], remat=False)
config.video.update(frames=8, width=16, height=16)
config.sampling.update(prompts=("a", "b"), batch_size=2, start="random")
unet = pretrained.load_shapes(sys.argv[1]).unet_params
parameters = sum(x.size for x in jax.tree.leaves(unet))

def lower(mesh):
  made = programs.of_run(settings.of(config.to_dict()), mesh, "cpu")
  return {
      program.name.split()[0]: (
          program.lower(mesh, "cpu"),
          # The autoencoder's is of a few frames.
          8 / int(program.name.split()[1]) if "coding" in program.name else 1)
      for program in made}

alone = lower(alone)
for sizes, names in (
    ((1, 8, 1), ("tuning", "sampling")),
    ((8, 1, 1), ("sampling", "decoding")),
    ((2, 2, 2), ("sampling", "encoding"))):
  divided = lower(make_mesh(**dict(zip(AXES, sizes))))
  for name in names:
    lowered, times = alone[name]
    work = times * costs.of(lowered, "cpu").flops
    work *= 1 if "coding" in name else sizes[0]
    lowered, times = divided[name]
    cost = costs.of(lowered, "cpu")
    told = f"{name} {sizes}: {cost}"
    assert times * cost.flops <= 1.15 * work / 8, told
    if "coding" in name or sizes == (8, 1, 1):
      assert not cost.collectives, told
    elif sizes[2] == 1:
      assert "all-gather" not in cost.collectives, told
    else:  # The parameters, where they are split.
      assert cost.collectives["all-gather"] <= 1.5 * 4 * parameters, told

# Without guidance there is no negative half.
guided, _ = alone["sampling"]
config.sampling.guidance = 1.0
plain, _ = lower(make_mesh(jax.devices()[:1]))["sampling"]
flops = lambda lowered: lowered.cost_analysis()["flops"]
assert flops(plain) <= 0.51 * flops(guided)

# More videos and more frames than devices: neither leads in memory.
x = random(0, 4, 2, 8, 6, 6, 4)
conv = Conv(3)
params = conv.init(jax.random.key(0), x[0])
run = lambda x: activations.over_videos(
    lambda x: conv.apply(params, x), (0,))(x)
expected = run(x)
mesh = make_mesh(video=2, frame=2, model=2)
lying = placement.of_videos(placement.video_spec(mesh, x.shape[1:]))
with jax.set_mesh(mesh):
  compiled = jax.jit(run).lower(jax.device_put(x, lying)).compile()
assert not costs.read_collectives(compiled.as_text())[0]
np.testing.assert_allclose(
    compiled(jax.device_put(x, lying)), expected, atol=1e-5)
"""


def run_on_eight(script: str, *args: str) -> None:
  done = subprocess.run(
      [sys.executable, "-c", script, *args], cwd=ROOT, capture_output=True,
      text=True, env=os.environ | {
          "XLA_FLAGS": os.environ.get("XLA_FLAGS", "")
          + " --xla_force_host_platform_device_count=8"})
  assert done.returncode == 0, done.stderr[-3000:]


def test_attention_is_the_same_on_any_mesh():
  """All it may see, and text; forward and gradients."""
  run_on_eight(ATTENTION)


@pytest.mark.slow
def test_tuning_steps_are_the_same_on_a_mesh():
  """Of two videos; these, frames and parameters split, convolutions in time."""
  run_on_eight(UNET)


@pytest.mark.slow
def test_devices_share_the_work(tmp_path):
  """Operations and messages of a run's programs, as they are compiled.

  Numbers cannot show it: they are equal even if every device does everything.
  """
  random_checkpoint.write(tmp_path, "tiny1")
  run_on_eight(COUNTS, str(tmp_path))
