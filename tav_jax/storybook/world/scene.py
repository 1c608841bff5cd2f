"""What a picture can show, its captions and labels, and random scenes."""

from collections.abc import Collection
import dataclasses
import json

import numpy as np

from tav_jax.storybook.world.look import Look, random_look, USUAL

SUBJECTS = ("man", "woman", "robot", "panda", "rabbit", "penguin")
COLOURS = ("red", "blue", "green", "yellow")
CLOTHING = ("hat", *(f"{colour} hat" for colour in COLOURS), "sunglasses")
VERBS = ("skiing", "surfing", "jumping", "dancing", "running")
PLACES = (
    "on the snow", "on the beach", "on the grass", "in the city",
    "on the moon", "under the sea")
STYLES = ("sketch style", "neon style")

GROUPS = {
    "subject": SUBJECTS,
    "colour": ("", *COLOURS),
    "clothing": ("", *CLOTHING),
    "verb": VERBS,
    "place": PLACES,
    "style": ("", *STYLES),
}
"""What captions and labels tell of a picture, by group; "" is none."""

HELD_OUT = (
    ("man", "under the sea"),
    ("woman", "in the city"),
    ("robot", "on the snow"),
    ("panda", "on the beach"),
    ("rabbit", "on the moon"),
    ("penguin", "on the grass"),
)
"""Subjects and places that are never together in training."""

_COLOURED, _DRESSED, _STYLED = 0.4, 0.5, 0.3
_CAMERA_MOVES, _ZOOMED = 0.5, 0.25


@dataclasses.dataclass(frozen=True)
class Scene:
  """One picture.

  Attributes:
    subject: Who is drawn.
    colour: Colour of the subject's body or clothes; "" is its natural one.
    wearing: A garment, perhaps with a colour, or "".
    verb: What the subject does.
    place: Where it is.
    style: How it is drawn; "" is plain.
    x: Middle of the subject, as a fraction of the picture's width.
    y: Feet of the subject, from above, as a fraction of the picture's height.
    scale: Height of the subject, as a fraction of the picture's height.
    facing: 1 looks right, -1 left.
    phase: Position in the cycle of its motion, of period 1.
    pan: How far the background has scrolled, in widths.
    seed: Layout of the place.
    look: Appearance that the caption leaves open.
    zoom: Magnification about the picture's middle; at least 1.
    pan_by: How far the camera pans over a clip, in widths, besides following
      the subject.
    zoom_by: How much `zoom` grows over a clip.
  """

  subject: str = "man"
  colour: str = ""
  wearing: str = ""
  verb: str = "running"
  place: str = "on the grass"
  style: str = ""
  x: float = 0.5
  y: float = 0.89
  scale: float = 0.64
  facing: int = 1
  phase: float = 0.0
  pan: float = 0.0
  seed: int = 0
  look: Look = USUAL
  zoom: float = 1.0
  pan_by: float = 0.0
  zoom_by: float = 0.0


FIELDS = {group: group for group in GROUPS} | {"clothing": "wearing"}
"""The attribute of a scene that holds a group's value."""


def labels(scene: Scene) -> dict[str, int]:
  """Index of the scene's value in each of `GROUPS`."""
  return {
      group: values.index(getattr(scene, FIELDS[group]))
      for group, values in GROUPS.items()}


def caption(scene: Scene, drop: Collection[str] = ()) -> str:
  """The scene in an English sentence, without the groups in `drop`."""
  say = lambda group: (
      "" if group in drop else getattr(scene, FIELDS[group]))
  text = _a(f"{say('colour')} {scene.subject}".strip())
  if garment := say("clothing"):
    text += " wearing " + (
        garment if garment.endswith("s") else _a(garment))
  if verb := say("verb"):
    text += f" is {verb}"
  if place := say("place"):
    text += f" {place}"
  if style := say("style"):
    text += f", {style}"
  return text


def training_caption(scene: Scene, rng: np.random.Generator) -> str:
  """A caption with clauses left out at random, the style seldom."""
  chances = {
      group: 0.04 if group == "style" else 0.1
      for group in GROUPS if group != "subject"}
  return caption(
      scene, [group for group, p in chances.items() if rng.random() < p])


def random_scene(
    rng: np.random.Generator, held_out: bool | None = None, free: bool = False
) -> Scene:
  """A random scene.

  Args:
    rng: Source of randomness.
    held_out: True for a pair of `HELD_OUT`, False for another pair, None for
      any pair.
    free: Whether the look and the camera are random, too.
  """
  pick = lambda values: values[rng.integers(len(values))]
  pairs = [(subject, place) for subject in SUBJECTS for place in PLACES]
  if held_out is not None:
    pairs = [pair for pair in pairs if (pair in HELD_OUT) == held_out]
  subject, place = pick(pairs)
  scene = Scene(
      subject=subject,
      colour=pick(COLOURS) if rng.random() < _COLOURED else "",
      wearing=pick(CLOTHING) if rng.random() < _DRESSED else "",
      verb=pick(VERBS),
      place=place,
      style=pick(STYLES) if rng.random() < _STYLED else "",
      x=rng.uniform(0.44, 0.56),
      y=rng.uniform(0.87, 0.91),
      scale=rng.uniform(0.6, 0.68),
      facing=int(pick((-1, 1))),
      phase=rng.random(),
      pan=rng.uniform(-0.3, 0.3),
      seed=int(rng.integers(4)))
  return _filmed(scene, rng) if free else scene


def to_json(scene: Scene) -> str:
  """The scene as a text that `from_json` reads."""
  return json.dumps(dataclasses.asdict(scene))


def from_json(text: str) -> Scene:
  """The scene that `to_json` wrote."""
  fields = json.loads(text)
  return Scene(**fields | {"look": Look(**fields["look"])})


def _filmed(scene: Scene, rng: np.random.Generator) -> Scene:
  """The scene with a random look, seen by a camera that moves at random.

  At its largest zoom, the subject is as large as in the given scene.
  """
  zoom, zoom_by = 1 + _ZOOMED * rng.random(), 0.0
  if moves := rng.random() < _CAMERA_MOVES:
    zoom_by = 1 + _ZOOMED * rng.random() - zoom
  largest = max(zoom, zoom + zoom_by)
  return dataclasses.replace(
      scene, look=random_look(rng), zoom=zoom, zoom_by=zoom_by,
      pan_by=float(moves) * rng.uniform(-0.3, 0.3),
      scale=scene.scale / largest,
      y=0.5 + (scene.y - 0.5) / largest)


def _a(noun: str) -> str:
  return ("an " if noun[0] in "aeiou" else "a ") + noun
