r"""What a network is given of a clip besides noise: frames, or a coarser clip.

Interpolation (Make-A-Video, arXiv 2209.14792, Sec. 3.3) gives some frames,
zeros for the others, and a mask that says which.

Super-resolution (Imagen Video, arXiv 2210.02303, Sec. 2.2 and 2.5) gives the
clip at a lower frame rate, its frames repeated, or at a smaller size, enlarged
bilinearly; with noise of a random level, which the network is told, so that it
learns to mend what the stage before it has done wrong,

  z = sqrt(abar_s) given + sqrt(1 - abar_s) eps,   s uniform in [0, S).    (1)

Everything is concatenated to x_t along the channels. Clips are x_0 in the
diffusion model's units, `f h w c`. Which condition a stage has, its name tells.
"""

from collections.abc import Callable
import dataclasses
from typing import NamedTuple

from einops import rearrange, repeat
from jaxtyping import Float
from ml_collections import ConfigDict
import numpy as np
from skimage import transform

from tav_jax.sampling.schedule import Schedule
from tav_jax.types import Array

NOISE_LEVEL = "noise_level"
"""The scalar that tells a network s of Eq. (1)."""

SHARED_NOISE = "shared_noise"
"""Setting: whether all frames start from one noise."""

NOISE = "noise"
"""Setting: S of Eq. (1) in training, s in sampling, as shares of all timesteps.
"""

Clip = Float[Array, "f h w c"]


class Given(NamedTuple):
  """What the network is given of one clip.

  Attributes:
    channels: Beside those of x_t, `f h w d`.
    scalars: By name.
  """

  channels: Clip
  scalars: dict[str, np.float32]


@dataclasses.dataclass(frozen=True)
class Interpolation:
  """Frames, of which those in between (or before, or after) are to be made."""

  scalars: tuple[str, ...] = ()

  def width(self, channels: int) -> int:
    """Number of channels that are given."""
    return channels + 1

  def draw(self, x0: Clip, rng: np.random.Generator) -> Given:
    """For training: every so many frames, or some first or last ones."""
    frames = len(x0)
    if rng.random() < 0.5:
      mask = np.arange(frames) % rng.integers(2, max(3, frames)) == 0
    else:
      mask = np.arange(frames) < rng.integers(1, frames)
      mask = mask[::rng.choice((-1, 1))]
    return self.of(x0, mask)

  def of(self, x0: Clip, mask: np.ndarray) -> Given:
    """For sampling: the frames where a mask `f` is true."""
    seen = np.broadcast_to(
        mask[:, None, None, None], (*x0.shape[:3], 1)).astype(np.float32)
    return Given(np.concatenate([x0 * seen, seen], axis=-1), {})


@dataclasses.dataclass(frozen=True)
class SuperResolution:
  """A coarser clip, brought to the finer one's shape.

  Attributes:
    coarsen: From a clip to the coarser one.
    bring: From a coarser clip to the finer one's shape.
    schedule: Schedule of the noise, Eq. (1).
    most: S of Eq. (1).
  """

  coarsen: Callable[[Clip], Clip]
  bring: Callable[[Clip], Clip]
  schedule: Schedule
  most: int
  scalars: tuple[str, ...] = (NOISE_LEVEL,)

  def width(self, channels: int) -> int:
    """Number of channels that are given."""
    return channels

  def draw(self, x0: Clip, rng: np.random.Generator) -> Given:
    """For training: the clip made coarser, with noise of a random level."""
    return self.of(self.coarsen(x0), int(rng.integers(self.most)), rng)

  def of(self, coarse: Clip, level: int, rng: np.random.Generator) -> Given:
    """For sampling: Eq. (1) of a coarser clip, with s = `level`."""
    given = self.bring(coarse)
    abar = self.schedule.alphas_cumprod[level]
    noise = rng.standard_normal(given.shape, np.float32)
    noisy = np.sqrt(abar) * given + np.sqrt(1 - abar) * noise
    return Given(
        noisy.astype(np.float32), {NOISE_LEVEL: np.float32(level)})


def temporal(schedule: Schedule, most: int, factor: int) -> SuperResolution:
  """`factor` times as many frames, and as many a second."""
  return SuperResolution(
      lambda x: x[::factor],
      lambda x: repeat(x, "f ... -> (f r) ...", r=factor), schedule, most)


def spatial(schedule: Schedule, most: int, factor: int) -> SuperResolution:
  """`factor` times the height and width."""
  return SuperResolution(
      lambda x: shrunk(x, factor), lambda x: enlarged(x, factor), schedule,
      most)


def shrunk(x: Clip, factor: int) -> Float[Array, "f H W c"]:
  """The mean over squares of `factor` pixels' side."""
  return rearrange(
      x, "f (h i) (w j) c -> f h w c i j", i=factor, j=factor).mean((-2, -1))


def enlarged(x: Clip, factor: int) -> Float[Array, "f H W c"]:
  """`factor` times the height and width, bilinearly."""
  frames, height, width, channels = x.shape
  return transform.resize(
      x, (frames, factor * height, factor * width, channels), order=1,
      mode="edge", anti_aliasing=False, preserve_range=True)


Condition = Interpolation | SuperResolution


def of_stage(name: str, config: ConfigDict) -> Condition | None:
  """The condition of a stage; None for a network that is given a text alone.

  Args:
    name: The stage.
    config: The stage's config; of super-resolution, `clips.factor` and
      `clips.noise`, the largest share of the schedule's timesteps that the
      condition's noise has.
  """
  if name == "interpolation":
    return Interpolation()
  if name not in SUPER_RESOLUTION:
    return None
  schedule = Schedule(**config.schedule)
  most = max(1, round(config.clips.noise * schedule.num_train_steps))
  return SUPER_RESOLUTION[name](schedule, most, config.clips.factor)


SUPER_RESOLUTION = {
    "temporal_super_resolution": temporal,
    "spatial_super_resolution": spatial}
"""Stages whose network makes a clip finer, and the condition of each."""

STAGES = ("diffusion", "interpolation", *SUPER_RESOLUTION)
"""The stages whose network is a diffusion model."""

IN_TIME = ("interpolation", "temporal_super_resolution")
"""Those of them that add frames."""
