r"""Draws the four source videos of the package, with their captions.

  python -m tav_jax.storybook.clips --out=DIR
"""

import json
import pathlib

from absl import app, flags
import av
import numpy as np

from tav_jax.storybook.world.motion import video
from tav_jax.storybook.world.render import render
from tav_jax.storybook.world.scene import caption, Scene

CLIPS = {
    "man-skiing": Scene("man", verb="skiing", place="on the snow"),
    "rabbit-jumping": Scene("rabbit", verb="jumping", place="on the grass"),
    "penguin-surfing": Scene("penguin", verb="surfing", place="on the beach"),
    "robot-dancing": Scene("robot", verb="dancing", place="in the city"),
}
_FRAMES, _RATE = 16, 8


def write(directory: pathlib.Path) -> None:
  """Writes an mp4 of each clip and `captions.json`."""
  directory.mkdir(parents=True, exist_ok=True)
  for name, first in CLIPS.items():
    _encode(
        directory / f"{name}.mp4",
        np.stack([render(drawn) for drawn in video(first, _FRAMES)]))
  captions = {name: caption(first) for name, first in CLIPS.items()}
  (directory / "captions.json").write_text(
      json.dumps(captions, indent=2) + "\n")


def _encode(path: pathlib.Path, frames: np.ndarray) -> None:
  """Writes H.264, 4:4:4: full colour resolution, for programs to read."""
  with av.open(str(path), "w") as container:
    stream = container.add_stream("libx264", _RATE, options={"crf": "8"})
    stream.height, stream.width = frames.shape[1:3]
    stream.pix_fmt = "yuv444p"
    for frame in frames:
      container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
    container.mux(stream.encode())


def main(argv: list[str]) -> None:
  """Writes the clips."""
  del argv
  write(pathlib.Path(flags.FLAGS.out))


if __name__ == "__main__":
  flags.DEFINE_string("out", None, "Directory to write.", required=True)
  app.run(main)
