"""Clips that are longer than what a model makes at once, block after block."""

from ml_collections import ConfigDict

from tav_jax.errors import InputError
from tav_jax.evaluation import lineage_scores, lineage_systems
from tav_jax.evaluation.lineage_scores import Measured
from tav_jax.evaluation.lineage_systems import Made, System
from tav_jax.measures.clip_score import Scorer

_CLAIM = "reconstruction guidance beats replacement (Video Diffusion Models)"


def systems(config: ConfigDict) -> list[System]:
  """The model by reconstruction guidance and by replacement; or none."""
  how = config.extension
  name = how.system
  if not name:
    return []
  workdir = config.systems.get(name)
  if not workdir:
    raise InputError(
        f"extension.system={name!r}: expected one of the systems that are not "
        "left out, or ''")
  block = _block(lineage_systems.read(name, workdir))
  if how.overlap > block - 2:
    raise InputError(
        f"extension.overlap={how.overlap}: expected {block - 2} at most, for "
        f"two new frames or more in every block of {block}")
  if how.length <= block:
    raise InputError(
        f"extension.length={how.length}: expected more than {block}, the "
        "frames that the model makes at once")
  return [
      lineage_systems.of_workdir(
          method, workdir, length=how.length, overlap=how.overlap,
          weight=weight)
      for method, weight in zip(
          claim(config)[1:], (how.weight, 0.0), strict=True)]


def claim(config: ConfigDict) -> tuple[str, str, str]:
  """The claim, and the names of the two systems that it is about."""
  name = config.extension.system
  return _CLAIM, f"{name}, reconstruction", f"{name}, replacement"


def measure(
    scorer: Scorer, config: ConfigDict, made: Made
) -> Measured:
  """Measures long clips from where the first block ends.

  Raises:
    InputError: If they have another frame rate than true clips.
  """
  if made.fps != config.form.fps:
    raise InputError(
        f"extension.system={config.extension.system!r}: its clips have "
        f"{made.fps:g} frames a second; expected "
        f"form.fps={config.form.fps:g}, or extension.system=''")
  name = config.extension.system
  block = _block(lineage_systems.read(name, config.systems[name]))
  clips = lineage_scores.resized(made.clips, config.form.size)
  embeds = lineage_scores.embed(scorer, clips)
  return Measured(
      lineage_scores.at_borders(
          clips, embeds, block, config.extension.overlap),
      lineage_scores.features(embeds, start=block))


def _block(config: ConfigDict) -> int:
  """Frames that a model makes at once."""
  return config.diffusion.clips.frames
