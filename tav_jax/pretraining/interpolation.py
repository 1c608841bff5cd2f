"""More frames a second, by a network that is given frames and their mask."""

from collections.abc import Sequence

from jaxtyping import Float
import numpy as np

from tav_jax.pretraining import conditions, tasks
from tav_jax.types import Params, Video


def interpolate(
    task: tasks.Task, params: Params, captions: Sequence[str], x0: Video,
    every: int, seed: int, fps: float,
) -> Float[np.ndarray, "b F h w c"]:
  """`every` frames for each of a clip's but the last; its own stay.

  Blocks of as many frames as the network makes at once begin and end with given
  frames, and are made together (Make-A-Video, Sec. 3.3: 16 frames become 76).

  Args:
    task: The interpolation.
    params: Its parameters.
    captions: A text for each clip.
    x0: Clips, `b f h w c`.
    every: Distance of the given frames in the new clip, at least 1 and less
      than the frames that the network makes at once.
    seed: Seed of the noise.
    fps: Frames a second of the new clip.
  """
  block, gaps = task.cuts.frames, x0.shape[1] - 1
  assert isinstance(task.condition, conditions.Interpolation)
  at_once = min((block - 1) // every, gaps)
  starts = [min(i, gaps - at_once) for i in range(0, gaps, at_once)]
  mask = np.isin(np.arange(block), every * np.arange(at_once + 1))
  given = []
  for clip in np.asarray(x0):
    for start in starts:
      frames = np.zeros((block, *clip.shape[1:]), np.float32)
      frames[mask] = clip[start:start + at_once + 1]
      given.append(task.condition.of(frames, mask))
  made = np.asarray(task.sample(
      params, [caption for caption in captions for _ in starts], frames=block,
      seed=seed, fps=fps, given=given))
  made = made.reshape(len(x0), len(starts), *made.shape[1:])
  whole = np.zeros((len(x0), every * gaps + 1, *x0.shape[2:]), np.float32)
  for i, start in enumerate(starts):
    some = slice(every * start, every * (start + at_once) + 1)
    whole[:, some] = made[:, i, :every * at_once + 1]
  whole[:, ::every] = x0
  return whole
