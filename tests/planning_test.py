"""Plans: what programs cost, read from their text, and what is printed."""

import functools
import importlib.util
import os
import subprocess
import sys

import commands
from conftest import ROOT
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bench import random_checkpoint
from configs import storybook
from tav_jax import pretrained
from tav_jax.errors import InputError
from tav_jax.models import flash
from tav_jax.parallel import placement
from tav_jax.parallel.mesh import AXES, make_mesh
from tav_jax.planning import chips, costs, planner, programs

HLO = """
%fused (p: f32[4,8]) -> f32[4,8] {
  %p = f32[4,8]{1,0} parameter(0)
  ROOT %inner = f32[4,8]{1,0} exponential(%p)
}

%body (t: (f32[4,8])) -> (f32[4,8]) {
  %t = (f32[4,8]{1,0}) parameter(0)
  %g = f32[4,8]{1,0} get-tuple-element(%t), index=0
  %twice = f32[4,8]{1,0} add(%g, %g)
  ROOT %r = (f32[4,8]{1,0}) tuple(%twice)
}

ENTRY %main (a: f32[4,8]) -> f32[4,8] {
  %a = f32[4,8]{1,0:T(8,128)} parameter(0)
  %f = f32[4,8]{1,0:T(8,128)S(1)} fusion(%a), kind=kLoop, calls=%fused
  %all = bf16[16,8]{1,0} all-gather(%f), dimensions={0}
  %go = (f32[4,8]{1,0}, f32[4,8]{1,0}) all-reduce-start(%f), to_apply=%add
  %end = f32[4,8]{1,0} all-reduce-done(%go)
  %w = (f32[4,8]{1,0}) while(%end), condition=%cond, body=%body
  ROOT %out = f32[4,8]{1,0} get-tuple-element(%w), index=0
}
"""


def test_traffic_leaves_out_what_stays_on_the_chip():
  one = 4 * 8 * 4
  fusion, gather, reduce, loop = one, 16 * 8 * 2, 2 * one, 3 * one
  assert costs.read_traffic(HLO) == fusion + gather + reduce + loop


def test_collectives_by_kind():
  moved, messages = costs.read_collectives(HLO)
  assert moved == {"all-gather": 16 * 8 * 2, "all-reduce": 4 * 8 * 4}
  assert messages == {"all-gather": 1, "all-reduce": 1}


def test_costs_of_a_product():
  x = jax.ShapeDtypeStruct((64, 128), jnp.float32)
  found = costs.of(jax.jit(lambda a, b: a @ b.T).lower(x, x), "cpu")
  assert found.flops >= 2 * 64 * 64 * 128
  assert found.arguments == 2 * 64 * 128 * 4
  assert found.memory >= found.arguments + 64 * 64 * 4
  seconds, bound = found.roofline(chips.Chip(1e3, 1e12, 1e9, 1e12))
  assert bound == "compute" and seconds == found.flops / 1e3


def test_messages_can_be_the_bound():
  moved, messages = costs.read_collectives(HLO)
  found = costs.Costs(0, 0, 0, 10, 10, moved, messages, 0)
  seconds, bound = found.roofline(chips.Chip(1, 1, 1, 2))
  assert bound == "messages" and seconds == (16 * 8 * 2 + 4 * 8 * 4) / 2


@pytest.mark.parametrize("topology", ["v5e", "v9:2x2", "", "cpu"])
def test_unknown_topologies(topology):
  with pytest.raises(InputError, match="expected local, or a chip"):
    chips.devices(topology)


@pytest.mark.parametrize("sizes,share,arguments,told", [
    ((1, 8, 1), 0.3, 0.5, "for many (4 at a time, tav_jax.tune_many) "
     "mesh.video=4, mesh.frame=2, mesh.model=1"),
    ((1, 8, 1), 0.8, 0.1, "mesh.model=1 is right for one video."),
    ((1, 8, 1), 1.2, 0.7, "try mesh.video=1, mesh.frame=4, mesh.model=2,"),
    ((2, 4, 1), 1.2, 0.2, "try mesh.video=1, mesh.frame=8, mesh.model=1."),
    ((1, 8, 1), 1.2, 0.2, "take a larger slice, or fewer frames than 24"),
])
def test_a_mesh_is_suggested(sizes, share, arguments, told):
  assert told in planner.suggest(
      24, dict(zip(AXES, sizes, strict=True)), share, arguments)


_DOUBLE = programs.Program(
    "double", jax.jit(lambda x: x + x),
    (jax.ShapeDtypeStruct((4,), jnp.float32),), 1)


def test_a_plan_is_kept_for_the_same_flags_alone(tmp_path, monkeypatch):
  monkeypatch.setattr(planner, "_KEPT", tmp_path)
  mesh = make_mesh(jax.devices()[:1])
  for flags, kept in (("", 1), ("", 1), ("--xla_dump_to=", 2)):
    monkeypatch.setenv("XLA_FLAGS", flags)
    planner.cost(_DOUBLE, mesh, "cpu")
    assert len(list(tmp_path.iterdir())) == kept


# Of one model, which every candidate asks for.
_shapes = functools.cache(
    lambda load, checkpoint, revision: load(checkpoint, revision=revision))


