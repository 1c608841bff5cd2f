r"""Draws the four source videos of the package, with their captions.

  python -m tav_jax.storybook.clips --out=DIR
"""

import json
import pathlib

from absl import app, flags
import numpy as np

from tav_jax.data.video import Clip, write_mp4
from tav_jax.storybook.world.motion import video
from tav_jax.storybook.world.render import render
from tav_jax.storybook.world.scene import caption, Scene

CLIPS = {
    "man-skiing": Scene("man", verb="skiing", place="on the snow"),
    "rabbit-jumping": Scene("rabbit", verb="jumping", place="on the grass"),
    "penguin-surfing": Scene("penguin", verb="surfing", place="on the beach"),
    "robot-dancing": Scene("robot", verb="dancing", place="in the city"),
}
_FRAMES, _RATE = 16, 8.0


def write(directory: pathlib.Path) -> None:
  """Writes an mp4 of each clip and `captions.json`."""
  directory.mkdir(parents=True, exist_ok=True)
  for name, first in CLIPS.items():
    frames = np.stack([render(drawn) for drawn in video(first, _FRAMES)])
    # Programs read them, so colours keep their full resolution.
    write_mp4(
        directory / f"{name}.mp4", Clip(frames, _RATE), layout="yuv444p", crf=8)
  captions = {name: caption(first) for name, first in CLIPS.items()}
  (directory / "captions.json").write_text(
      json.dumps(captions, indent=2) + "\n")


def main(argv: list[str]) -> None:
  """Writes the clips."""
  del argv
  write(pathlib.Path(flags.FLAGS.out))


if __name__ == "__main__":
  flags.DEFINE_string("out", None, "Directory to write.", required=True)
  app.run(main)
