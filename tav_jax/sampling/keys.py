"""Random keys: one for all clips, or one for each clip."""

import jax


def fold(key: jax.Array, number) -> jax.Array:
  """The key, or the keys, of something that has a number."""
  if key.ndim:
    return jax.vmap(lambda key: fold(key, number))(key)
  return jax.random.fold_in(key, number)


def normal(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
  """Unit Gaussian noise `b ...`; each clip's own, if it has a key."""
  if key.ndim:
    return jax.vmap(lambda key: normal(key, shape[1:]))(key)
  return jax.random.normal(key, shape)
