r"""The loss of diffusion models: DDPM in pixels, or latent diffusion with text.

DDPM (arXiv 2006.11239, Eq. 14) with the loss of each timestep weighted
(arXiv 2303.09556, Eq. 6; gamma = infinity is no weighting):

  L = E_t w_t || target(x_0, eps, t) - network(x_t, t, text) ||^2        (1)
  w_t = min(SNR_t, gamma) / SNR_t        for eps,                        (2)
  w_t = min(SNR_t, gamma) / (SNR_t + 1)  for v,   SNR_t = abar_t / (1 - abar_t)

With abar_T = 0 (zero terminal SNR, arXiv 2305.08891) the latter never trains
the timestep that sampling begins with. The unweighted loss of v is that of x_0
times SNR_t + 1 (arXiv 2202.00512, Sec. 4), which gamma then bounds instead:

  w_t = min(SNR_t + 1, gamma) / (SNR_t + 1),   1 at SNR_T = 0.           (3)

The timesteps of a batch are stratified: example i of B has
t = T (i + u) / B, u uniform in [0, 1) (arXiv 2107.00630, App. I.1).

x_0 is a picture in [-1, 1], or its latents (arXiv 2112.10752, Eq. 2); the text
encoder then trains with the network, and empty captions make guidance possible
(arXiv 2207.12598, Alg. 1).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tav_jax.models.clip import CLIPTextConfig, CLIPTextModel
from tav_jax.models.unet import UNet3D, UNetConfig
from tav_jax.sampling.schedule import Schedule
from tav_jax.types import Timesteps


def stratified(key: jax.Array, batch: int, steps: int) -> Timesteps:
  """A timestep for each example of a batch, spread evenly over all `steps`."""
  where = (jnp.arange(batch) + jax.random.uniform(key, (batch,))) / batch
  return jnp.minimum((where * steps).astype(jnp.int32), steps - 1)


def min_snr_weights(schedule: Schedule, gamma: float) -> np.ndarray:
  """w_t of Eq. (2), or (3), for every timestep, divided by their mean."""
  abar = schedule.alphas_cumprod
  snr = abar / (1 - abar)
  whole = snr if schedule.prediction == "epsilon" else snr + 1
  weights = np.minimum(whole if schedule.zero_snr else snr, gamma) / whole
  return weights / weights.mean()


def loss(
    unet: UNetConfig, text: CLIPTextConfig | None, schedule: Schedule,
    gamma: float,
):
  """Eq. (1) as a `training.step.Loss`.

  Parameters are `{"unet": ..., "text": ...}`; a batch has `mean` and `std` of
  the latents, `b h w c` (or pixels, with std 0), and `tokens` `b l`.
  """
  apply: Callable[..., Any] = UNet3D(unet).apply
  weights = min_snr_weights(schedule, gamma)

  def loss(params, frozen, batch, key):
    del frozen
    posterior, noise, timestep = jax.random.split(key, 3)
    mean, std = (batch[k].astype(jnp.float32) for k in ("mean", "std"))
    x0 = mean + std * jax.random.normal(posterior, mean.shape)
    noise = jax.random.normal(noise, mean.shape)
    timesteps = stratified(
        timestep, mean.shape[0], schedule.num_train_steps)
    embeds = None if text is None else CLIPTextModel(text).apply(
        {"params": params["text"]}, batch["tokens"])
    noisy = schedule.add_noise(x0, noise, timesteps)
    # A picture is a video of one frame.
    prediction = apply(
        {"params": params["unet"]}, noisy[:, None], timesteps, embeds)[:, 0]
    target = schedule.target(x0, noise, timesteps)
    error = jnp.mean((prediction - target) ** 2, axis=(1, 2, 3))
    return jnp.mean(jnp.asarray(weights, jnp.float32)[timesteps] * error)

  return loss
