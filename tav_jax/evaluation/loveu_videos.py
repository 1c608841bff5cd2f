"""The videos of LOVEU-TGVE-2023, as its organisers publish them.

  ROOT/LOVEU-TGVE-2023_Dataset.csv         a row for each video, and headings
  ROOT/DAVIS_480p/480p_frames/VIDEO/*.jpg  and youtube_480p, videvo_480p
"""

from collections.abc import Mapping
import pathlib
from typing import NamedTuple

from tav_jax.data import names, spreadsheet
from tav_jax.data.video import frame_files
from tav_jax.errors import InputError

SPLITS = ("DAVIS_480p", "youtube_480p", "videvo_480p")
KINDS = {
    "style": "Style Change Caption",
    "object": "Object Change Caption",
    "background": "Background Change Caption",
    "multiple": "Multiple Changes Caption",
}
_NAME, _CAPTION = "Video name", "Our GT caption"


class Video(NamedTuple):
  """One of the 76 videos.

  Attributes:
    split: One of `SPLITS`.
    name: Name in the table.
    frames: Folder of its frames.
    caption: What the video shows.
    prompts: What it should become, by kind of edit; a key of `KINDS`.
  """

  split: str
  name: str
  frames: pathlib.Path
  caption: str
  prompts: Mapping[str, str]


def read(root: pathlib.Path) -> list[Video]:
  """All videos, in the order of the table.

  Args:
    root: The benchmark's folder.

  Raises:
    InputError: If its table or a video's frames are missing.
  """
  tables = sorted(
      file for file in root.glob("*.csv") if file.name[0] != ".")
  if len(tables) != 1:
    raise InputError(
        f"root={root}: it has {len(tables)} .csv files; expected "
        f"LOVEU-TGVE-2023_Dataset.csv and {', '.join(SPLITS)}")
  videos: dict[str, Video] = {}
  columns = (_NAME, _CAPTION, *KINDS.values())
  for where, row in spreadsheet.read(tables[0], columns):
    if row.keys() <= {_NAME}:
      continue  # The heading of a part.
    for column in columns:
      if column not in row:
        raise InputError(
            f"{where}: no {column!r}; expected {', '.join(columns)}")
    name = row[_NAME]
    if name in videos or names.folder(name) != name:
      raise InputError(
          f"{where}: {_NAME} {name!r}: expected the name of a folder of "
          "frames, each once")
    split, frames = _find(root, name)
    videos[name] = Video(
        split, name, frames, row[_CAPTION],
        {kind: row[column] for kind, column in KINDS.items()})
  return list(videos.values())


def _find(root: pathlib.Path, name: str) -> tuple[str, pathlib.Path]:
  for split in SPLITS:
    frames = root / split / "480p_frames" / name
    if frames.is_dir() and frame_files(frames):
      return split, frames
  raise InputError(
      f"root={root}: no frames of {name!r}; expected them in "
      f"{root}/{{{','.join(SPLITS)}}}/480p_frames/{name}")
