"""The convolution's own backward pass."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tav_jax.models.convolution import convolution


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [(8, 8), (7, 6), (5, 9)])
def test_the_gradient_is_that_of_jax(kernel, stride, size):
  x = jax.random.normal(jax.random.key(0), (2, *size, 3))
  weights = jax.random.normal(jax.random.key(1), (kernel, kernel, 3, 4))
  pad = kernel // 2

  def plain(x, weights):
    return jax.lax.conv_general_dilated(
        x, weights, (stride, stride), ((pad, pad),) * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"))

  def gradient(function):
    loss = lambda *args: jnp.sum(jnp.sin(function(*args)))
    return jax.grad(loss, (0, 1))(x, weights)

  found = gradient(lambda *args: convolution(*args, stride))
  for ours, theirs in zip(found, gradient(plain), strict=True):
    np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=1e-5)
