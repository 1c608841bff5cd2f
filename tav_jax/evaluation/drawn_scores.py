"""Scores of an edit of the drawn world against what determines it.

docs/storybook_edit.md defines them.
"""

from collections.abc import Collection

import numpy as np

from tav_jax.data import video
from tav_jax.measures import motion, optical_flow, preservation, warping
from tav_jax.measures.psnr import psnr
from tav_jax.storybook import truth
from tav_jax.storybook.judge import Judge
from tav_jax.storybook.truth import Clip, Frames
from tav_jax.storybook.world import look
from tav_jax.storybook.world.scene import labels

_LEAST = 0.02  # Of the pixels: a fifth of a subject, or so.

Scores = dict[str, float | None]


def scores(
    referee: Judge, frames: Frames, source: Clip, true: Clip
) -> Scores:
  """Scores of an edited video.

  Args:
    referee: The judge, who tells looks if these are random.
    frames: The edited video.
    source: The clip that it was made from.
    true: The true edit.
  """
  left = truth.unedited(source, true)
  alike = truth.moves_alike(source, true) & warping.valid(
      source.frames, source.flow)
  return preservation.preservation(frames, source.frames, left) | {
      "true warping error": warping.warping_error(frames, source.flow, alike),
      **_of_subject(frames, source, true, left),
      **shown(referee, frames, source, true)}


def _of_subject(
    frames: Frames, source: Clip, true: Clip, left: np.ndarray
) -> Scores:
  """Appearance, motion and silhouette of the subject."""
  kept = left & source.subject & true.subject
  follows = motion.flow_error(
      optical_flow.estimate(frames), true.flow,
      true.subject[1:] & true.visible)
  outline = None
  if source.first.place == true.first.place:
    found, wanted = (
        truth.stands_out(clip, true.empty) for clip in (frames, true.frames))
    outline = 100 * float((found & wanted).sum() / (found | wanted).sum())
  return {
      "subject PSNR": (
          psnr(frames[kept], source.frames[kept])
          if source.first.subject == true.first.subject
          and kept.mean() >= _LEAST else None),
      "subject motion error": follows,
      "silhouette": outline}


def shown(
    referee: Judge, frames: Frames, source: Clip, true: Clip
) -> Scores:
  """What the judge sees, in per cent of frames, or of pairs of frames."""
  seen = referee(video.to_model(frames))
  before, after = labels(source.first), labels(true.first)
  changed = {group for group in after if before[group] != after[group]}

  def share(groups: Collection[str], wanted: dict[str, int]) -> float | None:
    return 100 * float(np.mean([
        np.mean(seen[group] == wanted[group]) for group in groups
    ])) if groups else None

  found = {
      "change shown": share(changed, after),
      "rest shown": share(after.keys() - changed, after)}
  if source.first.look != look.USUAL:
    kept = truth.kept_look(source.first, true.first)
    free = [group for group in look.FREE if group not in kept]
    found["look kept"] = share(kept, look.labels(source.first.look))
    found["look agreement"] = 100 * float(np.mean([
        agreement(seen[group]) for group in free])) if free else None
  return found


def agreement(values: np.ndarray) -> float:
  """Share of pairs of frames with the same value, of two frames or more."""
  same = values[:, None] == values
  return float(same[np.triu_indices(len(values), 1)].mean())
