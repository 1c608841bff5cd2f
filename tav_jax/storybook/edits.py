"""StorybookEdit: source videos of the drawn world and edits of them.

The world is drawn, so the video that an edit should give is known: the same
motion and layout with one change.
"""

import dataclasses
from typing import NamedTuple

import numpy as np

from tav_jax.storybook.world import scene as scenes
from tav_jax.storybook.world.scene import Scene

KINDS = ("subject", "background", "attribute", "style", "multiple")


class Edit(NamedTuple):
  """One change.

  Attributes:
    kind: One of `KINDS`; "multiple" changes subject and background.
    scene: The first scene of the true result.
  """

  kind: str
  scene: Scene


class Source(NamedTuple):
  """A video to edit: its first scene, and an edit of each kind."""

  scene: Scene
  edits: list[Edit]


def sources(count: int, seed: int, free: bool = False) -> list[Source]:
  """The benchmark's videos; the first ones do not depend on `count`.

  Subjects and verbs take turns. Sources are plain: natural colour, no garment,
  no style. No source and no edit shows a pair that training holds out.

  Args:
    count: Number of videos.
    seed: Seed of the drawings.
    free: Whether looks and the camera are random, as in the world's second
      edition; an edit has its source's.
  """
  return [
      _source(i, np.random.default_rng([seed, i]), free)
      for i in range(count)]


def _source(i: int, rng: np.random.Generator, free: bool) -> Source:
  drawn = scenes.random_scene(rng, free=free)
  subject = scenes.SUBJECTS[i % len(scenes.SUBJECTS)]
  source = dataclasses.replace(
      drawn, subject=subject, colour="", wearing="", style="",
      verb=scenes.VERBS[i % len(scenes.VERBS)],
      place=_pick(rng, [p for p in scenes.PLACES if _shown(subject, p)]))
  other = lambda values, now: [value for value in values if value != now]
  subjects = other(scenes.SUBJECTS, source.subject)
  places = other(scenes.PLACES, source.place)
  pairs = [(s, p) for s in subjects for p in places if _shown(s, p)]
  both = pairs[rng.integers(len(pairs))]
  attribute = [
      {"colour": colour} for colour in scenes.COLOURS
  ] + [{"wearing": garment} for garment in scenes.CLOTHING]
  changes = {
      "subject": {"subject": _pick(
          rng, [s for s in subjects if _shown(s, source.place)])},
      "background": {"place": _pick(
          rng, [p for p in places if _shown(subject, p)])},
      "attribute": _pick(rng, attribute),
      "style": {"style": _pick(rng, scenes.STYLES)},
      "multiple": {"subject": both[0], "place": both[1]},
  }
  return Source(source, [
      Edit(kind, dataclasses.replace(source, **changes[kind]))
      for kind in KINDS])


def _shown(subject: str, place: str) -> bool:
  return (subject, place) not in scenes.HELD_OUT


def _pick(rng: np.random.Generator, values):
  return values[rng.integers(len(values))]
