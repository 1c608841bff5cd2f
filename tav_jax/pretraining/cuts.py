"""Training clips, cut at random out of longer ones."""

import dataclasses

from ml_collections import ConfigDict
import numpy as np


@dataclasses.dataclass(frozen=True)
class Cuts:
  """How training clips are cut out of the clips of a dataset.

  Attributes:
    total: Frames of the dataset's clips.
    frames: Frames of a training clip.
    strides: Strides of which a clip's is drawn: its frame rate is the dataset's
      divided by it (Make-A-Video, arXiv 2209.14792, Sec. 3.2.3).
    images: Independent pictures that are trained on beside each clip (Video
      Diffusion Models, arXiv 2204.03458, Sec. 3.1): frames of any clips.
  """

  total: int = 1
  frames: int = 1
  strides: tuple[int, ...] = (1,)
  images: int = 0

  def clip(self, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """Numbers of the frames of a training clip, and their stride."""
    stride = self.strides[rng.integers(len(self.strides))]
    start = rng.integers(self.total - stride * (self.frames - 1))
    return start + stride * np.arange(self.frames), stride

  def picture(self, rng: np.random.Generator) -> np.ndarray:
    """Number of the one frame of a picture."""
    return rng.integers(self.total, size=1)


def of(total: int, clips: ConfigDict | None) -> Cuts:
  """The cuts of the config's section `clips`; without one, of pictures.

  Args:
    total: Frames of the dataset's clips; 1 for pictures.
    clips: `frames`, `strides` and `images`.
  """
  return Cuts() if clips is None else Cuts(
      total, clips.frames, tuple(clips.strides), clips.images)
