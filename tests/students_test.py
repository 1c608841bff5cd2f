"""The rounds of progressive distillation, and what a student learns in each."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import pretrain_imagen_video
from tav_jax.models.clip import CLIPTextConfig, CLIPTextModel
from tav_jax.models.unet import UNet3D, UNetConfig
from tav_jax.pretraining import distillation as stage
from tav_jax.sampling.schedule import Schedule
from tav_jax.training import diffusion, distillation

TEXT = CLIPTextConfig(
    width=8, mlp_width=8, layers=1, heads=2, vocab_size=20, positions=5)
UNET = UNetConfig(
    in_channels=2, out_channels=2, channels=(8,), layers=(1,), heads=(2,),
    down_attention=(False,), up_attention=(False,), text_width=8, groups=4,
    temporal="relative")
SCHEDULE = Schedule(
    num_train_steps=64, prediction="v_prediction", spacing="trailing")


def test_rounds_halve_the_steps():
  config = pretrain_imagen_video.get_config().distillation
  assert stage.rounds(config) == [
      ("distillation/guided", 0), ("distillation/32_steps", 32),
      ("distillation/16_steps", 16), ("distillation/8_steps", 8)]


def random(seed, *shape):
  return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.fixture(scope="module")
def nets():
  """A teacher, a text encoder and a batch."""
  text = jax.jit(CLIPTextModel(TEXT).init)(
      jax.random.key(0), np.zeros((1, 5), np.int32))["params"]
  unet = jax.jit(UNet3D(UNET).init)(
      jax.random.key(1), np.zeros((1, 2, 4, 4, 2)), np.zeros(1, np.int32),
      np.zeros((1, 5, 8)))["params"]
  leaves, tree = jax.tree.flatten(unet)
  unet = jax.tree.unflatten(tree, [
      x + 0.1 * random(i, *x.shape) for i, x in enumerate(leaves)])
  tokens = np.random.default_rng(3).integers(0, 20, (3, 5)).astype(np.int32)
  mean = random(4, 3, 2, 4, 4, 2)
  return unet, text, {
      "mean": mean, "std": 0 * mean, "tokens": tokens, "blank": tokens[::-1]}


def loss(nets, student, num_steps, scale, **changes):
  unet, text, batch = nets
  return float(jax.jit(distillation.loss(
      UNET, TEXT, SCHEDULE, num_steps, scale))(
          {"unet": student}, {"teacher": unet, "text": text}, batch | changes,
          jax.random.key(5)))


def test_first_a_student_learns_the_guided_prediction(nets):
  unet, _, batch = nets
  assert loss(nets, unet, 0, 1.0) < 1e-10
  small, large = (loss(nets, unet, 0, scale) for scale in (2.0, 3.0))
  assert small > 1e-4
  np.testing.assert_allclose(large, 4 * small, rtol=1e-4)  # (scale - 1)^2
  # Without anything to be guided away from there is nothing to learn.
  assert loss(nets, unet, 0, 3.0, blank=batch["tokens"]) < 1e-10


def test_then_it_learns_two_steps_of_its_teacher(nets):
  unet, text, batch = nets
  student = jax.tree.map(lambda x: 0.9 * x, unet)
  found = loss(nets, student, 4, 1.0)
  _, noise, timestep = jax.random.split(jax.random.key(5), 3)
  at, middle, end = distillation.steps(SCHEDULE, 4)
  which = np.asarray(diffusion.stratified(timestep, 3, 4))
  x = SCHEDULE.add_noise(
      batch["mean"], jax.random.normal(noise, batch["mean"].shape), at[which])
  embeds = CLIPTextModel(TEXT).apply({"params": text}, batch["tokens"])
  ask = lambda params: lambda x, t: jax.jit(UNet3D(UNET).apply)(
      {"params": params}, x, t, embeds)
  wanted = distillation.target(
      ask(unet), SCHEDULE, x, at[which], middle[which], end[which])
  expected = jnp.mean((ask(student)(x, jnp.asarray(at[which])) - wanted) ** 2)
  np.testing.assert_allclose(found, expected, rtol=1e-4)
