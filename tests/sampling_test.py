"""Schedule, DDIM and guidance, on functions whose answers are known."""

import ast
import importlib.util
import pathlib
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tav_jax.sampling import ddim, guidance
from tav_jax.sampling.schedule import PREDICTIONS, Schedule, SPACINGS

X = jax.random.normal(jax.random.key(0), (2, 3, 4, 5, 4))


def gaussian_denoiser(schedule, mean, std):
  """What the perfect network predicts if data are N(mean, std^2)."""

  def denoise(x, timestep):
    signal, sigma = schedule.signal_and_noise(timestep)
    noise = sigma * (x - signal * mean) / (signal**2 * std**2 + sigma**2)
    x0 = (x - sigma * noise) / signal
    return schedule.target(
        x0, noise, jnp.broadcast_to(timestep, x.shape[:1]))

  return denoise


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_prediction_round_trip(prediction):
  schedule = Schedule(prediction=prediction)
  noise = jax.random.normal(jax.random.key(1), X.shape)
  times = jnp.array([3, 800])
  x0, back = schedule.x0_and_noise(
      schedule.add_noise(X, noise, times),
      schedule.target(X, noise, times), times)
  np.testing.assert_allclose(x0, X, atol=1e-4)
  np.testing.assert_allclose(back, noise, atol=1e-4)


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("spacing", SPACINGS)
def test_inversion_leads_back(prediction, spacing):
  schedule = Schedule(prediction=prediction, spacing=spacing)
  denoise = gaussian_denoiser(schedule, 0.3, 0.5)
  data, errors = 0.3 + 0.5 * X, []
  # A first-order method; its error is largest where x_0 is predicted.
  fine = 250 if prediction == "sample" else 200
  for num_steps in (20, fine):
    noise = ddim.invert(denoise, schedule, data, num_steps)
    back = ddim.sample(denoise, schedule, noise, num_steps)
    errors.append(np.abs(back - data).mean())
  assert errors[1] < 0.01 and errors[1] < errors[0] / 5


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_samples_have_the_datas_distribution(prediction):
  schedule = Schedule(prediction=prediction)
  noise = jax.random.normal(jax.random.key(3), (4, 4, 16, 16, 4))
  samples = ddim.sample(
      gaussian_denoiser(schedule, 0.3, 0.5), schedule, noise, 100)
  np.testing.assert_allclose(samples.mean(), 0.3, atol=0.02)
  np.testing.assert_allclose(samples.std(), 0.5, atol=0.03)


def test_runs_can_be_taken_in_pieces():
  schedule = Schedule()
  denoise = gaussian_denoiser(schedule, 0.3, 0.5)
  whole = ddim.sample(denoise, schedule, X, 10)
  steps, x = ddim.sampling_steps(schedule, 10), X
  for i in (0, 4):
    x, _ = ddim.follow(
        denoise, schedule, x, *(s[i:i + (4 if i == 0 else 6)] for s in steps))
  np.testing.assert_allclose(x, whole, rtol=1e-6)


def test_guidance_one_is_the_prompt_and_zero_the_negative():
  network = lambda x, t, text: x * text.mean(axis=(1, 2))[:, None, None, None,
                                                          None]
  text, negative = jnp.ones((2, 3, 4)), jnp.full((2, 3, 4), 5.0)
  at = lambda scale: guidance.classifier_free(
      network, text, negative, scale)(X, 10)
  np.testing.assert_allclose(at(1.0), X, rtol=1e-6)
  np.testing.assert_allclose(at(0.0), 5 * X, rtol=1e-6)
  np.testing.assert_allclose(at(2.0), -3 * X, rtol=1e-6)


