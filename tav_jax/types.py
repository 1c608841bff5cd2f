"""Array aliases and the glossary of dimensions.

Shapes are written with fixed letters everywhere in the project:

  b  video (batch)             q, k  query and key positions of an attention
  f  frame                     n     attention head
  h  height, w  width          d     width of one head
  s  space, h * w flattened    c     channel
  l  text token                e     text embedding
                               t     diffusion timestep

A video is always `b f h w c`; an image is a video of one frame. Pixels lie in
[-1, 1], latents are the autoencoder's posterior times its scaling factor.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
from jaxtyping import Float, Int, Num
import numpy as np

Array = jax.Array | np.ndarray
"""A host array is accepted wherever a device array is."""

Params = Mapping[str, Any]
"""A nested dict of arrays, as `module.init(...)["params"]` gives it."""

FlatParams = dict[str, Any]
"""The same tree flat: a path `a/b/c` for each leaf."""

Video = Float[Array, "b f h w c"]
Hidden = Float[Array, "b f s c"]
TextEmbeds = Float[Array, "b l e"]
Timesteps = Int[Array, "b"]
Scalars = Num[Array, "b"]

Denoise = Callable[[jax.Array, jax.Array], jax.Array]
"""`(latents b f h w c, timestep scalar) -> prediction b f h w c`."""
