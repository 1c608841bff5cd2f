"""Diffusion models of clips: what they learn from, and what of them learns."""

import dataclasses
import functools
import pathlib

import commands
from einops import rearrange
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import pretrain_make_a_video
from tav_jax import pretrained
from tav_jax.data import video
from tav_jax.models.layers import Execution, TemporalConv
from tav_jax.models.transformer import TemporalAttention
from tav_jax.models.unet import UNet3D, UNetConfig
from tav_jax.pretrained import names, pipeline, shapes
from tav_jax.pretraining import diffusion as stage
from tav_jax.pretraining import networks, pictures
from tav_jax.pretraining.cuts import Cuts
from tav_jax.sampling.schedule import Schedule
from tav_jax.training import diffusion

UNET = UNetConfig(
    in_channels=3, out_channels=2, channels=(8,), layers=(1,), heads=(2,),
    down_attention=(False,), up_attention=(False,), text_width=None, groups=4,
    temporal="relative", convolution="pseudo_3d", scalars=("frame_rate",))


def random(*shape, seed=0):
  return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.fixture(scope="module")
def params():
  leaves, tree = jax.tree.flatten(networks.init(UNET, 0))
  return jax.tree.unflatten(tree, [
      x + 0.1 * random(*x.shape, seed=i) for i, x in enumerate(leaves)])


@functools.partial(jax.jit, static_argnums=0)
def apply(config, params, x, timesteps, scalars):
  return UNet3D(config).apply({"params": params}, x, timesteps, None, scalars)


def test_attention_over_a_picture_is_the_joint_mask():
  """A clip of 3 frames and 2 pictures: frames see frames, pictures themselves.
  """
  module = TemporalAttention(2, True, False, Execution())
  x = random(1, 5, 1, 8)
  params = module.init(jax.random.key(1), x)["params"]
  params["relative_bias"] = random(*params["relative_bias"].shape)
  params["to_out_0"] = {"kernel": np.eye(8), "bias": np.zeros(8)}
  alone = lambda x: module.apply({"params": params}, x)
  found = jnp.concatenate(
      [alone(x[:, :3]), alone(x[:, 3:4]), alone(x[:, 4:])], axis=1)

  q, k, v = (
      rearrange(x[0, :, 0] @ params[f"to_{n}"]["kernel"], "f (n d) -> n f d",
                n=2) for n in "qkv")
  apart = np.arange(5) - np.arange(5)[:, None]
  scores = np.einsum("nqd,nkd->nqk", q, k) / 2 + params["relative_bias"][
      :, apart + 32]
  mask = np.array([
      [1, 1, 1, 0, 0],
      [1, 1, 1, 0, 0],
      [1, 1, 1, 0, 0],
      [0, 0, 0, 1, 0],
      [0, 0, 0, 0, 1]])
  weights = mask * np.exp(scores)
  weights /= weights.sum(-1, keepdims=True)
  expected = rearrange(
      np.einsum("nqk,nkd->nqd", weights, v), "n f d -> f (n d)")
  np.testing.assert_allclose(found[0, :, 0], expected, atol=1e-5)


def test_a_convolution_over_frames_leaves_a_picture_alone():
  x = random(2, 1, 3, 3, 4)
  params = {"kernel": random(3, 4, 4), "bias": random(4)}
  np.testing.assert_array_equal(TemporalConv().apply({"params": params}, x), x)


def test_a_new_scalar_changes_nothing_until_it_is_learnt(params):
  x, t = random(2, 3, 4, 4, 3), jnp.array([3, 7])
  told = lambda params, *fps: apply(
      UNET, params, x, t, {"frame_rate": jnp.array(fps)})
  assert np.abs(told(params, 4.0, 8.0) - told(params, 12.0, 8.0))[0].max() > .01
  assert np.abs(told(params, 4.0, 8.0) - told(params, 12.0, 8.0))[1].max() == 0
  fresh = networks.init(UNET, 0)
  new = {**params, "frame_rate_embedding": fresh["frame_rate_embedding"]}
  np.testing.assert_array_equal(told(new, 4.0, 8.0), told(new, 12.0, 9.0))
  with pytest.raises(ValueError, match=r"scalars: expected \('frame_rate',\)"):
    UNet3D(UNET).apply({"params": params}, x, t, None)


