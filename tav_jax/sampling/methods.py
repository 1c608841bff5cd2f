"""A sampler with its settings, as one value that a compiled program knows."""

from collections.abc import Callable
import dataclasses

import jax
from jaxtyping import Float

from tav_jax.sampling import (
  ddim,
  ddpm,
  distilled,
  extension,
  guidance,
  keys,
  thresholding,
)
from tav_jax.sampling.schedule import Schedule
from tav_jax.types import Array, Denoise, Video

SAMPLERS = ("ddim", "ancestral", "distilled")


@dataclasses.dataclass(frozen=True)
class Method:
  """How clips are made of noise.

  Attributes:
    steps: Number of steps.
    sampler: "ddim", "ancestral" (DDPM's) or "distilled" (Imagen Video's, for a
      model that was distilled to so many steps).
    guidance: Scale of classifier-free guidance; 1 is none, in half the time.
    low_guidance: Of oscillating guidance, the lower scale; None for a constant
      one.
    constant: Of oscillating guidance, how many first steps are not low.
    percentile: Of dynamic thresholding; None for none.
    gamma: Of the ancestral sampler's variance, between its bounds.
    langevin: Size of the ancestral sampler's corrector step; 0 for none.
    length: Frames of a clip; 0 for as many as the model makes at once. Longer
      clips are made block after block.
    overlap: Frames that a block is given of the one before.
    weight: Weight of reconstruction guidance between blocks; 0 is the
      replacement method.
  """

  steps: int
  sampler: str = "ddim"
  guidance: float = 1.0
  low_guidance: float | None = None
  constant: int = 0
  percentile: float | None = None
  gamma: float = 0.0
  langevin: float = 0.0
  length: int = 0
  overlap: int = 1
  weight: float = 0.0

  def scale(
      self, schedule: Schedule
  ) -> float | Callable[[jax.Array], jax.Array]:
    """The scale of guidance, or a function of the timestep that gives it."""
    if self.low_guidance is None:
      return self.guidance
    return guidance.oscillating(
        schedule, self.steps, self.guidance, self.low_guidance, self.constant)

  def __call__(
      self, denoise: Denoise, schedule: Schedule, noise: Video, key: jax.Array,
      begin: Float[Array, "b m h w c"] | None = None,
  ) -> Float[Array, "b F h w c"]:
    """x_0 of clips, `b F h w c`.

    Args:
      denoise: The model, guidance included.
      schedule: Its noise schedule.
      noise: x_T of the first block, whose frames the model makes at once.
      key: Random key, one for all clips or one for each; not the noise's.
      begin: Frames that clips begin with, instead of a first block.
    """
    if self.percentile is not None:
      denoise = thresholding.dynamic(denoise, schedule, self.percentile)

    def block(denoise, noise, key):
      if self.sampler == "ancestral":
        return ddpm.sample(
            denoise, schedule, noise, self.steps, key, gamma=self.gamma,
            langevin=self.langevin)
      if self.sampler == "distilled":
        return distilled.sample(denoise, schedule, noise, self.steps, key)
      return ddim.sample(denoise, schedule, noise, self.steps)

    # The streams of a single block's own noise are numbered by timesteps.
    first = block(denoise, noise, key) if begin is None else begin
    if self.length <= first.shape[1]:
      return first[:, :self.length or None]
    return extension.extend(
        block, denoise, schedule, first, length=self.length,
        block=noise.shape[1], overlap=self.overlap, weight=self.weight,
        key=keys.fold(key, _FOLLOWING))


_FOLLOWING = 2**31 - 1  # No timestep is as large.
