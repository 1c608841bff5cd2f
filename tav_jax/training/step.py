r"""The loss of Tune-A-Video and the training step.

Noise prediction (arXiv 2212.11565, Eq. 4, as in DDPM Eq. 14), on latents of
one clip and one timestep a clip:

  L = E || target(x_0, eps, t) - network(x_t, t, text) ||^2              (1)

with the target eps or v (sampling/schedule.py). Gradients are taken with
respect to the trainable tree alone.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from tav_jax.parallel import activations, placement
from tav_jax.types import Params, TextEmbeds, Timesteps, Video

Loss = Callable[[Params, Params, Any, jax.Array], jax.Array]
"""`(trainable, frozen, batch, random key) -> scalar`."""


class State(NamedTuple):
  """What training changes, and all that a checkpoint holds.

  Attributes:
    trainable: The parameters that train, float32.
    optimizer: The optimizer's state.
    step: Steps taken.
    seed: Data of the random key that every step's randomness derives from.
  """

  trainable: Params
  optimizer: Any
  step: jax.Array
  seed: jax.Array


class Latents(NamedTuple):
  """One training example: posterior moments `b f h w c` and text `b l e`."""

  mean: Video
  std: Video
  text: TextEmbeds


def init(trainable: Params, optimizer, seed: int) -> State:
  """The state before the first step, on the device.

  Parameters are copied, since the steps reuse the state's memory.
  """
  trainable = jax.tree.map(lambda x: jnp.array(x, jnp.float32), trainable)
  return State(
      trainable, optimizer.init(trainable), jnp.zeros((), jnp.int32),
      jax.random.key_data(jax.random.key(seed)))


def denoising_loss(
    network, schedule, x0: Video, noise: Video, timesteps: Timesteps,
    text: TextEmbeds,
) -> jax.Array:
  """Eq. (1) for given noise and timesteps."""
  prediction = network(
      schedule.add_noise(x0, noise, timesteps), timesteps, text)
  target = schedule.target(x0, noise, timesteps)
  return jnp.mean((prediction - target) ** 2)


def tuning_loss(network, schedule) -> Loss:
  """Eq. (1) with posterior, noise and timestep drawn anew each time.

  Args:
    network: `(trainable, frozen) -> ((latents, timesteps, text) ->
      prediction)`.
    schedule: The noise schedule of the model.
  """

  def loss(trainable, frozen, batch: Latents, key):
    posterior, noise, timestep = jax.random.split(key, 3)
    draw = lambda key: jax.random.normal(key, batch.mean.shape)
    timesteps = jax.random.randint(
        timestep, batch.mean.shape[:1], 0, schedule.num_train_steps)
    return denoising_loss(
        network(trainable, frozen), schedule,
        batch.mean + batch.std * draw(posterior), draw(noise), timesteps,
        batch.text)

  return loss


def make_step(loss: Loss, optimizer, accumulate: int = 1):
  """A function `(state, frozen, batch) -> (state, metrics)`: one update.

  Args:
    loss: The loss.
    optimizer: An optax transformation.
    accumulate: Draws of the loss whose gradients are averaged for the update.
  """

  def step(state: State, frozen: Params, batch):
    key = jax.random.fold_in(
        jax.random.wrap_key_data(state.seed), state.step)
    gradient = jax.value_and_grad(loss)

    def accumulated(total, key):
      return jax.tree.map(
          jnp.add, total, gradient(state.trainable, frozen, batch, key)), None

    if accumulate == 1:
      value, grads = gradient(state.trainable, frozen, batch, key)
    else:
      zero = (jnp.zeros(()), jax.tree.map(jnp.zeros_like, state.trainable))
      total, _ = jax.lax.scan(
          accumulated, zero, jax.random.split(key, accumulate))
      value, grads = jax.tree.map(lambda x: x / accumulate, total)
    updates, optimizer_state = optimizer.update(
        grads, state.optimizer, state.trainable)
    metrics = {"loss": value, "grad_norm": optax.tree.norm(grads)}
    return State(
        optax.apply_updates(state.trainable, updates), optimizer_state,
        state.step + 1, state.seed), metrics

  return step


def make_steps(step, where: Any):
  """Jitted `(states, frozen, batches, n) -> (states, metrics `n v`)`.

  The states and batches of v videos lie along a first axis. All n steps of all
  of them are one program on the device. The states' memory is reused; every
  device, and so every process, gets all metrics.

  Args:
    step: As `make_step` gives it.
    where: A tree like one video's state of `NamedSharding`s.
  """

  def steps(states, frozen, batches, n):
    each = activations.over_videos(step, (0, None, 0))
    return jax.lax.scan(
        lambda states, _: each(states, frozen, batches), states, length=n)

  mesh = jax.tree.leaves(where)[0].mesh
  return jax.jit(
      steps, static_argnames="n", donate_argnames="states", out_shardings=(
          jax.tree.map(placement.of_videos, where),
          placement.everywhere(mesh)))
