"""Progressive distillation: what a student predicts, and its sampler."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tav_jax.sampling import ddim, distilled, guidance
from tav_jax.sampling.schedule import PREDICTIONS, Schedule
from tav_jax.training import distillation

KEY = jax.random.key(1)
COSINE = Schedule(
    beta_schedule="squaredcos_cap_v2", prediction="v_prediction",
    alpha_to_one=True, spacing="trailing")


def normal(seed, *shape):
  return jax.random.normal(jax.random.key(seed), shape)


def teacher(x, timestep):
  """A guided network that is no Gaussian's."""
  network = lambda x, t, text: (
      jnp.sin(2 * x) * text.mean() + jnp.reshape(t, (-1, 1, 1, 1, 1)) / 1000)
  return guidance.classifier_free(
      network, jnp.ones((len(x), 1, 1)), jnp.zeros((len(x), 1, 1)), 1.5
  )(x, timestep)


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("to_one", [True, False])
def test_a_student_does_two_steps_of_its_teacher_in_one(prediction, to_one):
  schedule = Schedule(
      prediction=prediction, spacing="trailing", alpha_to_one=to_one)
  x, (source, middle, end) = normal(3, 4, 1, 3, 3, 2), distillation.steps(
      schedule, 4)
  step = lambda x, prediction, source, end: ddim.step(
      schedule, x, prediction, jnp.asarray(source), jnp.asarray(end))
  half = step(x, teacher(x, jnp.asarray(source)), source, middle)
  whole = step(half, teacher(half, jnp.asarray(middle)), middle, end)
  target = distillation.target(teacher, schedule, x, source, middle, end)
  np.testing.assert_allclose(
      step(x, target, source, end), whole, rtol=1e-4, atol=1e-4)

  def student(x, timestep):
    where = jnp.argmax(source == timestep)
    times = (
        jnp.broadcast_to(jnp.asarray(t)[where], len(x))
        for t in (source, middle, end))
    return distillation.target(teacher, schedule, x, *times)

  np.testing.assert_allclose(
      ddim.sample(student, schedule, x, 4),
      ddim.sample(teacher, schedule, x, 8), rtol=1e-3, atol=1e-3)


def test_steps_of_a_student_are_every_other_of_its_teacher():
  for num_steps in (1, 2, 4, 8, 16, 32, 64, 128, 256, 500):
    source, middle, end = distillation.steps(COSINE, num_steps)
    _, *asked = ddim.sampling_steps(COSINE, num_steps)
    np.testing.assert_array_equal((source, end), asked)
    _, asked, _ = ddim.sampling_steps(COSINE, 2 * num_steps)
    np.testing.assert_array_equal(
        np.stack([source, middle], 1).ravel(), asked)
  with pytest.raises(ValueError, match=r"num_steps=48, .* every other of 96"):
    distillation.steps(COSINE, 48)
  with pytest.raises(ValueError, match=r"spacing='leading': .* every other"):
    distillation.steps(Schedule(), 4)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_two_steps_forth_and_one_back_keep_the_marginal(prediction):
  """q(x_t | x_0) of one point, at every step; it ends at the point."""
  schedule = dataclasses.replace(COSINE, prediction=prediction)
  denoise = lambda x, t: schedule.prediction_of(jnp.full_like(x, 0.3), x, t)
  source, turn, target = steps = distilled.sampling_steps(schedule, 8)
  assert turn[0] == source[2] and tuple(turn[-2:]) == (-1, -1)
  assert tuple(target) == (*source[1:], -1)
  noise = normal(3, 1, 1, 256, 256, 1)
  x = begin = schedule.add_noise(
      jnp.full_like(noise, 0.3), noise, source[0])
  for i in range(7):
    before = x
    x = distilled.follow(
        denoise, schedule, x, *(s[i:i + 1] for s in steps), KEY)
    signal, sigma = map(float, schedule.signal_and_noise(target[i]))
    error = 5 * sigma / noise.size**0.5
    np.testing.assert_allclose(x.mean(), signal * 0.3, atol=error)
    np.testing.assert_allclose(x.std(), sigma, atol=error / 2**0.5)
    # Stochastic, unlike DDIM, which keeps the noise.
    assert np.corrcoef(x.ravel(), before.ravel())[0, 1] < 0.95
  whole = distilled.sample(denoise, schedule, begin, 8, KEY)
  np.testing.assert_allclose(whole, 0.3, atol=1e-4)
  np.testing.assert_allclose(whole, distilled.follow(
      denoise, schedule, x, *(s[7:] for s in steps), KEY), atol=1e-5)
