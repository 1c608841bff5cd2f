"""Clips of different models in one form, and what is measured of them."""

from collections.abc import Mapping, Sequence
import dataclasses
from typing import NamedTuple

from einops import rearrange
from jaxtyping import Float, UInt8
import numpy as np
from PIL import Image

from tav_jax.data import video
from tav_jax.errors import InputError
from tav_jax.measures import clip_score, frechet, motion, optical_flow
from tav_jax.measures.clip_score import Scorer
from tav_jax.measures.psnr import psnr
from tav_jax.storybook.judge import Judge
from tav_jax.storybook.world import motion as paths
from tav_jax.storybook.world import scene
from tav_jax.storybook.world.render import render

Clips = UInt8[np.ndarray, "b f h w 3"]
_Brought = UInt8[np.ndarray, "b _ _ _ 3"]

FRAMES, MOTION = "frames' distance", "motion distance"
_UNIT = 10.0  # Length of a feature; distances read well so.


class Form(NamedTuple):
  """What clips have in common when they are measured.

  Attributes:
    frames: Frames of a clip.
    fps: Frames a second.
    size: Height and width in pixels.
  """

  frames: int
  fps: float
  size: int


class World(NamedTuple):
  """How the drawings were made that a model has learnt from.

  Attributes:
    free: Whether their looks and cameras are random.
    size: Their height and width in pixels.
    frames: Frames of a clip, of `dataset.SECONDS`.
  """

  free: bool
  size: int
  frames: int

  def __str__(self) -> str:
    looks = "random looks" if self.free else "usual looks"
    return f"{looks}, {self.frames}x{self.size}x{self.size}"

  def draw(self, scenes: Sequence[scene.Scene]) -> Clips:
    """The clips that begin with these scenes."""
    return np.stack([
        np.stack([render(s, self.size) for s in paths.video(
            first, self.frames)]) for first in scenes])


def scenes(
    count: int, seed: int, held_out: bool, free: bool, drawing: int = 0
) -> list[scene.Scene]:
  """New scenes; captions depend on neither `free` nor `drawing`.

  Args:
    count: How many.
    seed: Seed of the scenes.
    held_out: Whether their pairs of subject and place are held out.
    free: Whether looks and cameras are random.
    drawing: Of another number, what captions leave open is drawn anew.
  """
  found = []
  for number in range(count):
    first, again = (
        scene.random_scene(np.random.default_rng(
            [seed, _STREAM + which, number]), held_out, free)
        for which in (0, drawing))
    found.append(dataclasses.replace(
        again, **{name: getattr(first, name) for name in _SAID}))
  return found


_STREAM = 3  # Streams 0 to 2 are the datasets'.
_SAID = "subject", "colour", "wearing", "verb", "place", "style"


def brought(clips: Clips, fps: float, form: Form) -> _Brought:
  """Clips in the common form: the frames nearest to its times, resized.

  Larger frames are averaged over pixels, smaller ones enlarged bilinearly.

  Raises:
    InputError: If they have fewer frames a second, or are shorter.
  """
  which = np.round(np.arange(form.frames) * fps / form.fps).astype(int)
  if fps < form.fps or which[-1] >= clips.shape[1]:
    raise InputError(
        f"{clips.shape[1]} frames at {fps:g} a second; expected clips of "
        f"form.frames={form.frames} at form.fps={form.fps:g} a second, or more")
  return resized(clips[:, which], form.size)


def resized(clips: Clips, size: int) -> _Brought:
  """Clips of square frames, at another size."""
  how = (Image.Resampling.BOX if clips.shape[2] >= size
         else Image.Resampling.BILINEAR)
  return np.stack([
      np.stack([
          np.asarray(Image.fromarray(frame).resize((size, size), how))
          for frame in clip]) for clip in clips])


class Measured(NamedTuple):
  """What is measured of a system's clips.

  Attributes:
    scores: Numbers of each clip, by name.
    features: What Fréchet distances are of, by the distance's name.
  """

  scores: Mapping[str, Sequence[float]]
  features: Mapping[str, frechet.Features]


def features(
    embeds: Float[np.ndarray, "b f e"], start: int = 0
) -> dict[str, frechet.Features]:
  """What distances are of: frames, and differences of neighbours.

  Args:
    embeds: Unit vectors of frames.
    start: The first frame that counts; of the difference from the frame before
      it, too.
  """
  scaled = _UNIT * embeds
  return {
      FRAMES: scaled[:, start:],
      MOTION: np.diff(scaled, axis=1)[:, max(0, start - 1):]}


def embed(scorer: Scorer, clips: Clips) -> Float[np.ndarray, "b f e"]:
  """Unit vectors of frames."""
  found = scorer.embed_frames(rearrange(clips, "b f h w c -> (b f) h w c"))
  return rearrange(found, "(b f) e -> b f e", b=len(clips))


def measure(
    scorer: Scorer, referee: Judge, clips: Clips,
    scenes: Sequence[scene.Scene],
) -> Measured:
  """Measures clips of scenes' captions.

  Args:
    scorer: The CLIP.
    referee: The judge.
    clips: The clips, in the common form.
    scenes: Scenes whose captions they were made of, in order.
  """
  embeds = embed(scorer, clips)
  flows = [optical_flow.estimate(clip) for clip in clips]
  return Measured({
      "caption shown": shown(referee, clips, scenes),
      "dynamic degree": [motion.dynamic_degree(flow) for flow in flows],
      "frame consistency": [
          clip_score.frame_consistency(frames) for frames in embeds]},
      features(embeds))


def shown(
    referee: Judge, clips: Clips, scenes: Sequence[scene.Scene]
) -> list[float]:
  """What of a caption the judge sees: per cent of groups, mean over frames."""
  seen = referee(video.to_model(
      rearrange(clips, "b f h w c -> (b f) h w c")))
  frames = clips.shape[1]
  right = np.mean([
      rearrange(seen[group], "(b f) -> b f", f=frames)
      == np.array([[scene.labels(first)[group]] for first in scenes])
      for group in scene.GROUPS], axis=0)
  return (100 * right.mean(axis=1)).tolist()


def at_borders(
    clips: Clips, embeds: Float[np.ndarray, "b f e"], block: int, overlap: int
) -> dict[str, list[float]]:
  """How clips that were made block after block go on at the blocks' borders.

  Args:
    clips: The clips.
    embeds: Unit vectors of their frames.
    block: Frames of a block.
    overlap: Frames that a block has from the one before.

  Returns:
    For each clip the mean PSNR of neighbours within later blocks less that of
    neighbours across borders, in dB, of which 0 is no border to be seen; and
    the mean cosine of neighbours across borders, in per cent.
  """
  later = np.arange(block, clips.shape[1])
  first = (later - block) % (block - overlap) == 0  # Of their blocks.
  if first.all():
    raise InputError(
        f"extension.overlap={overlap}: expected blocks of two new frames or "
        f"more, so {block - 2} at most")
  jumps, cosines = [], []
  for clip, vectors in zip(clips, embeds, strict=True):
    near = np.array([psnr(clip[i - 1], clip[i]) for i in later])
    jumps.append(float(near[~first].mean() - near[first].mean()))
    cosines.append(float(100 * np.mean([
        vectors[i - 1] @ vectors[i] for i in later[first]])))
  return {"jump at borders": jumps, "consistency across borders": cosines}
