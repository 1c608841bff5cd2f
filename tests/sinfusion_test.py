"""SinFusion: NextNet, what it is trained on, and clips frame after frame."""

import collections
import json
import re

import commands
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import sinfusion
from tav_jax.data import video
from tav_jax.errors import InputError
from tav_jax.models import convolution
from tav_jax.models.nextnet import NextNet, NextNetConfig
from tav_jax.pipelines import one_video as pipeline
from tav_jax.pretraining import checks
from tav_jax.pretraining.one_video import clip, stages
from tav_jax.sampling import ddpm
from tav_jax.sampling.schedule import Schedule
from tav_jax.training import noise_levels

SMALL = NextNetConfig(in_channels=6, width=4, blocks=2, gaps=True)
SCHEDULE = Schedule(
    num_train_steps=50, beta_schedule="squaredcos_cap_v2", prediction="sample",
    steps_offset=0, clip_sample=True, alpha_to_one=True)
ONE = jnp.ones(1)


@pytest.fixture(scope="module")
def params():
  return stages.init(SMALL, 0)


def test_a_pixel_depends_on_its_receptive_field(params):
  """Exactly: 5 pixels a block to each side, of every input channel."""
  reach = SMALL.receptive_field // 2
  assert (SMALL.receptive_field, NextNetConfig().receptive_field) == (21, 161)
  side = 2 * reach + 7
  middle = side // 2
  seen = jax.jit(jax.grad(lambda x: NextNet(SMALL).apply(
      {"params": params}, x, ONE, ONE)[0, middle, middle].sum()))(
          jax.random.normal(jax.random.key(1), (1, side, side, 6)))[0]
  expected = np.zeros((side, side), bool)
  expected[middle - reach:middle + reach + 1,
           middle - reach:middle + reach + 1] = True
  # Beyond it there is nothing at all, at its edges there is something.
  assert not np.any(seen[~expected])
  for edge in (seen[middle - reach], seen[:, middle + reach]):
    assert np.any(edge)


def test_the_papers_network():
  """Widths of the skips, and the first block, which has no norm."""
  net = NextNetConfig(in_channels=6, gaps=True)
  shapes = jax.eval_shape(lambda: stages.init(net, 0))
  kernels = {
      name: block["expand"]["kernel"].shape for name, block in shapes.items()
      if name.startswith("blocks")}
  assert len(kernels) == 16
  assert kernels["blocks_0"] == (3, 3, 6, 192)
  assert kernels["blocks_7"] == (3, 3, 64, 192)
  assert kernels["blocks_8"] == kernels["blocks_15"] == (3, 3, 128, 192)
  assert ["norm" in shapes[f"blocks_{i}"] for i in range(3)] == [
      False, True, True]
  # A level's and a gap's embedding of 64 each.
  assert shapes["blocks_8"]["embedding_proj"]["kernel"].shape == (128, 128)


