"""The files that a user looks at: videos, frames and contact sheets."""

from collections.abc import Sequence
import json
import pathlib
from typing import Any

from tav_jax.data import atomic, names, video
from tav_jax.reports import sheet


def write(
    directory: pathlib.Path,
    videos: Sequence[sheet.Labelled],
    fps: float,
    record: dict[str, Any],
) -> None:
  """Writes every video as mp4, GIF and PNG frames, and sheets of them all.

  The directory appears only when it is complete.

  Args:
    directory: Directory to write, which must not exist.
    videos: Labels and uint8 frames.
    fps: Frames a second.
    record: The settings that made them, for `record.json`.
  """
  with atomic.replacing(directory) as partial:
    partial.mkdir()
    files = []
    for i, (label, frames) in enumerate(videos):
      name = f"{i:02}-{names.slug(label)}"
      clip = video.Clip(frames, fps)
      video.write_mp4(partial / f"{name}.mp4", clip)
      video.write_gif(partial / f"{name}.gif", clip)
      video.write_frames(partial / "frames" / name, clip)
      files.append({"label": label, "file": f"{name}.mp4"})
    sheet.still(videos).save(partial / "sheet.png")
    together = video.Clip(sheet.moving(videos), fps)
    video.write_mp4(partial / "sheet.mp4", together)
    video.write_gif(partial / "sheet.gif", together)
    (partial / "record.json").write_text(
        json.dumps(record | {"fps": fps, "files": files}, indent=2) + "\n")
