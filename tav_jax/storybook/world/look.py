"""Free appearance: what no caption tells, but all frames of a clip share.

A look is random. It gives the frames of a clip something to agree on that the
text does not determine: the pattern of a shirt, which the hat repeats, the
colour that shirt, hat band and skis share, the time of day, the kind and colour
of trees or windows, and where the sun stands.
"""

import dataclasses

import numpy as np

PATTERNS = ("plain", "stripes", "dots", "checks")
ACCENTS = ("red", "yellow", "green", "cyan", "blue", "magenta")
TONES = ("light", "medium", "dark")
TIMES = ("day", "evening", "night")
KINDS = ("first", "second", "third")
TINTS = ("red", "green", "cyan", "violet")
SUNS = ("left", "middle", "right")

FREE = {
    "pattern": PATTERNS,
    "accent": ACCENTS,
    "tone": TONES,
    "time": TIMES,
    "kind": KINDS,
    "tint": TINTS,
    "sun": SUNS,
}
"""What a picture shows that its caption does not tell, by group."""


@dataclasses.dataclass(frozen=True)
class Look:
  """The free appearance of a clip. By default everything looks as usual.

  Attributes:
    pattern: Pattern of the subject's clothes, or belly, and of its hat; one of
      `PATTERNS`.
    accent: Hue, 0 to 1, of the pattern, the hat's band and the props; None for
      the usual colour of each.
    tone: Lightness of hair, fur or metal, 0 (light) to 1 (dark).
    time: Time of day, one of `TIMES`.
    kind: Kind of the repeated things in the place, one of `KINDS`.
    tint: Hue, 0 to 1, of the repeated things; None for their usual colours.
    sun: Where the sun, the moon or the earth stands, as a fraction of the
      picture's width; None for its usual place.
    layout: Shift of the things that stand in a place, 0 to 1.
  """

  pattern: str = "plain"
  accent: float | None = None
  tone: float = 0.5
  time: str = "day"
  kind: str = "first"
  tint: float | None = None
  sun: float | None = None
  layout: float = 0.0


USUAL = Look()

def random_look(rng: np.random.Generator) -> Look:
  """A random look: the values of every group are equally likely."""
  pick = lambda values: values[rng.integers(len(values))]
  return Look(
      pattern=pick(PATTERNS),
      accent=_hue(rng, len(ACCENTS)),
      tone=rng.random(),
      time=pick(TIMES),
      kind=pick(KINDS),
      tint=_hue(rng, len(TINTS)),
      sun=float((rng.integers(3) + rng.uniform(0.3, 0.7)) / 3),
      layout=rng.random())


def labels(look: Look) -> dict[str, int]:
  """Index of a random look's value in each group of `FREE`."""
  accent, tint, sun = look.accent, look.tint, look.sun
  assert accent is not None and tint is not None and sun is not None
  return {
      "pattern": PATTERNS.index(look.pattern),
      "accent": _nearest(accent, len(ACCENTS)),
      "tone": min(int(look.tone * len(TONES)), len(TONES) - 1),
      "time": TIMES.index(look.time),
      "kind": KINDS.index(look.kind),
      "tint": _nearest(tint, len(TINTS)),
      "sun": int(sun * len(SUNS)),
  }


def _hue(rng: np.random.Generator, names: int) -> float:
  """A random hue that is near to one of the named ones."""
  return float((rng.integers(names) + rng.uniform(-0.3, 0.3)) / names % 1)


def _nearest(h: float, names: int) -> int:
  return round(h * names) % names
