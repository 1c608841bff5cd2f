"""Metrics of a run: `metrics.jsonl` and TensorBoard events."""

import io
import json
import os
import pathlib
import time

from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto import event_pb2, summary_pb2

from tav_jax.data import atomic, video
from tav_jax.errors import InputError


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
      if not self._file.is_file():  # A pipe, say, which would never end.
        raise InputError(f"{self._file}: expected a file, or nothing there")
      lines = self._file.read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if _step_of(line) <= step]
    # Of a look at this step that was killed before it was done.
    self._there = [
        json.loads(line).keys() for line in kept if _step_of(line) == step]
    self._begun = step
    with atomic.replacing(self._file) as partial:
      partial.write_bytes(b"".join(kept))
    # Writes at once: SummaryWriter has a thread for it, and an error there, as
    # of a full disk, would end that thread and hang the run.
    self._events = EventsWriter(str(pathlib.Path(workdir) / "events"))
    if lines:  # TensorBoard forgets what was logged from this step on.
      self._event(step + 1, session_log=event_pb2.SessionLog(
          status=event_pb2.SessionLog.START))

  def scalars(self, step: int, values: dict[str, float]) -> None:
    """Writes one line of JSON, and an event for each value.

    Does nothing if an interrupted run wrote these values of the step from which
    this one goes on.
    """
    if not self._writes:
      return
    if step == self._begun and {"step", *values} in self._there:
      return
    with self._file.open("r+") as file:  # "a" would make it anew in a workdir
      file.seek(0, os.SEEK_END)  # that was deleted.
      file.write(json.dumps({"step": step} | values) + "\n")
    for name, value in values.items():
      self._event(step, summary=summary.scalar(name, value))

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
    self._event(step, summary=summary_pb2.Summary(value=[value]))
    self.flush()

  def _event(self, step: int, **what) -> None:
    self._events.write_event(event_pb2.Event(
        wall_time=time.time(), step=step, **what))

  def flush(self) -> None:
    """Writes out what is buffered, so that TensorBoard shows it."""
    if self._writes:
      self._events.flush()

  def close(self) -> None:
    """Writes out what is buffered and ends."""
    if self._writes:
      self._events.close()


def _step_of(line: bytes) -> float:
  try:
    return float(json.loads(line)["step"])
  except (ValueError, KeyError, TypeError, RecursionError):
    return float("inf")  # Cut short by a crash.