def _plan(monkeypatch, memory):
  """A plan of the embedded model, a frame of which needs 1 byte in all."""

  def cost(program, mesh, platform):
    del mesh, platform
    is_tuning = program.name == "tuning step"
    frames = float(program.args[2].mean.shape[2] if is_tuning else 0)
    if frames > 2 * memory:
      raise planner.DoesNotFit("tuning step: out of memory")
    return costs.Costs(0, frames, frames, 1, 1, {}, {}, 0)

  chip = chips.Chip(1e12, 1e12, memory, 1e12)
  monkeypatch.setattr(planner, "cost", cost)
  load = pretrained.load_shapes
  monkeypatch.setattr(
      pretrained, "load_shapes",
      lambda checkpoint, *, revision, variant: _shapes(
          load, checkpoint, revision))
  monkeypatch.setattr(
      planner.chips, "devices", lambda topology: (4 * jax.devices()[:1], chip))
  config = storybook.get_config()
  config.video.caption, config.sampling.prompts = "", ("",)  # As in default.py.
  config.mesh.update(video=1, frame=2, model=2)
  return planner.describe(config, "v5e:2x2", True)


@pytest.mark.parametrize("most", [2, 10, 100])
def test_the_most_frames(monkeypatch, most):
  told = _plan(monkeypatch, most)
  if most < 4:
    assert told.endswith("the tuning step does not fit with 4.")
    assert "It does NOT fit: tuning step: out of memory\n" in told
    assert "Mesh: try mesh.video=1, mesh.frame=1, mesh.model=4, which" in told
  else:
    fits = most // 4 * 4
    assert told.endswith(
        f"the tuning step fits with {fits} and not with {fits + 4}.")


def test_what_does_not_fit_is_kept_too(tmp_path, monkeypatch):
  def fails(lowered, platform):
    del lowered, platform
    raise jax.errors.JaxRuntimeError(
        "RESOURCE_EXHAUSTED: E1000: CompileTimeHbmOom: Ran out of memory on "
        "HBM, the total (27G) exceeds available HBM (15G). HLO module: jit\n")

  monkeypatch.setattr(planner, "_KEPT", tmp_path)
  said = (
      r"^double: out of memory on HBM, the total \(27G\) exceeds available HBM "
      r"\(15G\)$")
  compiled = costs.of
  for of in (fails, compiled):
    monkeypatch.setattr(costs, "of", of)
    with pytest.raises(planner.DoesNotFit, match=said):
      planner.cost(_DOUBLE, make_mesh(jax.devices()[:1]), "cpu")


@pytest.mark.slow
def test_a_plan_for_this_machine(tmp_path):
  random_checkpoint.write(tmp_path / "model", "least1")
  told = commands.finish(
      "plan --config=configs/storybook.py --topology=local "
      f"--config.model.checkpoint={tmp_path / 'model'} "
      "--config.video.frames=2 --config.video.width=16 "
      "--config.video.height=16")
  assert "2 frames of 16x16" in told
  for name in ("tuning step | 120", "inversion step | 60",
               "sampling step, 4 prompts | 30", "decoding 2 frames | 6"):
    assert name in told


needs_tpu_compiler = pytest.mark.skipif(
    not importlib.util.find_spec("libtpu"), reason="the TPU compiler: libtpu")


@needs_tpu_compiler
def test_the_kernel_compiles_for_a_tpu():
  """Forward and gradient, of the widths and sizes of Stable Diffusion 1."""
  devices, chip = chips.devices("v5e:1x1")
  mesh = make_mesh(devices)
  where = placement.video_spec(mesh, (8, 3, 1))
  pairs = [(0, 0), (1, 0), (2, 0), (2, 1)]
  for positions, width in ((4096, 40), (3600, 40), (256, 160), (64, 160)):
    x = jax.ShapeDtypeStruct(
        (8, 3, width, positions), jnp.bfloat16, sharding=where)

    def gradients(q, k, v):
      out, pull = jax.vjp(lambda *a: flash.attention(*a, pairs), q, k, v)
      return out, pull(out)

    found = costs.of(
        programs.Program("", jax.jit(gradients), (x, x, x), 1).lower(
            mesh, "tpu"), "tpu")
    # Nothing of the size of the scores is ever kept.
    assert found.memory < 20 * x.size * 2
    products = 2 * len(pairs) * 8 * width * positions**2 * (2 + 3 + 4)
    assert np.isclose(found.flops, products, rtol=0.3)
  assert chip.memory == 16e9


REMAT = """
from tav_jax import startup
from tav_jax.parallel import placement
from tav_jax.parallel.mesh import make_mesh
startup.set_up()
import jax, jax.numpy as jnp
from tav_jax.planning import chips, costs, programs
devices, _ = chips.devices("v5e:2x2")
mesh = make_mesh(devices)
layer = jax.checkpoint(lambda x: jnp.sin(jnp.sin(x @ x)))
step = jax.jit(jax.grad(lambda x: jnp.sum(layer(x) ** 2)))
x = jax.ShapeDtypeStruct(
    (128, 128), jnp.float32, sharding=placement.video_spec(mesh, (1, 1)))
print(costs.of(programs.Program("", step, (x,), 1).lower(mesh, "tpu"), "tpu"))
"""


@needs_tpu_compiler
def test_a_cpus_flags_are_not_for_the_tpu():
  """Whose compiler cannot do without the pass that they leave out."""
  done = subprocess.run(
      [sys.executable, "-c", REMAT], cwd=ROOT, capture_output=True, text=True,
      env={k: v for k, v in os.environ.items() if k != "XLA_FLAGS"})
  assert done.returncode == 0, done.stderr[-3000:]
  assert "Costs(arguments=65536" in done.stdout
