"""A diffusion stage's network, and how it is trained and asked."""

from collections.abc import Sequence
import dataclasses
from typing import Any

import jax
from jaxtyping import Float
from ml_collections import ConfigDict
import numpy as np

from tav_jax.models.clip import CLIPTextConfig
from tav_jax.models.unet import UNetConfig
from tav_jax.pipelines import generation
from tav_jax.pretrained.parts import TextEncoder, token_ids
from tav_jax.pretraining import conditions, cuts, networks
from tav_jax.pretraining import pictures as pictures_lib
from tav_jax.pretraining.spaces import Space
from tav_jax.sampling.methods import Method
from tav_jax.sampling.schedule import Schedule
from tav_jax.types import Array, Params, Video


@dataclasses.dataclass(frozen=True)
class Task:
  """What a diffusion stage has learnt, or is to learn.

  Attributes:
    config: The stage's config.
    unet: The network.
    text: The text encoder; None for a network without text.
    tokenizer: Tokenizer of its texts, or None.
    schedule: The noise schedule.
    cuts: How training clips are cut out.
    condition: What the network is given besides a text; None for nothing.
    coarser: By how much clips are smaller than those of the dataset.
  """

  config: ConfigDict
  unet: UNetConfig
  text: CLIPTextConfig | None
  tokenizer: Any
  schedule: Schedule
  cuts: cuts.Cuts
  condition: conditions.Condition | None
  coarser: int

  def example(
      self, space: Space, record: dict, rng: np.random.Generator
  ) -> dict[str, Any]:
    """A training example, as `training.diffusion.loss` takes it."""
    which, stride = self.cuts.clip(rng)
    found = self._told(
        space, record, which, float(record.get("fps", 0)) / stride, rng)
    if self.cuts.images:
      source = space.pictures.splits["train"]
      others = [source[int(rng.integers(len(source)))]
                for _ in range(self.cuts.images)]
      found["images"] = jax.tree.map(lambda *x: np.stack(x), *[
          self._told(space, other, self.cuts.picture(rng), 0.0, rng)
          for other in others])
    return found

  def _told(self, space, record, which, fps: float, rng) -> dict[str, Any]:
    """Some frames of a record, and what the network is told of them."""
    found: dict[str, Any] = {
        k: self.smaller(x) for k, x in space.moments(record, which).items()}
    scalars = {}
    if self.text is not None:
      caption = pictures_lib.training_caption(record, rng)
      if rng.random() < self.config.model.no_caption:
        caption = ""
      found["tokens"] = self.tokens([caption])[0]
    if networks.FRAME_RATE in self.unet.scalars:
      scalars[networks.FRAME_RATE] = np.float32(fps)
    if self.condition is not None:
      found["given"], more = self.condition.draw(found["mean"], rng)
      scalars |= more
    return found | {"scalars": scalars} if scalars else found

  def smaller(self, x: np.ndarray) -> np.ndarray:
    """A clip `f h w c` of the dataset at the size of this stage."""
    return x if self.coarser == 1 else np.asarray(
        conditions.shrunk(x, self.coarser))

  def tokens(self, texts: Sequence[str]) -> np.ndarray:
    """Token ids of texts, `b l`."""
    assert self.text is not None
    return token_ids(self.tokenizer, self.text.positions, texts)[0]

  def method(self, **changes) -> Method:
    """How the stage's config says that clips are sampled, with some changes."""
    settings = dict(self.config.sampling)
    for own in (conditions.NOISE, conditions.SHARED_NOISE):
      settings.pop(own, None)
    settings.setdefault(
        "sampler", "ddim" if self.config.model.latent else "ancestral")
    return Method(**settings | changes)

  def sample(
      self, params: Params, captions: Sequence[str], *, frames: int, seed: int,
      fps: float = 0.0, given: Sequence[conditions.Given] = (),
      method: Method | None = None, begin: Video | None = None,
  ) -> Float[Array, "b F h w c"]:
    """x_0 of clips.

    Args:
      params: `unet` and, with text, `text`.
      captions: What the clips show; ignored without text.
      frames: Frames of a clip, or of each of its blocks.
      seed: Seed of all noise.
      fps: Frames a second, of which a network may be told.
      given: What the network is given of each clip, if it has a condition.
      method: The sampler; by default as the stage's config says.
      begin: x_0 of the frames that the clips begin with.
    """
    embeds = blank = None
    if self.text is not None:
      encode = TextEncoder(self.text, params["text"])
      embeds, blank = (encode(self.tokens(x)) for x in (captions, [""]))
    count, size = len(captions), self.unet.sample_size
    assert size is not None  # Known of every network that is trained here.
    scalars: dict[str, Array] = {}
    if networks.FRAME_RATE in self.unet.scalars:
      scalars[networks.FRAME_RATE] = np.full(count, fps, np.float32)
    for name in given[0].scalars if given else ():
      scalars[name] = np.array([one.scalars[name] for one in given])
    told = generation.Told(
        np.stack([one.channels for one in given]) if given else None, scalars)
    noise = generation.noise(
        seed, (count, frames, size, size, self.unet.out_channels),
        shared=self.config.sampling.get(conditions.SHARED_NOISE, False))
    return generation.sample(
        self.unet, self.schedule, params["unet"], noise, embeds, blank,
        method=method or self.method(), seed=seed, told=told, begin=begin)


def make(
    name: str, config: ConfigDict, size: int, channels: int,
    text: CLIPTextConfig | None, tokenizer,
) -> Task:
  """The task of a stage.

  Args:
    name: The stage.
    config: Its config.
    size: Height and width of the dataset's clips, as the diffusion model sees
      them.
    channels: Their channels.
    text: The text encoder, or None.
    tokenizer: Its tokenizer.
  """
  clips = config.get("clips")
  condition = conditions.of_stage(name, config)
  coarser = 1 if clips is None else config.data.size // clips.get(
      "size", config.data.size)
  unet = networks.network(
      config.model, size // coarser, channels,
      None if text is None else text.width,
      condition.width(channels) if condition else 0,
      condition.scalars if condition else ())
  return Task(
      config, unet, text, tokenizer, Schedule(**config.schedule),
      cuts.of(pictures_lib.frames_of(config.data), clips), condition, coarser)
