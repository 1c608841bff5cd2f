r"""The noise schedule and the conversions between predictions.

Noising (DDPM, arXiv 2006.11239, Eq. 4), with abar_t = prod_{s<=t} (1 - beta_s):

  x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps                          (1)

A network predicts eps, x_0 itself, or v (arXiv 2202.00512, Sec. 4):

  v   = sqrt(abar_t) eps - sqrt(1 - abar_t) x_0                          (2)
  x_0 = sqrt(abar_t) x_t - sqrt(1 - abar_t) v                            (3)
  eps = sqrt(abar_t) v   + sqrt(1 - abar_t) x_t                          (4)
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np

BETA_SCHEDULES = ("linear", "scaled_linear", "squaredcos_cap_v2")
PREDICTIONS = ("epsilon", "v_prediction", "sample")
SPACINGS = ("leading", "trailing", "linspace")


@dataclasses.dataclass(frozen=True)
class Schedule:
  """A discrete noise schedule, as diffusers' scheduler configs describe it.

  Attributes:
    num_train_steps: Timesteps the model was trained with.
    beta_start: First beta.
    beta_end: Last beta.
    beta_schedule: "linear", "scaled_linear" (linear in sqrt(beta)) or
      "squaredcos_cap_v2" (cosine, arXiv 2102.09672).
    prediction: "epsilon", "v_prediction" or "sample", which is x_0.
    spacing: How sampling picks timesteps: "leading", "trailing" or "linspace"
      (arXiv 2305.08891, Table 2).
    steps_offset: Added to the timesteps of "leading" spacing.
    alpha_to_one: Whether the step below timestep 0 is noise-free (abar = 1)
      or keeps abar_0.
    clip_sample: Clip predicted x_0 to [-1, 1] (pixel-space models).
    zero_snr: Rescale the betas so that abar_T = 0 (arXiv 2305.08891, Alg. 1).
  """

  num_train_steps: int = 1000
  beta_start: float = 0.00085
  beta_end: float = 0.012
  beta_schedule: str = "scaled_linear"
  prediction: str = "epsilon"
  spacing: str = "leading"
  steps_offset: int = 1
  alpha_to_one: bool = False
  clip_sample: bool = False
  zero_snr: bool = False

  @property
  def alphas_cumprod(self) -> np.ndarray:
    """abar_t for every training timestep, float64."""
    abar = np.cumprod(1 - _betas(self))
    if self.zero_snr:
      root = np.sqrt(abar)
      abar = ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2
    return abar

  def signal_and_noise(self, timesteps) -> tuple[jax.Array, jax.Array]:
    """sqrt(abar_t) and sqrt(1 - abar_t); a timestep below 0 is the end."""
    abar = self.alphas_cumprod
    end = 1.0 if self.alpha_to_one else abar[0]
    # One entry more, so that any negative timestep reads the end.
    table = np.append(abar, end)
    index = jnp.where(timesteps < 0, self.num_train_steps, timesteps)
    signal = jnp.asarray(np.sqrt(table), jnp.float32)[index]
    noise = jnp.asarray(np.sqrt(1 - table), jnp.float32)[index]
    return signal, noise

  def add_noise(self, x0, noise, timesteps) -> jax.Array:
    """x_t of Eq. (1); `timesteps` has the leading axes of `x0`."""
    signal, sigma = self.like(x0, timesteps)
    return signal * x0 + sigma * noise

  def target(self, x0, noise, timesteps) -> jax.Array:
    """What the network is to predict: the noise, x_0, or v of Eq. (2)."""
    return self.target_at(x0, noise, *self.like(x0, timesteps))

  def target_at(self, x0, noise, signal, sigma) -> jax.Array:
    """Like `target`, at any sqrt(abar) and sqrt(1 - abar) that broadcast."""
    if self.prediction == "epsilon":
      return noise
    if self.prediction == "sample":
      return x0
    return signal * noise - sigma * x0

  def x0_and_noise(self, x, prediction, timesteps):
    """x_0 and eps that a prediction at x_t implies, Eqs. (1), (3), (4)."""
    signal, sigma = self.like(x, timesteps)
    if self.prediction == "epsilon":
      x0, noise = (x - sigma * prediction) / signal, prediction
    elif self.prediction == "sample":
      x0, noise = prediction, (x - signal * prediction) / sigma
    else:
      x0 = signal * x - sigma * prediction
      noise = signal * prediction + sigma * x
    if self.clip_sample:
      x0 = jnp.clip(x0, -1, 1)
    return x0, noise

  def prediction_of(self, x0, x, timesteps) -> jax.Array:
    """The prediction at x_t that implies this x_0, the other way round.

    At abar_t = 0 no predicted noise implies any x_0; v does.
    """
    signal, sigma = self.like(x, timesteps)
    return self.target(x0, (x - signal * x0) / sigma, timesteps)

  def sampling_timesteps(self, num_steps: int) -> np.ndarray:
    """`num_steps` different timesteps, noisiest first.

    "leading" adds less than `steps_offset` where `steps_offset` would lead past
    the last timestep, as when all timesteps are asked for.

    Raises:
      ValueError: If the model has fewer timesteps.
    """
    train = self.num_train_steps
    if not 1 <= num_steps <= train:
      raise ValueError(
          f"num_steps={num_steps}: expected 1 to {train}, the timesteps this "
          "model was trained with")
    steps: np.ndarray
    if self.spacing == "leading":
      steps = np.arange(num_steps)[::-1] * (train // num_steps)
      steps = steps + min(self.steps_offset, train - 1 - steps[0])
    elif self.spacing == "trailing":
      # As in diffusers, to the last bit, but for one that may be too many.
      steps = np.arange(train, 0, -train / num_steps)[:num_steps]
      steps = np.round(steps) - 1
    elif self.spacing == "linspace":
      steps = np.round(np.linspace(0, train - 1, num_steps))[::-1]
    else:
      raise ValueError(
          f"spacing={self.spacing!r}: expected {', '.join(SPACINGS)}")
    return steps.astype(np.int32)

  def like(self, x, timesteps):
    """The coefficients with trailing axes, to multiply `x`."""
    return tuple(
        c.reshape(c.shape + (1,) * (x.ndim - c.ndim))
        for c in self.signal_and_noise(jnp.asarray(timesteps)))


def _betas(schedule: Schedule) -> np.ndarray:
  train = schedule.num_train_steps
  if schedule.beta_schedule == "linear":
    return np.linspace(schedule.beta_start, schedule.beta_end, train)
  if schedule.beta_schedule == "scaled_linear":
    return np.linspace(
        schedule.beta_start**0.5, schedule.beta_end**0.5, train) ** 2
  if schedule.beta_schedule == "squaredcos_cap_v2":
    level = np.arange(train + 1) / train
    abar = np.cos((level + 0.008) / 1.008 * math.pi / 2) ** 2
    return np.minimum(1 - abar[1:] / abar[:-1], 0.999)
  raise ValueError(
      f"beta_schedule={schedule.beta_schedule!r}: expected linear, "
      "scaled_linear or squaredcos_cap_v2")