def test_depthwise_convolution_and_its_gradient():
  x = jax.random.normal(jax.random.key(0), (2, 9, 8, 4))
  kernel = jax.random.normal(jax.random.key(1), (7, 7, 4))
  grouped = lambda x, kernel: jax.lax.conv_general_dilated(
      x, kernel[:, :, None], (1, 1), ((3, 3), (3, 3)),
      dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=4)
  ours, theirs = (
      (f(x, kernel), *jax.grad(
          lambda *a, f=f: jnp.sum(jnp.sin(f(*a))), (0, 1))(x, kernel))
      for f in (convolution.depthwise, grouped))
  for a, b in zip(ours, theirs, strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_the_gap_and_the_level_count_for_each_frame(params):
  x = jax.random.normal(jax.random.key(1), (1, 3, 6, 5, 6))
  level, gap = jnp.array([[0.1, 0.9, 0.9]]), jnp.array([[1, 1, -1]])
  apply = jax.jit(NextNet(SMALL).apply)
  whole = apply({"params": params}, x, level, gap)
  for i in range(3):
    alone = apply({"params": params}, x[:, i], level[:, i], gap[:, i])
    np.testing.assert_allclose(whole[:, i], alone, rtol=1e-4, atol=1e-5)
  other = apply({"params": params}, x, level, -gap)
  assert np.abs(whole - other).max() > 1e-4
  with pytest.raises(ValueError, match="gap=None: the network has gaps=True"):
    NextNet(SMALL).apply({"params": params}, x, level)


def test_levels_are_drawn_evenly_between_the_steps():
  drawn = np.asarray(noise_levels.draw(jax.random.key(0), SCHEDULE, 20_000))
  edges = np.sqrt(np.append(1.0, SCHEDULE.alphas_cumprod))[::-1]
  counts, _ = np.histogram(drawn, edges)
  assert counts.sum() == 20_000  # None is out of range.
  np.testing.assert_allclose(counts, 400, atol=90)  # Of each interval.
  inside = (drawn > edges[30]) & (drawn < edges[31])
  middle = (edges[30] + edges[31]) / 2
  assert 0.4 < np.mean(drawn[inside] > middle) < 0.6


@pytest.mark.parametrize("prediction", ["sample", "epsilon", "v_prediction"])
def test_the_loss_is_that_of_the_target(prediction):
  """0 for a network that knows x_0, for every kind of prediction."""
  x0 = jax.random.uniform(jax.random.key(0), (2, 4, 4, 3), minval=-1)
  batch = {"x0": x0, "condition": x0[..., :0], "gap": np.array([1, -2])}
  schedule = Schedule(
      num_train_steps=50, beta_schedule="squaredcos_cap_v2",
      prediction=prediction)

  def network(params, noisy, level, gap):
    np.testing.assert_array_equal(gap, batch["gap"])
    signal = level[:, None, None, None]
    sigma = jnp.sqrt(1 - signal**2)
    noise = (noisy - signal * x0) / sigma
    return {"sample": x0 + params, "epsilon": noise + params,
            "v_prediction": signal * noise - sigma * x0 + params}[prediction]

  loss = noise_levels.loss(network, schedule)
  key = jax.random.key(3)
  assert loss(0.0, {}, batch, key) < 1e-6
  np.testing.assert_allclose(loss(0.5, {}, batch, key), 0.25, rtol=1e-3)


# What it is trained on: frame i is i everywhere.
COUNTED = np.broadcast_to(
    np.arange(12, dtype=np.float32)[:, None, None, None], (12, 20, 30, 3))


def batch(stage, step, **more):
  return clip.batch(
      stage, COUNTED, step, seed=0, crop=0.95,
      **({"gaps_from": (0, 10, 20)} | more))


@pytest.mark.parametrize("step,gaps", [
    (0, (-1, 1)), (9, (-1, 1)), (10, (-2, -1, 1, 2)),
    (20, (-3, -2, -1, 1, 2, 3)), (10**6, (-3, -2, -1, 1, 2, 3))])
def test_gaps_of_a_step(step, gaps):
  drawn = batch("predictor", step, size=1200)
  counts = collections.Counter(drawn["gap"].tolist())
  assert tuple(sorted(counts)) == gaps
  for count in counts.values():
    assert abs(count - 1200 / len(gaps)) < 110
  # The condition lies the gap before the frame, also where that is after it.
  np.testing.assert_array_equal(
      drawn["x0"][:, 0, 0, 0] - drawn["condition"][:, 0, 0, 0], drawn["gap"])
  assert drawn["x0"].min() == 0 and drawn["x0"].max() == 11


def test_the_interpolators_frames_and_the_projectors():
  drawn = batch("interpolator", 3, size=400)
  middle = drawn["x0"][..., :1]
  np.testing.assert_array_equal(
      drawn["condition"] - middle,
      np.broadcast_to([-1.0] * 3 + [1.0] * 3, drawn["condition"].shape))
  assert set(middle.flat) == set(range(1, 11))
  alone = batch("projector", 3, size=400)
  assert set(alone["x0"].flat) == set(range(12))
  assert alone["condition"].shape == (400, 19, 28, 0)


def test_crops_are_cut_at_one_place():
  frames = np.random.default_rng(0).normal(size=(4, 20, 30, 3)).astype("f")
  drawn = clip.batch("interpolator", frames, 5, seed=0, crop=0.5, size=8)
  places = set()
  for x0, condition in zip(drawn["x0"], drawn["condition"], strict=True):
    assert x0.shape == (10, 15, 3)
    (frame, top, left), = [
        (f, t, l) for f in (1, 2) for t in range(11) for l in range(16)
        if np.array_equal(frames[f, t:t + 10, l:l + 15], x0)]
    place = slice(top, top + 10), slice(left, left + 15)
    np.testing.assert_array_equal(condition, np.concatenate(
        [frames[frame - 1][place], frames[frame + 1][place]], axis=-1))
    places.add((top, left))
  assert len(places) > 3


@pytest.mark.parametrize("stage", ["projector", "predictor", "interpolator"])
def test_a_step_draws_the_same_wherever_a_run_begins(stage):
  config = sinfusion.get_config()[stage]
  with config.unlocked():
    config.update({"seed": 0, "data": sinfusion.get_config().data})
  from_0, from_2 = (
      clip.batches(stage, config, COUNTED, start) for start in (0, 2))
  straight = [next(from_0) for _ in range(4)]
  for a, b in zip(straight[2:], from_2, strict=False):
    assert a.keys() == b.keys()
    for name in a:
      np.testing.assert_array_equal(a[name], b[name])
  assert not np.array_equal(
      straight[0]["x0"] + straight[1]["x0"],
      straight[2]["x0"] + straight[3]["x0"])


# Clips, of networks whose answers are known.
FRAME = jnp.zeros((2, 1, 1, 1, 1))


def test_each_frame_is_predicted_then_corrected():
  keys = pipeline.keys(0, 2)
  made = pipeline.chain(
      lambda frame, keys: 2 * frame, lambda frame, keys: frame + 1,
      FRAME, 4, keys)
  np.testing.assert_array_equal(made[:, :, 0, 0, 0], [[1, 3, 7, 15]] * 2)
  noise = lambda frame, keys: frame + jax.vmap(jax.random.normal)(
      keys)[:, None, None, None, None]
  both, alone = (
      pipeline.chain(noise, noise, FRAME[:n], 3, pipeline.keys(0, n))
      for n in (2, 1))
  np.testing.assert_array_equal(both[:1], alone)  # Whatever others do.
  assert len(np.unique(np.diff(both.reshape(2, 3), axis=1))) == 4


def test_a_frame_between_every_two():
  made = pipeline.between(
      lambda before, after, keys: (before + after) / 2,
      lambda frame, keys: frame + 0.25,
      jnp.arange(0.0, 6, 2)[None, :, None, None, None], pipeline.keys(0, 1))
  np.testing.assert_array_equal(made.ravel(), [0, 1.25, 2, 3.25, 4])


def test_samplers_ask_at_the_levels_of_the_schedule(monkeypatch):
  """And the correction takes the last steps alone, from their noise."""
  asked = []

  def apply(self, params, x, level, gap):
    jax.debug.callback(lambda level: asked.append(float(level[0, 0])), level)
    return 0.3 + 0 * x[..., -3:]

  monkeypatch.setattr(NextNet, "apply", apply)
  model = pipeline.Model(NextNetConfig(), SCHEDULE, {})
  levels = np.sqrt(SCHEDULE.alphas_cumprod)
  denoise = pipeline.denoiser(model)
  keys = pipeline.keys(0, 2)
  made = pipeline.sample(denoise, SCHEDULE, (2, 1, 2, 2, 3), keys)
  jax.effects_barrier()
  np.testing.assert_allclose(made, 0.3, rtol=1e-5)
  np.testing.assert_allclose(asked, levels[::-1], rtol=1e-5)

  noisy, follow = [], ddpm.follow
  monkeypatch.setattr(ddpm, "follow", lambda denoise, schedule, x, *rest: (
      noisy.append(x), follow(denoise, schedule, x, *rest))[1])
  asked.clear()
  frame = jnp.full((2, 1, 40, 40, 3), 0.5)
  pipeline.correct(denoise, SCHEDULE, frame, 3, keys)
  jax.effects_barrier()
  np.testing.assert_allclose(asked, levels[2::-1], rtol=1e-5)
  np.testing.assert_allclose(
      np.std(noisy[0]), np.sqrt(1 - levels[2]**2), rtol=0.03)
  np.testing.assert_allclose(np.mean(noisy[0]), 0.5 * levels[2], rtol=0.03)
  assert pipeline.correct(denoise, SCHEDULE, frame, 0, keys) is frame


# Configs and commands.
@pytest.mark.parametrize("flags,says", [
    ("data.frames=5", "data.frames=5, data.held_out=3: 2 are left to train on; "
     "expected 4 or more"),
    ("data.frames=17", "data.path=.*16 frames, but frames 0 to 16"),
    ("data.source=none.mp4", "data.path=none.mp4.*: cannot be read|no such"),
    ("data.crop=1.5", "data.crop=1.5: expected 1e-09 to 1"),
    ("predictor.loss.gaps_from=(5,)", r"predictor.loss.gaps_from=\(5,\): exp"),
    ("sampling.gaps=(0,)", r"sampling.gaps=\(0,\): expected .* -3 to 3"),
    ("sampling.correction=51", "sampling.correction=51: expected at most"),
    ("projector.model.width=5", "projector.model.width=5: expected an even"),
    ("predictor.schedule.prediction=x0", "predictor.schedule.prediction='x0'"),
    ("stages=('predictor','clip')", "stages=.*: expected some of projector, "),
    ("stages=('diffusion',)", "stages=.* none of their sections")])
def test_what_cannot_be_trained_is_refused(tmp_path, flags, says):
  code, said = commands.run(
      f"pretrain --config=configs/sinfusion.py --workdir={tmp_path}/run",
      f"--config.{flags}")
  assert code == 2
  assert len(said.splitlines()) == 1
  assert re.search(says, said), said


TINY = [
    f"--config.{name}.{key}" for name in clip.STAGES for key in (
        "model.width=4", "model.blocks=1", "run.steps=3", "run.look_every=3",
        "run.checkpoint_every=1", "optimizer.warmup_steps=1",
        "schedule.num_train_steps=4")] + [
    "--config.data.width=9", "--config.data.height=8"]


@pytest.mark.slow
def test_from_a_video_to_clips(tmp_path):
  """The commands, on the embedded video."""
  workdir = tmp_path / "run"
  command = f"pretrain --config=configs/sinfusion.py --workdir={workdir}"
  commands.finish(command, *TINY)
  lines = (workdir / "predictor/metrics.jsonl").read_text().splitlines()
  found = {}
  for line in lines:
    found |= json.loads(line)
  # Copying: of the three frames that are held out, whatever the network does.
  frames = video.to_model(video.read(
      "tav_jax/storybook/videos/man-skiing.mp4", start=0, stride=1, frames=16,
      width=9, height=8).frames)
  error = ((frames[13:] - frames[12:-1]) ** 2).mean(axis=(1, 2, 3))
  np.testing.assert_allclose(
      found["held_out/copied_psnr_db"], np.mean(10 * np.log10(4 / error)),
      rtol=1e-4)
  assert {"held_out/predicted_psnr_db", "trained/predicted_psnr_db"} <= set(
      found)

  said = commands.finish(
      f"sample --workdir={workdir}", "--config.sampling.length=3",
      "--config.sampling.gaps=(-1, 2)", "--config.sampling.doublings=1")
  assert "5 videos in" in said  # Two new ones, two that go on, a denser.
  directory = workdir / "samples/step_000003_1"
  record = json.loads((directory / "record.json").read_text())
  assert record["steps"] == dict.fromkeys(clip.STAGES, 3)
  counts = {
      file["label"]: len(video.read_all(directory / file["file"]))
      for file in record["files"]}
  assert counts == {
      "source": 16, "new clip": 4, "before the first frame": 3,
      "after the last frame, 2 times as fast": 3, "2 times the frames": 31}
  assert (directory / "sheet.gif").is_file()


def test_a_stage_that_was_not_trained_is_named(tmp_path):
  config = sinfusion.get_config()
  (tmp_path / "config.json").write_text(config.to_json())
  code, said = commands.run(f"sample --workdir={tmp_path}")
  assert code == 2 and "run tav_jax.pretrain there with 'projector'" in said
  values = config.to_dict()
  values["sampling"]["length"] = "long"
  (tmp_path / "config.json").write_text(json.dumps(values))
  code, said = commands.run(f"sample --workdir={tmp_path}")
  assert code == 2
  assert "sampling.length='long': expected a whole number" in said


def test_the_config_is_valid(tmp_path):
  checks.check(sinfusion.get_config(), tmp_path)
  config = sinfusion.get_config()
  config.stages = ("predictor", "tokenizer")
  with pytest.raises(InputError, match="expected some of projector"):
    checks.check(config, tmp_path)
