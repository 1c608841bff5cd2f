"""Ancestral sampling, on functions whose answers are known."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tav_jax.sampling import ddim, ddpm
from tav_jax.sampling.schedule import PREDICTIONS, Schedule, SPACINGS

X = jax.random.normal(jax.random.key(0), (2, 1, 4, 5, 3))
KEY = jax.random.key(1)
# DDPM's own, as long as a test can take.
SHORT = Schedule(
    num_train_steps=20, beta_start=1e-3, beta_end=0.4, beta_schedule="linear",
    steps_offset=0, clip_sample=True)
PIXELS = Schedule(
    beta_start=1e-4, beta_end=0.02, beta_schedule="linear", steps_offset=0)


def network(x, timestep):
  return jnp.sin(3 * x) + timestep / 1000


@pytest.fixture
def same_noise(monkeypatch):
  """Both samplers see the same noise at every step, whatever their keys."""
  noise = jax.random.normal(jax.random.key(2), X.shape)
  monkeypatch.setattr(jax.random, "normal", lambda *a, **k: noise)
  return np.asarray(noise)


@pytest.fixture
def old_clip(monkeypatch):
  """The name of an argument that JAX has changed since."""
  clip = jnp.clip
  monkeypatch.setattr(
      jnp, "clip", lambda *args, a_min=None: clip(*args, min=a_min)
      if a_min is not None else clip(*args))


@pytest.mark.oracle
@pytest.mark.usefixtures("same_noise", "old_clip")
@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("clip", [True, False])
def test_every_step_is_diffusers(prediction, clip):
  from diffusers import FlaxDDPMScheduler

  schedule = dataclasses.replace(
      SHORT, prediction=prediction, clip_sample=clip)
  oracle = FlaxDDPMScheduler(
      num_train_timesteps=20, beta_start=1e-3, beta_end=0.4,
      variance_type="fixed_small", clip_sample=clip,
      prediction_type=prediction)
  state, x = oracle.create_state(), X
  _, source, target = ddim.sampling_steps(schedule, 20)
  np.testing.assert_array_equal(source, state.timesteps)
  for i, t in enumerate(state.timesteps):
    expected = oracle.step(
        state, network(x, t), t, x, KEY, return_dict=False)[0]
    x = ddpm.follow(
        network, schedule, x, source[i:i + 1], target[i:i + 1], KEY)
    np.testing.assert_allclose(x, expected, rtol=1e-4, atol=1e-5)


def literal_step(x, output, abar, abar_previous, noise, prediction):
  """A step of diffusers' PyTorch `DDPMScheduler`, line by line."""
  alpha = abar / abar_previous
  beta = 1 - alpha
  if prediction == "epsilon":
    x0 = (x - (1 - abar) ** 0.5 * output) / abar**0.5
  elif prediction == "sample":
    x0 = output
  else:
    x0 = abar**0.5 * x - (1 - abar) ** 0.5 * output
  x0 = np.clip(x0, -1, 1)
  x0_coefficient = abar_previous**0.5 * beta / (1 - abar)
  x_coefficient = alpha**0.5 * (1 - abar_previous) / (1 - abar)
  small = (1 - abar_previous) / (1 - abar) * beta
  spread = 0 if abar_previous == 1 else max(small, 1e-20) ** 0.5
  return x0_coefficient * x0 + x_coefficient * x + spread * noise


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("spacing", SPACINGS)
def test_fewer_steps_than_trained(same_noise, prediction, spacing):
  schedule = dataclasses.replace(
      PIXELS, clip_sample=True, prediction=prediction, spacing=spacing)
  abar = schedule.alphas_cumprod
  timesteps, expected = schedule.sampling_timesteps(7), np.asarray(X)
  for t, previous in zip(timesteps, [*timesteps[1:], None], strict=True):
    expected = literal_step(
        expected, np.asarray(network(expected, t)), abar[t],
        1.0 if previous is None else abar[previous], same_noise, prediction)
  output = ddpm.sample(network, schedule, X, 7, KEY)
  np.testing.assert_allclose(output, expected, rtol=1e-3, atol=1e-4)