def test_the_loss_is_over_the_frames_of_clips_and_pictures(params):
  schedule, key = Schedule(num_train_steps=50), jax.random.key(2)
  examples = lambda b, f, seed: {
      "mean": random(b, f, 4, 4, 2, seed=seed),
      "std": np.full((b, f, 4, 4, 2), 0.1, np.float32),
      "given": random(b, f, 4, 4, 1, seed=seed + 1),
      "scalars": {"frame_rate": np.arange(b, dtype=np.float32)}}
  clips, pictures = examples(2, 3, 1), examples(4, 1, 5)
  batch = {**clips, "images": jax.tree.map(
      lambda x: rearrange(x, "(b k) ... -> b k ...", k=2), pictures)}
  loss = jax.jit(diffusion.loss(UNET, None, schedule, 5.0))
  value = loss({"unet": params}, {}, batch, key)

  weights = diffusion.min_snr_weights(schedule, 5.0)
  errors = []
  for part, its_key in ((clips, key), (pictures, jax.random.fold_in(key, 1))):
    keys = jax.random.split(its_key, 3)
    shape = part["mean"].shape
    x0 = part["mean"] + 0.1 * jax.random.normal(keys[0], shape)
    noise = jax.random.normal(keys[1], shape)
    t = diffusion.stratified(keys[2], shape[0], 50)
    seen = np.concatenate(
        [schedule.add_noise(x0, noise, t), part["given"]], axis=-1)
    error = (apply(UNET, params, seen, t, part["scalars"]) - noise) ** 2
    errors += list(np.mean(error, axis=(2, 3, 4)).T @ np.diag(weights[t]))
  flat = np.concatenate([np.ravel(e) for e in errors])
  assert flat.shape == (10,)
  np.testing.assert_allclose(value, flat.mean(), rtol=1e-4)
  # In any division of the parameters.
  np.testing.assert_allclose(
      loss({"unet": {"conv_in": params["conv_in"]}}, {"unet": {
          k: v for k, v in params.items() if k != "conv_in"}}, batch, key),
      value, rtol=1e-6)


def test_cuts_are_all_that_fit_and_no_others():
  cuts, rng = Cuts(total=7, frames=3, strides=(1, 3)), np.random.default_rng(0)
  drawn = [cuts.clip(rng) for _ in range(500)]
  found = {(tuple(which), stride) for which, stride in drawn}
  assert found == {((i, i + 1, i + 2), 1) for i in range(5)} | {((0, 3, 6), 3)}
  assert 200 < sum(stride == 3 for _, stride in drawn) < 300
  assert {int(cuts.picture(rng)[0]) for _ in range(200)} == set(range(7))


# Through the entry point.

CONFIG = """
from configs import pretrain_vdm

def get_config():
  config = pretrain_vdm.get_config()
  config.data.directory = "{data}"
  config.data.count = 8
  config.data.size = 8
  config.data.frames = 6
  diffusion = config.diffusion
  diffusion.clips.frames = 3
  diffusion.clips.strides = (1, 2)
  diffusion.sampling.steps = 2
  diffusion.optimizer.batch_size = 2
  diffusion.run.steps = 2
  diffusion.run.steps_per_dispatch = 1
  diffusion.run.checkpoint_every = 1
  diffusion.run.look_every = 2
  diffusion.clips.images = 2
  diffusion.sampling.overlap = 1
  diffusion.model.channels = (16,)
  diffusion.model.attention = (False,)
  return config
"""


@pytest.mark.slow
def test_vdm_learns_from_clips_and_pictures(tmp_path, monkeypatch):
  monkeypatch.setattr(pictures, "_TEST_CLIPS", 2)
  config = tmp_path / "config.py"
  config.write_text(CONFIG.format(data=tmp_path / "data"))
  said = commands.finish(
      f"pretrain --config={config} --workdir={tmp_path / 'vdm'}")
  model = tmp_path / "vdm/model"
  assert "test captions: subject" in said  # By the embedded judge.
  unet, _ = pretrained.load_unet(model / "unet")
  assert (unet.temporal, unet.convolution, unet.spatial) == (
      "relative", "1x3x3", "own")
  card = (model / "README.md").read_text()
  assert "| clips seen | 4 at strides (1, 2), in batches of 2 |" in card
  assert "| of these train | 0.1 M |" in card and "| test |" in card
  samples = tmp_path / "vdm/diffusion/samples/step_000002"
  assert {f.name for f in samples.iterdir()} == {
      "test.png", "test.mp4", "held_out.png", "held_out.mp4"}
  embedded = pathlib.Path(pipeline.__file__).parents[1] / "storybook/checkpoint"
  sampled = commands.finish(
      f"sample --workdir={tmp_path / 'vdm'} --config.sampling.length=7",
      "--config.sampling.prompts=('a panda is skiing',)")
  assert "1 videos in" in sampled
  clip, = (tmp_path / "vdm/samples").rglob("*-panda-is-skiing.mp4")
  assert video.read_all(clip).shape == (7, 8, 8, 3)
  for part in ("text_encoder", "tokenizer", "judge"):  # As they were.
    for file in (embedded / part).iterdir():
      assert (model / part / file.name).read_bytes() == file.read_bytes(), file


def test_make_a_video_learns_its_layers_over_time_alone():
  model = pretrain_make_a_video.get_config().diffusion.model
  unet = networks.network(model, 16, 4, 128)
  trainable, frozen = stage._divide(
      {"unet": shapes.of_unet(unet)}, model, "diffusion")
  image = shapes.of_unet(dataclasses.replace(
      unet, temporal="none", convolution="1x3x3", scalars=()))
  flat = lambda tree: names.flatten(tree["unet"])
  assert flat(frozen).keys() == names.flatten(image).keys()
  assert all("_temp/" in path or path.startswith("frame_rate_embedding/")
             for path in flat(trainable))
