"""The same numbers on eight devices as on one, on every kind of mesh."""

import json
import os
import socket
import subprocess
import sys

from conftest import ROOT
import numpy as np
from PIL import Image
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
from unet_test import CONFIG
from tav_jax.models.unet import UNet3D
from tav_jax.models.layers import Compute
from tav_jax.training import optim, step
from tav_jax.sampling.schedule import Schedule
from tav_jax.pipelines.video_model import network

config = dataclasses.replace(
    CONFIG, compute=Compute(remat=True), convolution="pseudo_3d")
latents = random(0, 2, 1, 8, 5, 6, 4)
text = random(1, 2, 1, 3, config.text_width)
params = jax.jit(UNet3D(config).init)(
    jax.random.key(0), latents[0], jnp.array([3]), text[0])["params"]
leaves, tree = jax.tree.flatten(params)
params = jax.tree.unflatten(
    tree, [x + 0.02 * random(i, *x.shape) for i, x in enumerate(leaves)])
trainable, frozen = optim.split(params, ("attn1/to_q", "attn_temp"))
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
  second = placement.pick(state, 1, where)
  split = [x.sharding.spec for x in jax.tree.leaves((weights, second))]
  return jax.device_get((state, metrics, second)), split

expected, split = run(alone)
assert not any("model" in spec for spec in split)
found, split = run(make_mesh(video=2, frame=2, model=2))
assert any("model" in spec for spec in split)
jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-6),
    found, expected)
"""


def run_on_eight(script: str) -> None:
  done = subprocess.run(
      [sys.executable, "-c", script], cwd=ROOT, capture_output=True,
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


def loss_and_frames(workdir):
  lines = (workdir / "metrics.jsonl").read_text().splitlines()
  files = sorted((workdir / "samples/step_000002/frames").rglob("*.png"))
  return [json.loads(line)["loss"] for line in lines], np.stack([
      np.asarray(Image.open(file)) for file in files]).astype(int)


@pytest.mark.slow
def test_two_processes_tune_and_sample_as_one(tmp_path):
  """Two devices each, over loopback; one of them writes."""
  random_checkpoint.write(tmp_path / "model", "tiny1")
  with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]

  def start(name, devices, **environment):
    return subprocess.Popen(
        [sys.executable, "-m", "tav_jax.tune", "--config=configs/storybook.py",
         f"--workdir={tmp_path / name}",
         *(["--multi_host"] if environment else []),
         f"--config.model.checkpoint={tmp_path / 'model'}",
         "--config.video.frames=4", "--config.video.width=16",
         "--config.video.height=16", "--config.optimizer.steps=2",
         "--config.sampling.steps=2", "--config.sampling.start=random",
         "--config.mesh.model=2" if devices > 1
         else "--config.mesh.model=1",
         "--config.sampling.prompts=('a panda is skiing',)"],
        cwd=ROOT, stderr=subprocess.PIPE, text=True, env=os.environ | {
            "XLA_FLAGS": os.environ.get("XLA_FLAGS", "")
            + f" --xla_force_host_platform_device_count={devices}"}
        | environment)

  pair = [start("pair", 2, JAX_COORDINATOR_ADDRESS=f"127.0.0.1:{port}",
                JAX_NUM_PROCESSES="2", JAX_PROCESS_ID=str(i)) for i in range(2)]
  told = [process.communicate()[1] for process in pair]
  assert [process.returncode for process in pair] == [0, 0], told
  assert "4 x cpu" in told[0] and not told[1].count("training")
  alone = start("alone", 1)
  assert alone.wait() == 0, alone.communicate()[1]
  (losses, frames), (expected, pictures) = map(
      loss_and_frames, (tmp_path / "pair", tmp_path / "alone"))
  np.testing.assert_allclose(losses, expected, rtol=1e-4)
  assert np.abs(frames - pictures).max() <= 2
