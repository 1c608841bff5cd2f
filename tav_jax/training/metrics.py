"""Metrics of a run: `metrics.jsonl` and TensorBoard events."""

import io
import json
import os
import pathlib

import tensorboardX
from tensorboardX.proto import summary_pb2

from tav_jax.data import atomic, video


class Metrics:
  """Writes scalars and videos by step, going on where a run left off."""

  def __init__(
      self, workdir: str | os.PathLike, step: int, writes: bool = True):
    """Drops what an interrupted run logged after `step`, then appends.

    Args:
      workdir: Directory of the files.
      step: Step from which the run goes on.
      writes: Whether this process writes; of several, only one should.
    """
    self._writes = writes
    if not writes:
      return
    self._file = pathlib.Path(workdir) / "metrics.jsonl"
    lines = []
    if self._file.exists():
      lines = self._file.read_text().splitlines(keepends=True)
    kept = [line for line in lines if _step_of(line) <= step]
    with atomic.replacing(self._file) as partial:
      partial.write_text("".join(kept))
    self._events = tensorboardX.SummaryWriter(
        str(workdir), purge_step=step + 1 if lines else None)

  def scalars(self, step: int, values: dict[str, float]) -> None:
    """Writes one line of JSON, and an event for each value."""
    if not self._writes:
      return
    with self._file.open("a") as file:
      file.write(json.dumps({"step": step} | values) + "\n")
    for name, value in values.items():
      self._events.add_scalar(name, value, step)

  def video(self, step: int, name: str, clip: video.Clip) -> None:
    """Writes an animated GIF, which TensorBoard shows under images."""
    if not self._writes:
      return
    gif = io.BytesIO()
    video.write_gif(gif, clip)
    _, height, width, channels = clip.frames.shape
    image = summary_pb2.Summary.Image(
        height=height, width=width, colorspace=channels,
        encoded_image_string=gif.getvalue())
    value = summary_pb2.Summary.Value(tag=name, image=image)
    self._events.file_writer.add_summary(
        summary_pb2.Summary(value=[value]), step)

  def close(self) -> None:
    """Writes out what is buffered."""
    if self._writes:
      self._events.close()


def _step_of(line: str) -> float:
  try:
    return float(json.loads(line)["step"])
  except (ValueError, KeyError, TypeError):
    return float("inf")  # Cut short by a crash.
