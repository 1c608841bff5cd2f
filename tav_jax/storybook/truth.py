"""What a source video and a prompt determine of an edit of the drawn world.

An edit's true video shares motion, layout and look with its source. Of these, a
source and a prompt determine what the edit leaves. They do not determine the
layout and look of another place, or the pattern of another subject's clothes.
"""

import itertools
from typing import NamedTuple

from jaxtyping import Bool, Float, UInt8
import numpy as np

from tav_jax.storybook.world import flow as flows
from tav_jax.storybook.world import motion, render
from tav_jax.storybook.world.look import FREE
from tav_jax.storybook.world.scene import Scene

Frames = UInt8[np.ndarray, "f h w 3"]
Masks = Bool[np.ndarray, "_ h w"]

_SAME = 8  # Of 255: differences that the eye does not see.
_STANDS_OUT = 32
_ALIKE = 0.5  # Of a pixel.

_OF_SUBJECT = ("pattern", "accent", "tone")


class Clip(NamedTuple):
  """A drawn clip and what is known of it.

  Attributes:
    first: The scene that it begins with.
    frames: Its frames.
    empty: Its frames without the subject and what the subject brings.
    subject: The pixels of the subject and what it brings.
    flow: The true flow from frames 2 to f to the frames before, right and down.
    visible: Which pixels of frames 2 to f are visible in the frames before.
  """

  first: Scene
  frames: Frames
  empty: Frames
  subject: Masks
  flow: Float[np.ndarray, "n h w 2"]
  visible: Bool[np.ndarray, "n h w"]


def clip(first: Scene, frames: int, size: int) -> Clip:
  """The clip that begins with a scene."""
  scenes = motion.video(first, frames)
  draw = lambda what: np.stack([what(scene, size) for scene in scenes])
  true = [
      flows.flow(now, before, size)
      for before, now in itertools.pairwise(scenes)]
  return Clip(
      first, draw(render.render), draw(render.without_subject),
      draw(render.silhouette), np.stack([pair.flow for pair in true]),
      np.stack([pair.visible for pair in true]))


def unedited(source: Clip, true: Clip) -> Masks:
  """The pixels that an edit leaves: those where the true edit looks the same.

  Those that happen to look the same do not count: in another place only the
  subject is left, and nothing in another style, or with both changed.
  """
  apart = np.abs(true.frames.astype(int) - source.frames).max(axis=-1)
  same = apart <= _SAME
  other = lambda what: getattr(source.first, what) != getattr(true.first, what)
  if other("style") or (other("subject") and other("place")):
    return np.zeros_like(same)
  return same & source.subject & true.subject if other("place") else same


def moves_alike(source: Clip, true: Clip) -> Masks:
  """The pixels whose true flow is the source's, visible in both.

  Another place scrolls at other speeds, and another subject has other limbs.
  """
  apart = np.linalg.norm(source.flow - true.flow, axis=-1)
  return source.visible & true.visible & (apart <= _ALIKE)


def stands_out(frames: Frames, empty: Frames) -> Masks:
  """The pixels of a clip that differ visibly from the empty place."""
  return np.abs(frames.astype(int) - empty).max(axis=-1) > _STANDS_OUT


def kept_look(source: Scene, edited: Scene) -> tuple[str, ...]:
  """The groups of `look.FREE` that an edit leaves as in its source.

  A subject has a pattern, an accent and a tone; all others are the place's. In
  another style, no look is kept.
  """
  if source.style != edited.style:
    return ()
  subject, place = (
      getattr(source, what) == getattr(edited, what)
      for what in ("subject", "place"))
  return tuple(
      group for group in FREE
      if (subject if group in _OF_SUBJECT else place))
