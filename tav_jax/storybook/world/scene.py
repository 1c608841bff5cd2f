"""What a picture can show, what is said of it, and drawing lots."""

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
"""What can be told of a picture, by group; "" is none."""

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
    subject: Who.
    colour: Of the subject's body or clothes; "" is its natural one.
    wearing: A garment, perhaps with a colour, or "".
    verb: What the subject does.
    place: Where.
    style: How it is drawn; "" is plain.
    x: Middle of the subject, as a fraction of the picture's width.
    y: Its feet, from above, as a fraction of the height.
    scale: Its height, as a fraction of the height.
    facing: 1 looks right, -1 left.
    phase: Position in the cycle of its motion, of period 1.
    pan: How far the background has scrolled, in widths.
    seed: Layout of the place.
    look: What the caption leaves open.
    zoom: How large everything is drawn about the picture's middle; at least 1.
    pan_by: How far the camera pans over a clip, in widths, besides what it
      follows the subject.
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
"""Which attribute of a scene holds a group's value."""


def labels(scene: Scene) -> dict[str, int]:
  """Position of the scene's value in each of `GROUPS`."""
  return {
      group: values.index(getattr(scene, FIELDS[group]))
      for group, values in GROUPS.items()}


def caption(scene: Scene, drop: Collection[str] = ()) -> str:
  """An English sentence, without the groups in `drop`."""
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
  """A scene by lot.

  Args:
    rng: Draws the lots.
    held_out: True for a pair of `HELD_OUT`, False for none of them, None for
      either.
    free: Whether the look and the camera are drawn by lot, too.
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
  """What `from_json` reads."""
  return json.dumps(dataclasses.asdict(scene))


def from_json(text: str) -> Scene:
  """The scene that `to_json` wrote."""
  fields = json.loads(text)
  return Scene(**fields | {"look": Look(**fields["look"])})


def _filmed(scene: Scene, rng: np.random.Generator) -> Scene:
  """The scene with a look by lot, seen by a camera that moves by lot.

  However far the camera zooms in, the subject is as large as the scene's.
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
