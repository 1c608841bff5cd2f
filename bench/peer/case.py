"""What both frameworks are given, and how far apart their results are.

Imports no framework, so that neither one's time or memory includes the other's.
"""

from collections.abc import Callable
import dataclasses
import json
import pathlib
import zlib

from ml_collections import ConfigDict
import numpy as np

from configs import default, storybook

# Steps of tuning or sampling that a run of this project takes at a time.
STEPS = 10

_EMBEDDED = pathlib.Path("tav_jax/storybook/checkpoint")


@dataclasses.dataclass(frozen=True)
class Case:
  """One checkpoint at one size.

  Attributes:
    checkpoint: A diffusers directory, or "storybook".
    frames: Frames of the clip.
    size: Its height and width, in pixels.
    dtype: Type of PyTorch's weights and arithmetic, "float32" or "bfloat16".
    memory: This project's `model.memory`.
  """

  checkpoint: str
  frames: int
  size: int
  dtype: str = "float32"
  memory: str = "given"

  @property
  def embedded(self) -> bool:
    """Whether it is the embedded model, which has a video to tune on."""
    return self.checkpoint == "storybook"

  @property
  def root(self) -> pathlib.Path:
    """The checkpoint's directory."""
    return _EMBEDDED if self.embedded else pathlib.Path(self.checkpoint)

  def config(self) -> ConfigDict:
    """The config that a run of `tav_jax.tune` would have."""
    config = (storybook if self.embedded else default).get_config()
    config.model.checkpoint = self.checkpoint
    config.model.memory = self.memory
    config.video.frames = self.frames
    config.video.width = config.video.height = self.size
    config.sampling.prompts = config.sampling.prompts[:1]
    config.sampling.batch_size = 1
    return config

  def inputs(self) -> dict[str, np.ndarray]:
    """Random `x0` and `noise`, `1 f h w c`; `pixels`, `1 f H W 3`, in [-1, 1];
    `text` and `negative`, `1 l e`; and a timestep, `1`."""
    read = lambda file: json.loads((self.root / file).read_text())
    unet, text = read("unet/config.json"), read("text_encoder/config.json")
    levels = len(read("vae/config.json")["block_out_channels"])
    side = self.size // 2 ** (levels - 1)
    random = np.random.default_rng(0)
    normal: Callable[..., np.ndarray] = lambda *shape: (
        random.standard_normal(shape, np.float32))
    latents = (1, self.frames, side, side, unet["in_channels"])
    embeds = (
        1, text["max_position_embeddings"], unet["cross_attention_dim"])
    return {
        "x0": normal(*latents), "noise": normal(*latents),
        "pixels": random.uniform(
            -1, 1, (1, self.frames, self.size, self.size, 3)).astype(
                np.float32),
        "text": normal(*embeds), "negative": normal(*embeds),
        "timestep": np.array([500], np.int32)}


def temporal_weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
  """A random weight of a temporal attention, under its torch name.

  It is not zero, as a new temporal attention's output projection is, which
  would hide the errors of all the others.
  """
  random = np.random.default_rng(zlib.crc32(name.encode()))
  bound = np.float32(shape[-1] ** -0.5)
  return bound * random.uniform(-1, 1, shape).astype(np.float32)


def apart(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float]:
  """Relative largest difference, and relative norm of the difference."""
  ours, theirs = (x.astype(np.float64) for x in (ours, theirs))
  norm = np.linalg.norm
  return (
      float(np.abs(ours - theirs).max() / np.abs(theirs).max()),
      float(norm(ours - theirs) / norm(theirs)))
