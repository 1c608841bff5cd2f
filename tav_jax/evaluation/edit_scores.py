"""Scores of an edited video that need no true edit, beside its source's."""

import dataclasses
import functools

from tav_jax.measures import motion, optical_flow, warping
from tav_jax.measures.clip_score import Scorer
from tav_jax.measures.optical_flow import Flows, Frames, Masks


@dataclasses.dataclass(frozen=True)
class Source:
  """The video that edits were made from; its flow is estimated once.

  Attributes:
    frames: Its frames.
    caption: What they show, if known.
  """

  frames: Frames
  caption: str | None = None

  @functools.cached_property
  def flow(self) -> Flows:
    """Its flow, of frames that are reduced if they are large."""
    return optical_flow.estimate(optical_flow.reduced(self.frames))

  @functools.cached_property
  def valid(self) -> Masks:
    """Where it moves and obeys its flow."""
    return warping.valid(optical_flow.reduced(self.frames), self.flow)


def scores(
    scorer: Scorer, frames: Frames, prompt: str, source: Source | None
) -> dict[str, float | None]:
  """All scores of `docs/measuring.md` but PickScore.

  Args:
    scorer: The CLIP.
    frames: The edited video.
    prompt: What it should show.
    source: The video that it was made from, with as many frames of the same
      size; scores that need it or its caption are None without.
  """
  small = optical_flow.reduced(frames)
  flow = optical_flow.estimate(small)
  beside: dict[str, float | None] = {
      "warping error": None, "flow error": None, "flow direction": None}
  if source is not None:
    beside = {
        "warping error": warping.warping_error(
            small, source.flow, source.valid),
        "flow error": motion.flow_error(flow, source.flow),
        "flow direction": motion.flow_direction(flow, source.flow)}
  return scorer.edit_scores(
      frames, prompt, source.caption if source else None) | beside | {
          "flicker": motion.flicker(frames),
          "dynamic degree": motion.dynamic_degree(flow)}
