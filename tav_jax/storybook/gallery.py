r"""Draws a sheet of the world: every value of every group, then random scenes.

  python -m tav_jax.storybook.gallery --out=docs/world.png
"""

import dataclasses
import os
import pathlib
from typing import Any

from absl import app, flags
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tav_jax.reports import sheet
from tav_jax.storybook.world import look, scene
from tav_jax.storybook.world.render import render
from tav_jax.storybook.world.scene import Scene

_SIZE, _ACROSS, _BY_LOT = 96, 7, 21
_TITLE, _MARGIN = 34, 8
_INK, _PAPER = (32, 32, 32), (255, 255, 255)

# The scene on which a group's values are shown, and the word for no value.
_ROWS = {
    "subject": (Scene(verb="dancing", place="on the grass"), ""),
    "colour": (Scene(subject="rabbit", verb="jumping"), "natural"),
    "clothing": (Scene(subject="panda", place="on the snow"), "none"),
    "verb": (Scene(subject="penguin", place="on the beach", phase=0.2), ""),
    "place": (Scene(subject="robot", phase=0.2), ""),
    "style": (Scene(subject="woman", verb="surfing"), "plain"),
}

# The scene on which the values of free groups are shown.
_LOOK = look.Look(
    pattern="stripes", accent=0.55, kind="first", tint=1 / 3, sun=0.8,
    layout=0.3)
_FREE_ROWS = {
    "accent": Scene("man", wearing="hat", verb="skiing", place="on the snow"),
    "tone": Scene("rabbit", verb="dancing"),
    "kind": Scene("robot", verb="running", place="in the city"),
    "tint": Scene("penguin", verb="jumping"),
    "sun": Scene("panda", verb="surfing", place="on the beach"),
}


def draw(seed: int = 0) -> Image.Image:
  """A titled row for each group, then pictures with their captions."""
  sections = [_section(group, _values(group)) for group in scene.GROUPS]
  sections += [
      _section(f"{group}, which no caption tells", _looks(group))
      for group in look.FREE]
  rng = np.random.default_rng(seed)
  by_lot = [scene.random_scene(rng, free=True) for _ in range(_BY_LOT)]
  sections.append(_section(
      "all of them by lot", [(scene.caption(s), s) for s in by_lot]))
  page = Image.new("RGB", (
      max(section.width for section in sections),
      sum(section.height for section in sections)), _PAPER)
  top = 0
  for section in sections:
    page.paste(section, (0, top))
    top += section.height
  return page


def save(page: Image.Image, path: str | os.PathLike) -> None:
  """Writes a PNG of 256 colours."""
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  page.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def _values(group: str) -> list[tuple[str, Scene]]:
  """A group's values and a scene of each."""
  base, none = _ROWS[group]
  field = scene.FIELDS[group]
  values: list[Any] = list(scene.GROUPS[group])
  return [
      (value or none, dataclasses.replace(base, **{field: value}))
      for value in values]


def _looks(group: str) -> list[tuple[str, Scene]]:
  """A free group's values and a scene of each."""
  shown = _FREE_ROWS.get(group, Scene("woman", place="on the beach"))
  count = len(look.FREE[group])
  middle = (np.arange(count) + 0.5) / count
  at: dict[str, list[Any]] = {
      "accent": [i / count for i in range(count)],
      "tint": [i / count for i in range(count)],
      "tone": list(middle), "sun": list(middle)}
  return [
      (label, dataclasses.replace(shown, look=dataclasses.replace(
          _LOOK, **{group: value})))
      for label, value in zip(
          look.FREE[group], at.get(group, look.FREE[group]), strict=True)]


def _section(title: str, scenes: list[tuple[str, Scene]]) -> Image.Image:
  cells = [(label, render(drawn, _SIZE)[None]) for label, drawn in scenes]
  grid = Image.fromarray(sheet.moving(cells, across=_ACROSS)[0])
  page = Image.new("RGB", (grid.width, _TITLE + grid.height), _PAPER)
  page.paste(grid, (0, _TITLE))
  ImageDraw.Draw(page).text(
      (_MARGIN, _MARGIN + 2), title.capitalize(), _INK,
      ImageFont.load_default(20))
  return page


def main(argv: list[str]) -> None:
  """Draws the sheet."""
  del argv
  save(draw(), flags.FLAGS.out)


if __name__ == "__main__":
  flags.DEFINE_string("out", None, "The PNG to write.", required=True)
  app.run(main)
