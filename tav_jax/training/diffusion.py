r"""The loss of diffusion models: DDPM in pixels, or latent diffusion with text.

DDPM (arXiv 2006.11239, Eq. 14) with the loss of each timestep weighted
(arXiv 2303.09556, Eq. 6; gamma = infinity is that of eps, unweighted):

  L = E_t w_t || target(x_0, eps, t) - network(x_t, t, text) ||^2        (1)
  w_t = min(SNR_t, gamma) / SNR_t        for eps,                        (2)
  w_t = min(SNR_t, gamma) / (SNR_t + 1)  for v,   SNR_t = abar_t / (1 - abar_t)
  w_t = min(SNR_t, gamma)                for x_0,

With abar_T = 0 (zero terminal SNR, arXiv 2305.08891) the latter never trains
the timestep that sampling begins with. The unweighted loss of v is that of x_0
times SNR_t + 1 (arXiv 2202.00512, Sec. 4), which gamma then bounds instead:

  w_t = min(SNR_t + 1, gamma) / (SNR_t + 1),   1 at SNR_T = 0.           (3)

The timesteps of a batch are stratified: example i of B has
t = T (i + u) / B, u uniform in [0, 1) (arXiv 2107.00630, App. I.1).

x_0 is a picture or a clip in [-1, 1], or its latents (arXiv 2112.10752, Eq. 2);
the text encoder may train with the network, and empty captions make guidance
possible (arXiv 2207.12598, Alg. 1).
"""

from collections.abc import Callable
from typing import Any

from einops import rearrange
import jax
import jax.numpy as jnp
import numpy as np

from tav_jax.models.clip import CLIPTextConfig, CLIPTextModel
from tav_jax.models.unet import UNet3D, UNetConfig
from tav_jax.sampling.schedule import Schedule
from tav_jax.training import optim
from tav_jax.types import Timesteps


def stratified(key: jax.Array, batch: int, steps: int) -> Timesteps:
  """A timestep for each example of a batch, spread evenly over all `steps`."""
  where = (jnp.arange(batch) + jax.random.uniform(key, (batch,))) / batch
  return jnp.minimum((where * steps).astype(jnp.int32), steps - 1)


def min_snr_weights(schedule: Schedule, gamma: float) -> np.ndarray:
  """w_t of Eq. (2), or (3), for every timestep, divided by their mean."""
  abar = schedule.alphas_cumprod
  snr = abar / (1 - abar)
  whole = {"epsilon": snr, "v_prediction": snr + 1, "sample": np.ones_like(snr)
           }[schedule.prediction]
  bounded = snr + 1 if schedule.zero_snr else snr
  weights = np.minimum(bounded, gamma) / whole
  return weights / weights.mean()


def loss(
    unet: UNetConfig, text: CLIPTextConfig | None, schedule: Schedule,
    gamma: float,
):
  """Eq. (1) as a `training.step.Loss`, averaged over all frames.

  Parameters are `{"unet": ..., "text": ...}`, in any division into trainable
  and frozen ones. A batch has

      mean, std  `b f h w c`  x_0's moments (of pixels, std is 0); a picture is
                              a clip of one frame
      tokens     `b l`        the caption, if the network has text
      given      `b f h w d`  what is told of every frame, if the network has
                              more channels than x_0
      scalars    `b` each     by name, if the network is told some
      images     the same of k independent pictures, `b k ...`, if any

  Independent pictures beside a clip (joint training, arXiv 2204.03458, Sec. 3)
  are clips of one frame to the network, so that attention over time sees them
  alone, as the paper's mask has it. Each has a noise and a timestep of its own.
  """
  apply: Callable[..., Any] = UNet3D(unet).apply
  weights = jnp.asarray(min_snr_weights(schedule, gamma), jnp.float32)

  def errors(params, examples, key) -> jax.Array:
    """The loss of each frame, `b f`."""
    posterior, noise, timestep = jax.random.split(key, 3)
    mean, std = (examples[k].astype(jnp.float32) for k in ("mean", "std"))
    x0 = mean + std * jax.random.normal(posterior, mean.shape)
    noise = jax.random.normal(noise, mean.shape)
    timesteps = stratified(
        timestep, mean.shape[0], schedule.num_train_steps)
    embeds = None if text is None else CLIPTextModel(text).apply(
        {"params": params["text"]}, examples["tokens"])
    seen = schedule.add_noise(x0, noise, timesteps)
    if "given" in examples:
      seen = jnp.concatenate(
          [seen, examples["given"].astype(jnp.float32)], axis=-1)
    prediction = apply(
        {"params": params["unet"]}, seen, timesteps, embeds,
        examples.get("scalars"))
    target = schedule.target(x0, noise, timesteps)
    error = jnp.mean((prediction - target) ** 2, axis=(2, 3, 4))
    return weights[timesteps][:, None] * error

  def loss(trainable, frozen, batch, key):
    params = optim.merge(trainable, frozen)
    found = errors(params, batch, key).ravel()
    if "images" in batch:
      pictures = jax.tree.map(
          lambda x: rearrange(x, "b k ... -> (b k) ..."), batch["images"])
      of_pictures = errors(params, pictures, jax.random.fold_in(key, 1))
      found = jnp.concatenate([found, of_pictures.ravel()])
    return jnp.mean(found)

  return loss
