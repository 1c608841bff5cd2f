r"""Scores of the paper (arXiv 2212.11565, Sec. 4.2), on CLIP embeddings.

With e_1 ... e_f the unit vectors of a video's frames and t that of its prompt,
in CLIP's space (models/clip.py, Eq. 1):

  frame consistency       100 mean over pairs i < j of e_i . e_j         (1)
  adjacent consistency    100 mean over i of e_i . e_{i+1}               (2)
  textual alignment       100 mean over i of e_i . t                     (3)
  PickScore               exp(s) mean over i of e_i . t                  (4)
  first-previous          100 mean over i > 1 of (max(0, e_i . e_{i-1})
  consistency             + max(0, e_i . e_1)) / 2                       (5)
  edit success            100 mean over i of [e_i . t > e_i . t'],       (6)
                          t' of the source's caption

(1) is the paper's; some later papers report (2) under its name. (3) is the mean
of transformers' `logits_per_image` for OpenAI's CLIPs, whose exp(s) is 100;
CLIPScore has another factor. (4) is of another CLIP (arXiv 2305.01569), with a
temperature of its own. (5) is VBench's background consistency (CVPR 2024,
vbench/background_consistency.py, with ViT-B/32). (6) is the frame accuracy of
FateZero (ICCV 2023) and the success rate of EditBoard (AAAI 2025,
editboard/success_rate.py), where a tie succeeds, too. The paper's CLIP is
openai/clip-vit-large-patch14.

What wins trivially: a still video in (1), (2) and (5); a picture of the text
alone, without the source's motion, in (3), (4) and (6).
"""

import dataclasses
import functools

import jax
from jaxtyping import Float, UInt8
import numpy as np
from PIL import Image

from tav_jax.errors import InputError
from tav_jax.models.clip import CLIP
from tav_jax.pretrained.clip import PretrainedCLIP
from tav_jax.pretrained.clip_config import Preprocessing
from tav_jax.pretrained.parts import token_ids
from tav_jax.types import Array, Params

_AT_A_TIME = 32
_LONGEST = 50  # Times the shorter side; only the middle of a frame is scored.

Frames = UInt8[np.ndarray, "f h w c"]


def frame_consistency(frames: Float[Array, "f e"]) -> float:
  """Eq. (1), of unit vectors of two frames or more."""
  cosines = np.einsum("ie,je->ij", frames, frames)
  return float(100 * cosines[np.triu_indices(len(frames), 1)].mean())


def adjacent_consistency(frames: Float[Array, "f e"]) -> float:
  """Eq. (2), of unit vectors of two frames or more."""
  return float(100 * np.einsum("ie,ie->i", frames[:-1], frames[1:]).mean())


def first_previous_consistency(frames: Float[Array, "f e"]) -> float:
  """Eq. (5), of unit vectors of two frames or more."""
  previous = np.einsum("ie,ie->i", frames[1:], frames[:-1])
  first = np.einsum("ie,e->i", frames[1:], frames[0])
  return float(50 * (previous.clip(0) + first.clip(0)).mean())


def edit_success(
    frames: Float[Array, "f e"], text: Float[Array, " e"],
    caption: Float[Array, " e"],
) -> float:
  """Eq. (6), of unit vectors: per cent of frames."""
  cosine = lambda text: np.einsum("ie,e->i", frames, text)
  return float(100 * np.mean(cosine(text) > cosine(caption)))


def alignment(frames: Float[Array, "f e"], text: Float[Array, " e"]) -> float:
  """The mean cosine in Eqs. (3) and (4), of unit vectors."""
  return float(np.einsum("ie,e->i", frames, text).mean())


@dataclasses.dataclass(frozen=True)
class Scorer:
  """A CLIP that embeds frames (uint8) and texts (strings), and scores them."""

  clip: PretrainedCLIP

  @functools.cached_property
  def _params(self) -> Params:
    """Moved to the device once, and not at every call; float32, for scores
    that can be compared with others'."""
    return jax.device_put(self.clip.params)

  def embed_frames(self, frames: Frames) -> Float[np.ndarray, "f e"]:
    """Unit vectors of frames, which are prepared as the checkpoint demands."""
    pixels = np.stack([
        prepare(frame, self.clip.preprocessing) for frame in frames])
    return np.concatenate([
        self._apply("embed_images", pixels[i:i + _AT_A_TIME])
        for i in range(0, len(pixels), _AT_A_TIME)])

  def embed_text(self, text: str) -> Float[np.ndarray, " e"]:
    """Unit vector of a text."""
    tokens, _ = token_ids(
        self.clip.tokenizer, self.clip.config.text.positions, [text])
    return self._apply("embed_texts", tokens)[0]

  def paper_scores(self, frames: Frames, prompt: str) -> dict[str, float]:
    """Eqs. (1) to (3) of a video and its prompt."""
    return _paper_scores(self.embed_frames(frames), self.embed_text(prompt))

  def edit_scores(
      self, frames: Frames, prompt: str, caption: str | None
  ) -> dict[str, float | None]:
    """Eqs. (1) to (3), (5) and (6); (6) is None without the source's caption.
    """
    embeds, text = self.embed_frames(frames), self.embed_text(prompt)
    return _paper_scores(embeds, text) | {
        "first-previous consistency": first_previous_consistency(embeds),
        "edit success": None if caption is None else edit_success(
            embeds, text, self.embed_text(caption))}

  def pick_score(self, frames: Frames, prompt: str) -> float:
    """Eq. (4), if this CLIP is PickScore's."""
    scale = float(np.exp(self.clip.params["logit_scale"]))
    return scale * alignment(
        self.embed_frames(frames), self.embed_text(prompt))

  def _apply(self, method: str, inputs: np.ndarray) -> np.ndarray:
    return np.asarray(
        _embed(self.clip.config, method, self._params, inputs))


def _paper_scores(
    embeds: Float[Array, "f e"], text: Float[Array, " e"]
) -> dict[str, float]:
  return {
      "frame consistency": frame_consistency(embeds),
      "adjacent consistency": adjacent_consistency(embeds),
      "textual alignment": 100 * alignment(embeds, text)}


@functools.partial(jax.jit, static_argnums=(0, 1))
def _embed(config, method, params, inputs):
  return CLIP(config).apply({"params": params}, inputs, method=method)


def prepare(
    frame: UInt8[np.ndarray, "h w c"], numbers: Preprocessing
) -> Float[np.ndarray, "H W c"]:
  """A frame as a CLIP wants it; what transformers' `CLIPImageProcessor` does.

  Its short edge is resized, its middle cut out, and the cut normalised.

  Raises:
    InputError: If it is too long and narrow to be resized first.
  """
  height, width = frame.shape[:2]
  if max(height, width) > _LONGEST * min(height, width):
    raise InputError(
        f"a frame of {width}x{height} pixels: expected a longer side of at "
        f"most {_LONGEST} times the shorter, to be scored")
  size, crop = numbers.resize, numbers.crop
  long = size * max(height, width) // min(height, width)
  image = Image.fromarray(frame).resize(
      (long, size) if width > height else (size, long),
      Image.Resampling(numbers.resample))
  left, top = (image.width - crop) // 2, (image.height - crop) // 2
  cut = np.asarray(image.crop((left, top, left + crop, top + crop)))
  mean, std = (
      np.asarray(x, np.float32) for x in (numbers.mean, numbers.std))
  return (cut / np.float32(255) - mean) / std