def gaussian_denoiser(schedule, mean, std):
  """What the perfect network predicts if data are N(mean, std^2)."""

  def denoise(x, timestep):
    signal, sigma = schedule.signal_and_noise(timestep)
    noise = sigma * (x - signal * mean) / (signal**2 * std**2 + sigma**2)
    x0 = mean + signal * std**2 * (x - signal * mean) / (
        signal**2 * std**2 + sigma**2)
    return schedule.target(x0, noise, jnp.broadcast_to(timestep, x.shape[:1]))

  return denoise


@pytest.fixture(scope="module")
def noise():
  """x_T of N = 65536 pixels."""
  return jax.random.normal(jax.random.key(3), (1, 1, 256, 256, 1))


def assert_moments(samples, mean, std, bias=0.0):
  """Within five standard errors, std / sqrt(N) and std / sqrt(2 N)."""
  error = 5 * std / samples.size**0.5
  np.testing.assert_allclose(samples.mean(), mean, atol=error + bias)
  np.testing.assert_allclose(samples.std(), std, atol=error / 2**0.5 + bias)


def of_gaussian(noise, prediction, num_steps):
  schedule = dataclasses.replace(PIXELS, prediction=prediction)
  return ddpm.sample(
      gaussian_denoiser(schedule, 0.3, 0.5), schedule, noise, num_steps, KEY)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_samples_have_the_datas_distribution(noise, prediction):
  """Every Gaussian step is a line, so their law is known.

  After 1000 of them it is N(0.3, 0.4961^2), of data that are N(0.3, 0.5^2).
  """
  samples = of_gaussian(noise, prediction, 1000)
  assert_moments(samples, 0.3, 0.5, bias=0.004)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_variance_is_a_lower_bound(noise, prediction):
  """Of data between a point and a unit Gaussian (Sec. 3.2)."""
  assert of_gaussian(noise, prediction, 20).std() < 0.45


@pytest.mark.parametrize("num_steps", [2, 10])
def test_small_variance_is_exact_for_one_point(noise, num_steps):
  schedule, point = PIXELS, 0.3
  _, source, target = ddim.sampling_steps(schedule, num_steps)
  denoise = gaussian_denoiser(schedule, point, 0.0)
  signal, sigma = schedule.signal_and_noise(source[0])
  begin = signal * point + sigma * noise  # The exact x_T.
  before = ddpm.follow(
      denoise, schedule, begin, source[:-1], target[:-1], KEY)
  signal, sigma = map(float, schedule.signal_and_noise(target[-2]))
  assert_moments(before, signal * point, sigma)
  samples = ddpm.sample(denoise, schedule, begin, num_steps, KEY)
  np.testing.assert_allclose(samples, point, atol=1e-3)


def test_variance_lies_between_its_bounds():
  """At gamma 0 and 1 to the last bit; between them in log space."""
  abar = PIXELS.alphas_cumprod
  _, source, target = ddim.sampling_steps(PIXELS, 20)
  beta = 1 - abar[source[:-1]] / abar[target[:-1]]
  smaller = (1 - abar[target[:-1]]) / (1 - abar[source[:-1]]) * beta
  variance = lambda *gamma: ddpm.posterior(PIXELS, source, target, *gamma)[2]
  np.testing.assert_array_equal(variance()[:-1], smaller)
  np.testing.assert_array_equal(variance(0.0), variance())
  np.testing.assert_array_equal(variance(1.0)[:-1], beta)
  np.testing.assert_allclose(
      np.log(variance(0.3)[:-1]), 0.7 * np.log(smaller) + 0.3 * np.log(beta))
  for gamma in (0.0, 0.3, 1.0):
    assert variance(gamma)[-1] == 0


def test_large_variance_is_exact_for_a_unit_gaussian(noise):
  of_unit = lambda gamma: ddpm.sample(
      gaussian_denoiser(PIXELS, 0.0, 1.0), PIXELS, noise, 5, KEY, gamma=gamma)
  # But for the last step, which adds no noise.
  signal, _ = map(float, PIXELS.signal_and_noise(0))
  assert_moments(of_unit(1.0), 0.0, signal, bias=1e-3)
  assert of_unit(0.0).std() < 0.9


