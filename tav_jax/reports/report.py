"""One page to look at: scores, plots, and all videos in step.

The page is one file that fetches nothing: videos are in it, as H.264.
"""

import base64
from collections.abc import Mapping, Sequence
import html
import importlib.resources
import pathlib
import string
import tempfile
from typing import NamedTuple

import numpy as np

from tav_jax.data import atomic, video
from tav_jax.measures.intervals import Mean
from tav_jax.reports import plots, table

_LEAST_WIDTH = 160
_NOTES = (
    "Means over source videos, with 95 % intervals (Student's t) of n of them.",
    "Differences from the first system on the same prompts, with 95 % "
    "intervals over n source videos.")


class Shown(NamedTuple):
  """One video, encoded; made by `show`."""

  label: str
  url: str
  width: int
  note: str


class Entry(NamedTuple):
  """A prompt and the videos made for it, the source first."""

  prompt: str
  videos: Sequence[Shown]


def write(
    path: pathlib.Path,
    title: str,
    means: Sequence[table.Row],
    differences: Sequence[table.Row],
    entries: Sequence[Entry],
    notes: tuple[str, str] = _NOTES,
) -> None:
  """Writes the page, whole or not at all.

  Args:
    path: The .html file.
    title: The page's heading.
    means: What `scoring.summary` returns for one key, such as "system".
    differences: The same for `scoring.differences`; may be empty.
    entries: Prompts and their videos.
    notes: What stands below the means, and below the differences.
  """
  template = string.Template(
      (importlib.resources.files("tav_jax.reports") / "report.html")
      .read_text(encoding="utf-8"))
  page = template.substitute(
      title=html.escape(title), means=_table(means), plots=plots.means(means),
      about_means=html.escape(notes[0], quote=False),
      differences=_differences(differences, notes[1]),
      entries="".join(map(_entry, entries)))
  with atomic.replacing(path) as partial:
    partial.write_text(page, encoding="utf-8")


def _table(rows) -> str:
  row = lambda tag, cells: "<tr>" + "".join(
      f"<{tag}>{_cell(cell)}</{tag}>" for cell in cells) + "</tr>"
  return '<div class="wide"><table>' + row("th", rows[0]) + "".join(
      row("td", r.values()) for r in rows) + "</table></div>"


def _cell(value: str | float | Mean | None) -> str:
  """A mean has its interval below it."""
  if value is None:
    return "-"
  text, bracket, interval = html.escape(str(value)).partition(" [")
  if not (bracket and isinstance(value, Mean)):
    return html.escape(str(value))
  return f"{text}<br><small>[{interval}</small>"


def _differences(rows, note: str) -> str:
  return (
      f"{_table(rows)}<p>{html.escape(note, quote=False)}</p>") if rows else ""


def _entry(entry: Entry) -> str:
  figures = "".join(
      f'<figure><video muted loop playsinline width="{shown.width}" '
      f'src="{shown.url}"></video><figcaption>'
      f"<b>{html.escape(shown.label)}</b> {html.escape(shown.note)}"
      "</figcaption></figure>" for shown in entry.videos)
  return f"<section><h2>{html.escape(entry.prompt)}</h2>{figures}</section>\n"


def show(
    label: str,
    frames: np.ndarray,
    fps: float,
    scores: Mapping[str, float | None] | None = None,
) -> Shown:
  """A video for the page.

  Args:
    label: Name of the system that made it, or "the source".
    frames: uint8 `f h w c`.
    fps: Frames a second.
    scores: Numbers to write below the video.
  """
  width = frames.shape[2]
  return Shown(
      label, data_url(frames, fps),
      # A whole multiple of small videos, so that pixels stay square.
      width * max(1, -(-_LEAST_WIDTH // width)),
      ", ".join(
          f"{name} {value:.1f}" for name, value in (scores or {}).items()
          if value is not None))


def data_url(frames: np.ndarray, fps: float) -> str:
  """A video as a `data:` URL."""
  with tempfile.TemporaryDirectory() as directory:
    file = pathlib.Path(directory) / "video.mp4"
    video.write_mp4(file, video.Clip(frames, fps))
    return "data:video/mp4;base64," + base64.b64encode(
        file.read_bytes()).decode()