def test_guidance_that_oscillates():
  """High at first, then low and high in turn; also for timesteps of clips."""
  schedule = Schedule()
  timesteps = jnp.asarray(schedule.sampling_timesteps(8))
  scale = guidance.oscillating(schedule, 8, 15.0, 1.0, 3)
  scales = [15, 15, 15, 1, 15, 1, 15, 1]
  np.testing.assert_array_equal(scale(timesteps), scales)
  network = lambda x, t, text: x * text.mean(
      axis=(1, 2))[:, None, None, None, None] + t[:, None, None, None, None]
  at = lambda scale, t: guidance.classifier_free(
      network, jnp.ones((2, 3, 4)), jnp.full((2, 3, 4), 5.0), scale)(X, t)
  for t, constant in zip(timesteps, scales, strict=True):
    np.testing.assert_array_equal(at(scale, t), at(float(constant), t))
  both = at(scale, timesteps[2:4])
  for i in range(2):
    np.testing.assert_allclose(both[i], at(scale, timesteps[2 + i])[i])


def test_zero_terminal_snr():
  """At abar_T = 0 the noise says nothing: the mean of the data comes out."""
  schedule = Schedule(
      prediction="v_prediction", zero_snr=True, spacing="trailing",
      alpha_to_one=True)
  assert schedule.alphas_cumprod[-1] == 0
  assert schedule.alphas_cumprod[0] == Schedule().alphas_cumprod[0]
  denoise = lambda x, timestep: schedule.target(
      jnp.full_like(x, 0.3), x, jnp.broadcast_to(timestep, x.shape[:1]))
  np.testing.assert_allclose(
      ddim.sample(denoise, schedule, X, 1), jnp.full_like(X, 0.3), rtol=1e-6)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("train,offset", [(1000, 0), (1000, 1), (20, 1)])
def test_as_many_timesteps_as_asked_for(spacing, train, offset):
  schedule = Schedule(
      num_train_steps=train, spacing=spacing, steps_offset=offset)
  for num_steps in range(1, train + 1):
    steps = schedule.sampling_timesteps(num_steps)
    assert steps.shape == (num_steps,)
    assert (np.diff(steps) < 0).all()
    assert steps[-1] >= 0 and steps[0] < train
    if spacing != "leading":
      assert steps[0] == train - 1 or (spacing, num_steps) == ("linspace", 1)


@pytest.fixture(scope="module")
def set_timesteps():
  """`DDIMScheduler.set_timesteps`, of a module that needs torch to import."""
  file = importlib.util.find_spec(
      "diffusers.schedulers.scheduling_ddim").origin
  function, = (
      node for node in ast.walk(ast.parse(pathlib.Path(file).read_text()))
      if getattr(node, "name", "") == "set_timesteps")
  function.args.args[-1].annotation = None
  tensor = lambda x: types.SimpleNamespace(to=lambda device: x)
  scope = {"np": np, "torch": types.SimpleNamespace(from_numpy=tensor)}
  exec(compile(ast.Module([function], []), file, "exec"), scope)
  return scope["set_timesteps"]


@pytest.mark.oracle
@pytest.mark.parametrize("spacing", SPACINGS)
def test_timesteps_are_those_of_diffusers(spacing, set_timesteps):
  """But where theirs are one too many, or out of the model's range."""
  schedule, other = Schedule(spacing=spacing), set()
  scheduler = types.SimpleNamespace(config=types.SimpleNamespace(
      num_train_timesteps=1000, timestep_spacing=spacing, steps_offset=1))
  for num_steps in range(1, 1001):
    ours = schedule.sampling_timesteps(num_steps)
    set_timesteps(scheduler, num_steps)
    theirs = scheduler.timesteps
    if len(theirs) > num_steps or theirs.max() > 999:
      other.add(num_steps)
      theirs = theirs[:num_steps] - (spacing == "leading")
    np.testing.assert_array_equal(ours, theirs)
  assert len(other) == {"leading": 1, "trailing": 62, "linspace": 0}[spacing]


@pytest.mark.parametrize("num_steps", [0, 1001])
def test_number_of_steps_out_of_range(num_steps):
  with pytest.raises(ValueError, match=f"num_steps={num_steps}: expected 1 to"):
    Schedule().sampling_timesteps(num_steps)


def test_unknown_spacing():
  with pytest.raises(ValueError, match="spacing='sideways': expected leading"):
    Schedule(spacing="sideways").sampling_timesteps(5)
