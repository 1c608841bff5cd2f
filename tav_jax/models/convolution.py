"""Two-dimensional convolutions, in the form that XLA:CPU is fast with.

The one over all channels has a backward pass of its own.

JAX's own gradient names the kernel's axes in another order. XLA:CPU has a fast
convolution for the usual order alone, and brings other orders into it outside
of loops only: a tuning step in a `lax.scan` took twice as long as one outside.
Here the gradient flips and transposes the kernel explicitly, so that XLA hoists
this out of the loop for a frozen kernel. XLA:TPU makes the same program of
both.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Float

from tav_jax.types import Array


def _padded(
    x: Float[Array, "b h w c"], kernel: Float[Array, "k k c d"], stride: int
) -> Float[Array, "b H W d"]:
  """Convolution that pads k // 2 zeros on all sides."""
  pad = kernel.shape[0] // 2
  return _correlate(
      x, kernel, window_strides=(stride, stride), padding=((pad, pad),) * 2)


def _correlate(x, kernel, **how):
  return jax.lax.conv_general_dilated(
      x, kernel, dimension_numbers=("NHWC", "HWIO", "NHWC"), **how)


def _forward(x, kernel, stride):
  return _padded(x, kernel, stride), (x, kernel)


def _backward(stride, saved, dy):
  x, kernel = saved
  size = kernel.shape[0]
  pad = size // 2
  # Padding of dy, dilated by the stride, such that the result is shaped as x.
  padding = [
      (size - 1 - pad, whole - (part - 1) * stride - 1 + pad)
      for whole, part in zip(x.shape[1:3], dy.shape[1:3], strict=True)]
  dx = _correlate(
      dy, jnp.flip(kernel, (0, 1)).swapaxes(2, 3), window_strides=(1, 1),
      padding=padding, lhs_dilation=(stride, stride))
  _, of_kernel = jax.vjp(lambda kernel: _padded(x, kernel, stride), kernel)
  return dx, *of_kernel(dy)


convolution = jax.custom_vjp(_padded, nondiff_argnums=(2,))
convolution.defvjp(_forward, _backward)


def _depthwise(
    x: Float[Array, "*b h w c"], kernel: Float[Array, "k k c"]
) -> Float[Array, "*b h w c"]:
  """Convolution of every channel by itself; pads k // 2 zeros on all sides.

  A sum of k^2 shifted products, which XLA:CPU makes one loop of: its grouped
  convolution at 7x7 takes ten times as long. In the backward pass, the sums for
  the kernel are taken one after another; all in one program, they are slow.
  """
  size, (height, width) = kernel.shape[0], x.shape[-3:-1]
  x = _with_edges(x, size)
  return functools.reduce(jnp.add, (
      x[..., i:i + height, j:j + width, :] * kernel[i, j]
      for i in range(size) for j in range(size)))


def _with_edges(x, size):
  edges = (size // 2, size // 2)
  return jnp.pad(x, [(0, 0)] * (x.ndim - 3) + [edges, edges, (0, 0)])


def _depthwise_backward(saved, dy):
  x, kernel = saved
  size = kernel.shape[0]
  padded = _with_edges(x, size)

  def of_kernel(n):
    start = [0] * (x.ndim - 3) + [n // size, n % size, 0]
    shifted = jax.lax.dynamic_slice(padded, start, x.shape)
    return jnp.sum(shifted * dy, axis=range(x.ndim - 1))

  return (_depthwise(dy, jnp.flip(kernel, (0, 1))),
          jax.lax.map(of_kernel, jnp.arange(size**2)).reshape(kernel.shape))


depthwise = jax.custom_vjp(_depthwise)
depthwise.defvjp(
    lambda x, kernel: (_depthwise(x, kernel), (x, kernel)),
    _depthwise_backward)
