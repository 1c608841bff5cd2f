"""Sampling given a part of a clip, and thresholding.

Frames are Gaussian and correlated, so what is to come out is known.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tav_jax.sampling import ddim, ddpm, extension, reconstruction, thresholding
from tav_jax.sampling.schedule import PREDICTIONS, Schedule

KEY = jax.random.key(1)
COSINE = Schedule(
    beta_schedule="squaredcos_cap_v2", prediction="v_prediction",
    alpha_to_one=True, spacing="trailing")
CORRELATION = 0.9


def normal(seed, *shape):
  return jax.random.normal(jax.random.key(seed), shape)


def jacobian(schedule, timestep, frames):
  """d xhat / d x_t if frames i and j correlate by CORRELATION^|i - j|."""
  signal, sigma = schedule.signal_and_noise(timestep)
  i = jnp.arange(frames)
  covariance = CORRELATION ** jnp.abs(i[:, None] - i)
  return signal * covariance @ jnp.linalg.inv(
      signal**2 * covariance + sigma**2 * jnp.eye(frames))


def perfect(schedule):
  """What the perfect network predicts of such clips."""

  def denoise(x, timestep):
    x0 = jnp.einsum(
        "fg,bghwc->bfhwc", jacobian(schedule, timestep, x.shape[1]), x)
    return schedule.prediction_of(x0, x, timestep)

  return denoise


def x0_of(denoise, schedule, x, timestep):
  unclipped = dataclasses.replace(schedule, clip_sample=False)
  return unclipped.x0_and_noise(x, denoise(x, timestep), timestep)[0]


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("timestep", [100, 300, 700])
def test_correction_is_that_of_the_true_posterior(prediction, timestep):
  """With the weight 1 / (alpha J_aa); a weight of 1 is its limit without noise.

  Also where values are clipped.
  """
  schedule = dataclasses.replace(
      COSINE, prediction=prediction, clip_sample=True)
  known, x = normal(2, 3, 1, 4, 4, 1), 2 * normal(3, 3, 2, 4, 4, 1)
  signal, sigma = map(float, schedule.signal_and_noise(timestep))
  share = signal * float(jacobian(schedule, timestep, 2)[0, 0])
  replaced, one, exact = (
      x0_of(reconstruction.guided(
          perfect(schedule), schedule, [reconstruction.frames(known, (0,))],
          weight, KEY), schedule, x, timestep)
      for weight in (0.0, 1.0, 1 / share))
  # Of x_b ~ N(mean, variance) given x_a, seen as x_t.
  mean, variance = CORRELATION * known, 1 - CORRELATION**2
  posterior = mean + signal * variance * (x[:, 1:] - signal * mean) / (
      signal**2 * variance + sigma**2)
  np.testing.assert_allclose(exact[:, 1:], posterior, rtol=1e-3, atol=1e-3)
  assert np.abs(replaced[:, 1:] - posterior).mean() > 0.01
  np.testing.assert_allclose(
      one - replaced, share * (exact - replaced), rtol=1e-3, atol=1e-3)
  for clip in (replaced, one, exact):
    np.testing.assert_allclose(clip[:, :1], known, rtol=1e-4, atol=1e-4)


def test_share_of_the_correction_grows_to_one():
  shares = [
      float(COSINE.signal_and_noise(t)[0] * jacobian(COSINE, t, 2)[0, 0])
      for t in (1, 200, 800)]
  assert 0.99 < shares[0] < 1 and 0.1 > shares[2] > 0
  assert shares[0] > shares[1] > shares[2]


@pytest.mark.parametrize("weight", [0.0, 2.0])
def test_the_network_sees_known_frames_as_noisy_as_the_rest(weight):
  known, x = 2 + normal(2, 1, 1, 64, 64, 1), normal(3, 1, 3, 64, 64, 1)
  seen = []

  def denoise(x, timestep):
    jax.debug.callback(seen.append, x)
    return x

  guided = reconstruction.guided(
      denoise, COSINE, [reconstruction.frames(known, (1,))], weight, KEY)
  for timestep in (300, 700):
    guided(x, jnp.int32(timestep))
  jax.effects_barrier()
  noise = []
  for timestep, clip in zip((300, 700), seen, strict=True):
    np.testing.assert_array_equal(clip[:, ::2], x[:, ::2])
    signal, sigma = map(float, COSINE.signal_and_noise(timestep))
    noise.append((clip[:, 1:2] - signal * known) / sigma)
  np.testing.assert_allclose(
      np.corrcoef(*map(np.ravel, noise)), np.eye(2), atol=0.08)
  np.testing.assert_allclose(np.mean(noise, (1, 2, 3, 4, 5)), 0, atol=0.08)
  np.testing.assert_allclose(np.std(noise, (1, 2, 3, 4, 5)), 1, atol=0.06)


def ancestral(schedule):
  return lambda denoise, x, key: ddpm.sample(denoise, schedule, x, 50, key)


def implicit(schedule):
  return lambda denoise, x, key: ddim.sample(denoise, schedule, x, 50)


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("sampler", [ancestral, implicit])
def test_guidance_makes_parts_fit_and_replacement_does_not(
    prediction, sampler):
  schedule = dataclasses.replace(COSINE, prediction=prediction)
  known, x = normal(2, 1, 1, 64, 64, 1), normal(3, 1, 2, 64, 64, 1)

  def slope(weight):
    """Of unknown pixels over known ones; the truth is CORRELATION."""
    denoise = reconstruction.guided(
        perfect(schedule), schedule, [reconstruction.frames(known, (0,))],
        weight, KEY)
    clip = np.asarray(sampler(schedule)(denoise, x, jax.random.key(4)))
    np.testing.assert_allclose(clip[:, :1], known, rtol=1e-3, atol=1e-3)
    a, b = clip[0, :, :, :, 0].reshape(2, -1)
    return a @ b / (a @ a)

  replaced, one, more = slope(0.0), slope(1.0), slope(3.0)
  assert replaced < 0.65
  assert replaced + 0.1 < one < CORRELATION
  assert abs(more - CORRELATION) < 0.1


@pytest.mark.parametrize("clip_sample", [False, True])
def test_fewer_pixels_and_frames_together(clip_sample):
  """Against Eq. (2) with matrices; values lie far out of [-1, 1]."""
  schedule = dataclasses.replace(COSINE, clip_sample=clip_sample)
  x, timestep, weight = 3 * normal(3, 1, 3, 4, 4, 1), 400, 5.0
  # xhat = x_t / 2 + the mean over frames.
  guess = lambda x: x / 2 + x.mean(axis=1, keepdims=True)
  denoise = lambda x, t: schedule.prediction_of(guess(x), x, t)
  low, frame = normal(5, 1, 2, 2, 2, 1), normal(6, 1, 1, 4, 4, 1)
  small = reconstruction.smaller(low, (0, 2))
  whole = reconstruction.smaller(reconstruction.downsampled(x, 2, 2))
  np.testing.assert_allclose(whole.measured, whole.measure(x))

  def matrix(function):
    basis = jnp.eye(x.size).reshape(-1, *x.shape[1:])
    return np.asarray(function(basis)).reshape(x.size, -1).T

  signal = float(schedule.signal_and_noise(timestep)[0])
  guided = lambda *known: np.asarray(x0_of(reconstruction.guided(
      denoise, schedule, known, weight, KEY), schedule, x, timestep))
  jacobian, measure = matrix(guess), matrix(small.measure)
  flat = np.asarray(guess(x)).ravel()
  rest = np.asarray(low).ravel() - measure @ flat
  expected = flat + weight * signal * (measure @ jacobian).T @ rest
  np.testing.assert_allclose(
      guided(small).ravel(), expected, rtol=1e-4, atol=1e-4)

  given = reconstruction.frames(frame, (1,))
  both, alone = guided(given, small), guided(given)
  np.testing.assert_allclose(both[:, 1:2], frame, rtol=1e-4, atol=1e-4)
  assert np.abs(both - alone)[:, ::2].min(axis=(0, 2, 3, 4)).max() > 1e-3
  with pytest.raises(ValueError, match="1 known frames: expected 2, one for"):
    reconstruction.frames(frame, (0, 1))


def jumps(clip, at):
  """Mean square of the difference to the frame before; the truth is 0.2."""
  return ((clip[:, at] - clip[:, np.subtract(at, 1)]) ** 2).mean()


def extended(weight, length=15):
  clip = jnp.broadcast_to(normal(2, 1, 1, 32, 32, 1), (1, 3, 32, 32, 1))
  long = extension.extend(
      ancestral(COSINE), perfect(COSINE), COSINE, clip, length=length, block=6,
      overlap=2, weight=weight, key=KEY)
  assert long.shape == (1, length, 32, 32, 1)
  np.testing.assert_array_equal(long[:, :3], clip)
  return np.asarray(long)


def test_extension_goes_on_from_the_frames_before():
  guided, replaced = extended(3.0), extended(0.0)
  within, borders = [4, 5, 6, 8, 9, 10], [3, 7, 11]
  assert 0.1 < jumps(guided, within) < 0.3
  assert jumps(guided, borders) < 0.3 < jumps(replaced, borders)
  # Blocks have noise of their own.
  assert np.abs(guided[:, 3:7] - guided[:, 7:11]).mean() > 0.2
  np.testing.assert_array_equal(extended(3.0, length=3)[:, 2:], guided[:, 2:3])


def test_a_block_goes_on_from_the_last_frames():
  """With a sampler that draws the straight line through the given ones."""

  def line(denoise, x, key):
    first, second = jnp.split(x0_of(denoise, COSINE, x, 0)[:, :2], 2, axis=1)
    return first + (second - first) * jnp.arange(5.0).reshape(1, 5, 1, 1, 1)

  clip = jnp.array([7.0, 4, 5, 6]).reshape(1, 4, 1, 1, 1)
  long = extension.extend(
      line, perfect(COSINE), COSINE, clip, length=12, block=5, overlap=2,
      weight=0.0, key=KEY)
  np.testing.assert_allclose(
      long.ravel(), [7, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14], rtol=1e-4)


def test_with_a_key_each_a_clip_does_not_depend_on_the_others():
  clips, keys = normal(2, 2, 2, 4, 4, 1), jax.random.split(KEY, 2)

  def extend(clips, keys):
    return extension.extend(
        ancestral(COSINE), perfect(COSINE), COSINE, clips, length=8, block=4,
        overlap=2, weight=2.0, key=keys)

  np.testing.assert_allclose(
      extend(clips, keys)[1:], extend(clips[1:], keys[1:]), atol=1e-5)


@pytest.mark.parametrize("have,length,block,overlap,message", [
    (3, 9, 4, 4, "overlap=4: expected 1 to 3, less than the 4 frames"),
    (1, 9, 4, 2, "1 frames to extend to 9: expected at least the overlap, 2"),
    (9, 8, 4, 2, "9 frames to extend to 8: .* at most the length")])
def test_extension_that_cannot_be(have, length, block, overlap, message):
  with pytest.raises(ValueError, match=message):
    extension.extend(
        ancestral(COSINE), perfect(COSINE), COSINE,
        jnp.zeros((1, have, 2, 2, 1)), length=length, block=block,
        overlap=overlap, weight=1.0, key=KEY)


def test_more_frames_a_second():
  """Six frames become eleven; the last block begins where the others do not."""
  given = CORRELATION * normal(2, 1, 1, 32, 32, 1) + (
      1 - CORRELATION**2) ** 0.5 * normal(3, 1, 6, 32, 32, 1)
  upsampled = lambda weight: np.asarray(extension.upsample(
      ancestral(COSINE), perfect(COSINE), COSINE, given, every=2, block=6,
      weight=weight, key=KEY))
  guided, replaced = upsampled(3.0), upsampled(0.0)
  for clip in (guided, replaced):
    assert clip.shape == (1, 11, 32, 32, 1)
    np.testing.assert_allclose(clip[:, ::2], given, rtol=1e-3, atol=1e-3)
  # The mean of the frame between two is rho / (1 + rho^2) their sum.
  middle = CORRELATION / (1 + CORRELATION**2) * (
      given[:, :-1] + given[:, 1:])
  error = lambda clip: ((clip[:, 1::2] - middle) ** 2).mean()
  # Truly (1 - rho^2) / (1 + rho^2) = 0.105.
  assert 0.05 < error(guided) < 0.15 < error(replaced)
  with pytest.raises(ValueError, match="every=2, blocks of 2: expected at lea"):
    extension.upsample(
        ancestral(COSINE), perfect(COSINE), COSINE, given, every=2, block=2,
        weight=1.0, key=KEY)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_dynamic_thresholding(prediction):
  """Each clip by its own percentile, and never by less than 1."""
  schedule = dataclasses.replace(
      COSINE, prediction=prediction, clip_sample=True)
  x0 = jnp.array([[0.0, 1, -2, 3, -4], [0, 0.1, -0.2, 0.3, 2]])
  x0 = x0.reshape(2, 1, 1, 5, 1)
  x, timestep = normal(3, *x0.shape), jnp.int32(300)
  network = lambda x, t: schedule.prediction_of(x0, x, t)
  prediction = thresholding.dynamic(network, schedule, 75.0)(x, timestep)
  new, noise = schedule.x0_and_noise(x, prediction, timestep)
  np.testing.assert_allclose(new.squeeze(), [
      [0, 1 / 3, -2 / 3, 1, -1], [0, 0.1, -0.2, 0.3, 1]], atol=1e-5)
  np.testing.assert_allclose(
      schedule.add_noise(new, noise, timestep), x, atol=1e-5)
