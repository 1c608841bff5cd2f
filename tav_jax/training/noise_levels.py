r"""The loss of a network that is told the noise level itself (SinFusion).

  x = r x_0 + sqrt(1 - r^2) eps,   r ~ U(r_t, r_{t-1}),   t ~ U{0 .. T-1}   (1)
  L = E || target(x_0, eps, r) - network([condition, x], r, gap) ||^2       (2)

with r_t = sqrt(abar_t) and r_{-1} = 1: the levels between two steps are trained
as well, as in WaveGrad (arXiv 2009.00713, Sec. 2.2) and SR3 (arXiv 2104.07636,
Sec. 2.4). SinFusion (arXiv 2211.11743) has this for its conditional networks.
"""

from collections.abc import Callable
from typing import Any

from einops import rearrange
import jax
import jax.numpy as jnp
from jaxtyping import Float
import numpy as np

from tav_jax.sampling.schedule import Schedule
from tav_jax.training.step import Loss


def draw(
    key: jax.Array, schedule: Schedule, count: int
) -> Float[jax.Array, " b"]:
  """`count` levels r of Eq. (1)."""
  which, where = jax.random.split(key)
  levels = jnp.asarray(
      np.sqrt(np.append(1.0, schedule.alphas_cumprod)), jnp.float32)
  t = jax.random.randint(which, (count,), 0, schedule.num_train_steps)
  share = jax.random.uniform(where, (count,))
  return levels[t + 1] + share * (levels[t] - levels[t + 1])


def loss(network: Callable[..., Any], schedule: Schedule) -> Loss:
  """Eq. (2) as a `training.step.Loss`.

  A batch has the frames `x0`, `b h w c`, their `condition`, `b h w d` (d may be
  0) and, if the network takes gaps, `gap`, `b`.

  Args:
    network: `(params, frames b h w c+d, levels b, gaps b or None) -> b h w c`.
    schedule: Its noise schedule and kind of prediction.
  """

  def loss(params, frozen, batch, key):
    del frozen
    of_level, of_noise = jax.random.split(key)
    x0 = batch["x0"]
    level = draw(of_level, schedule, len(x0))
    noise = jax.random.normal(of_noise, x0.shape)
    signal = rearrange(level, "b -> b 1 1 1")
    sigma = jnp.sqrt(1 - signal**2)
    noisy = signal * x0 + sigma * noise
    prediction = network(
        params, jnp.concatenate([batch["condition"], noisy], axis=-1), level,
        batch.get("gap"))
    target = schedule.target_at(x0, noise, signal, sigma)
    return jnp.mean((prediction - target) ** 2)

  return loss
