"""The one video, and the examples that are cut from it."""

from collections.abc import Iterator, Sequence
import dataclasses
import itertools

from jaxtyping import Float
from ml_collections import ConfigDict
import numpy as np

from tav_jax.data import video
from tav_jax.errors import about
from tav_jax.pretraining.one_video import STAGES

Frames = Float[np.ndarray, "f h w c"]


@dataclasses.dataclass(frozen=True)
class Clip:
  """The frames of the video.

  Attributes:
    frames: All frames, in [-1, 1].
    trained: How many of them, from the first on, are trained on.
    fps: Frames a second.
  """

  frames: Frames
  trained: int
  fps: float


def load(data: ConfigDict) -> Clip:
  """Reads the video that a config's section `data` names.

  The last `data.held_out` frames are never trained on, neither as a target nor
  as a condition: what networks make of them is measured.

  Raises:
    InputError: If it cannot be read, or has too few frames.
  """
  with about("data."):
    clip = video.read(
        data.source, start=data.start, stride=data.stride, frames=data.frames,
        width=data.width, height=data.height, fit=data.fit, fps=data.fps)
  return Clip(
      video.to_model(clip.frames), data.frames - data.held_out, clip.fps)


def batches(
    stage: str, config: ConfigDict, frames: Frames, start: int
) -> Iterator[dict[str, np.ndarray]]:
  """Batches of a stage from number `start` on; arguments as for `batch`."""
  for step in itertools.count(start):
    yield batch(
        stage, frames, step, seed=config.seed, crop=config.data.crop,
        size=config.optimizer.batch_size,
        gaps_from=tuple(config.loss.gaps_from) if "loss" in config else ())


def batch(
    stage: str, frames: Frames, step: int, *, seed: int, crop: float,
    size: int = 1, gaps_from: Sequence[int] = (),
) -> dict[str, np.ndarray]:
  """The examples of a step, a pure function of the arguments.

  All frames of an example are cut at the same random place.

  Args:
    stage: One of `STAGES`.
    frames: The frames to train on.
    step: Number of the step.
    seed: Seed of the run.
    crop: Share of height and width that an example has.
    size: Number of examples.
    gaps_from: As for `draw_gap`.

  Returns:
    What `training.noise_levels.loss` takes: `x0`, `condition` and, of the
    predictor, `gap`.
  """
  rng = np.random.default_rng((seed, STAGES.index(stage), step))
  count, *whole = frames.shape[:3]
  height, width = (max(1, round(crop * n)) for n in whole)
  examples = []
  for _ in range(size):
    top, left = (
        rng.integers(n - part + 1)
        for n, part in zip(whole, (height, width), strict=True))
    cut = frames[:, top:top + height, left:left + width]
    if stage == "predictor":
      gap = draw_gap(rng, step, gaps_from)
      i = rng.integers(max(0, gap), count + min(0, gap))
      examples.append({
          "x0": cut[i], "condition": cut[i - gap], "gap": np.int32(gap)})
    elif stage == "interpolator":
      i = rng.integers(1, count - 1)
      examples.append({
          "x0": cut[i],
          "condition": np.concatenate([cut[i - 1], cut[i + 1]], axis=-1)})
    else:
      frame = cut[rng.integers(count)]
      examples.append({"x0": frame, "condition": frame[..., :0]})
  return {
      name: np.stack([example[name] for example in examples])
      for name in examples[0]}


def draw_gap(
    rng: np.random.Generator, step: int, gaps_from: Sequence[int]
) -> int:
  """A gap k, negative as often as positive, never 0.

  Args:
    rng: Where it is drawn from.
    step: Number of the step.
    gaps_from: For each distance from 1 on, the step from which it is drawn, as
      often as the shorter ones: (0, 75000, 150000) in the paper.
  """
  reach = sum(step >= first for first in gaps_from)
  return int(rng.integers(1, reach + 1)) * (1 if rng.random() < 0.5 else -1)
