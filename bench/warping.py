r"""Warping errors by true and by estimated flow, of edits of known quality.

  python -m bench.warping --videos=16

For every edit of StorybookEdit, in both editions of the world, it scores the
source, the true edit, its middle frame standing still, its frames shuffled, and
noise, by the source's true flow and by the flow estimated from its frames.
Prints means over videos with 95 % intervals, and how far the flows are apart.
"""

from absl import app, flags
import numpy as np
import tqdm

from tav_jax.evaluation.edit_scores import Source
from tav_jax.evaluation.scoring import summary
from tav_jax.measures import motion, warping
from tav_jax.reports import table
from tav_jax.storybook import edits, truth

_VIDEOS = flags.DEFINE_integer(
    "videos", 16, "Source videos, of five edits each.")
_SIZE, _FRAMES = 64, 8


def rows(source: edits.Source, name: str, rng: np.random.Generator):
  """Both errors of every candidate for every edit of a video."""
  drawn = truth.clip(source.scene, _FRAMES, _SIZE)
  guessed = Source(drawn.frames)
  known = drawn.visible & warping.valid(drawn.frames, drawn.flow)
  for edit in source.edits:
    true = truth.clip(edit.scene, _FRAMES, _SIZE).frames
    for what, video in {
        "the source": drawn.frames,
        "the true edit": true,
        "its middle frame, still": true[[_FRAMES // 2] * _FRAMES],
        "its frames, shuffled": true[rng.permutation(_FRAMES)],
        "noise": rng.integers(0, 256, true.shape, np.uint8)}.items():
      yield {
          "video": what, "source": name,
          "by true flow": warping.warping_error(video, drawn.flow, known),
          "by estimated flow": warping.warping_error(
              video, guessed.flow, guessed.valid)}


def flows(source: edits.Source, name: str):
  """How far the estimated flow is from the true one, where that counts."""
  drawn = truth.clip(source.scene, _FRAMES, _SIZE)
  guessed = Source(drawn.frames)
  known = drawn.visible & warping.valid(drawn.frames, drawn.flow)
  return {
      "flow": "true and estimated", "source": name,
      "length, pixels": motion.flow_error(0 * drawn.flow, drawn.flow, known),
      "apart, pixels": motion.flow_error(guessed.flow, drawn.flow, known),
      "counted by the true, %": 100 * float(known.mean()),
      "by the estimated, %": 100 * float(guessed.valid.mean())}


def main(argv) -> None:
  """Prints a table for each edition."""
  del argv
  for free in (False, True):
    sources = edits.sources(_VIDEOS.value, 0, free)
    errors, apart = [], []
    for i, source in enumerate(tqdm.tqdm(sources, leave=False)):
      errors += rows(source, f"{i:02}", np.random.default_rng([1, i]))
      apart.append(flows(source, f"{i:02}"))
    print("second edition" if free else "first edition")
    print(table.markdown(summary(errors, ("video",), ("source",))))
    print(table.markdown(summary(apart, ("flow",), ("source",))))


if __name__ == "__main__":
  app.run(main)