def test_predictor_and_corrector(same_noise):
  """Line by line, with the clipped x_0 and the noise that belongs to it."""
  _, source, target = ddim.sampling_steps(SHORT, 5)
  on_x0, on_x, variance = ddpm.posterior(SHORT, source, target, 0.3)
  abar, x, delta = SHORT.alphas_cumprod, X, 0.1
  clipped = lambda x, t: SHORT.x0_and_noise(x, network(x, t), t)[0]
  for i, (t, s) in enumerate(zip(source, target, strict=True)):
    x = on_x0[i] * clipped(x, t) + on_x[i] * x + variance[i]**.5 * same_noise
    if s >= 0:
      sigma = (1 - abar[s]) ** 0.5
      eps = (x - abar[s] ** 0.5 * clipped(x, s)) / sigma
      x = x - delta / 2 * sigma * eps + delta**0.5 * sigma * same_noise
  output = ddpm.sample(
      network, SHORT, X, 5, KEY, gamma=0.3, langevin=delta)
  np.testing.assert_allclose(output, x, rtol=1e-3, atol=1e-4)


def test_corrector_has_noise_of_its_own(noise):
  """It keeps the law of x_t, but for delta^2 / 4 of the variance."""
  denoise = gaussian_denoiser(PIXELS, 0.3, 0.0)
  _, source, target = ddim.sampling_steps(PIXELS, 10)
  signal, sigma = PIXELS.signal_and_noise(source[0])
  x = ddpm.follow(
      denoise, PIXELS, signal * 0.3 + sigma * noise, source[:5], target[:5],
      KEY, langevin=0.1)
  signal, sigma = map(float, PIXELS.signal_and_noise(target[4]))
  assert_moments(x, signal * 0.3, sigma, bias=0.003 * sigma)


def test_runs_can_be_taken_in_pieces():
  whole = ddpm.sample(network, SHORT, X, 10, KEY)
  _, *steps = ddim.sampling_steps(SHORT, 10)
  x = X
  for piece in (slice(0, 3), slice(3, 9), slice(9, 10)):
    x = ddpm.follow(network, SHORT, x, *(s[piece] for s in steps), KEY)
  np.testing.assert_allclose(x, whole, rtol=1e-6)
  other = ddpm.sample(network, SHORT, X, 10, jax.random.key(5))
  assert np.abs(other - whole).max() > 0.1


def test_with_a_key_each_a_clip_does_not_depend_on_the_others():
  keys = jax.random.split(KEY, len(X))
  whole = ddpm.sample(network, SHORT, X, 10, keys)
  for i, key in enumerate(keys):
    alone = ddpm.sample(network, SHORT, X[i:i + 1], 10, key)[0]
    of_itself = ddpm.sample(network, SHORT, X[i:i + 1], 10, keys[i:i + 1])[0]
    np.testing.assert_allclose(of_itself, whole[i], rtol=1e-6)
    np.testing.assert_allclose(alone, whole[i], rtol=1e-6)


def test_zero_terminal_snr(noise):
  """The noise of x_T says nothing, yet samples have the data's mean."""
  schedule = dataclasses.replace(
      PIXELS, prediction="v_prediction", zero_snr=True, spacing="trailing")
  mean_alone = lambda x, timestep: schedule.target(
      jnp.full_like(x, 0.3), x, jnp.broadcast_to(timestep, x.shape[:1]))
  _, source, target = ddim.sampling_steps(schedule, 10)
  first = ddpm.follow(
      mean_alone, schedule, noise, source[:1], target[:1], KEY)
  signal, sigma = map(float, schedule.signal_and_noise(target[0]))
  assert_moments(first, signal * 0.3, sigma)


def test_a_number_of_steps_that_does_not_divide_the_timesteps():
  """61 of 1000, where a sum of fractions once gave one timestep more."""
  schedule = dataclasses.replace(PIXELS, spacing="trailing", clip_sample=True)
  samples = ddpm.sample(network, schedule, X, 61, KEY)
  assert np.isfinite(samples).all() and np.abs(samples).max() <= 1


def test_bad_arguments():
  with pytest.raises(ValueError, match="num_steps=21: expected 1 to 20"):
    ddpm.sample(network, SHORT, X, 21, KEY)
