"""The storybook world: drawn, captioned scenes with known motion.

  scene    what a picture shows, its caption and its labels
  motion   the scenes of a clip
  render   a scene's picture: place, then props and character, then style

A new subject, garment or style is one function and one line of the table at the
end of `subjects`, `clothes` or `styles`, plus its name in `scene`; a new place
is a file in `places` and a line of its table; a new verb is a pose in `poses`,
props in `props` and a path in `motion`.
"""
