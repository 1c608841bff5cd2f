"""What the papers claim, and whether an interval says so."""

from collections.abc import Iterator, Mapping

from tav_jax.errors import InputError
from tav_jax.evaluation import lineage_scores
from tav_jax.evaluation.lineage_scores import Measured
from tav_jax.evaluation.lineage_systems import System
from tav_jax.measures import frechet, intervals
from tav_jax.runs import workdir as workdirs

BETTER = {
    lineage_scores.FRAMES: "less", lineage_scores.MOTION: "less",
    "caption shown": "more", "jump at borders": "less",
    "consistency across borders": "more"}
"""Whether more or less of a score is better, of those that claims are about."""

Row = dict[str, str | intervals.Mean]


def compare(
    claim: str, first: System, second: System,
    measured: Mapping[str, Measured], true: Measured,
) -> Iterator[Row]:
  """A row for every score that speaks of a claim.

  Args:
    claim: What is claimed.
    first: The system that should be better.
    second: The other one.
    measured: What was measured, by the system's name.
    true: True clips, which distances are to.

  Raises:
    InputError: If the systems have learnt from other drawings.
  """
  if first.world != second.world:
    raise InputError(
        f"claims: {first.name} has learnt from {first.world}, {second.name} "
        f"from {second.world}; expected systems of the same drawings, whose "
        "distances compare")
  one, other = measured[first.name], measured[second.name]
  for score, better in BETTER.items():
    if score in one.features:
      values = one.features[score]
      apart = frechet.difference(
          values, other.features[score], true.features[score][:len(values)])
    elif score in one.scores:
      apart = intervals.mean([
          a - b for a, b in zip(
              one.scores[score], other.scores[score], strict=True)])
    else:
      continue
    yield {
        "claim": claim, "systems": f"{first.name} - {second.name}",
        "differ in": differences(first, second),
        "score": f"{score} ({better} is better)", "difference": apart,
        "verdict": verdict(apart, better)}


def verdict(apart: intervals.Mean, better: str) -> str:
  """What a difference says of the claim that the first system is better."""
  assert apart.mean is not None  # There are clips.
  if apart.low is None or apart.high is None or (
      apart.low <= 0 <= apart.high):
    return "open"
  return "supported" if (apart.mean > 0) == (better == "more") else "against"


def differences(first: System, second: System) -> str:
  """In which settings and steps two systems differ, and how."""
  if first.kind != second.kind:
    return f"{first.kind} / {second.kind}"
  one, other = (
      {key.partition(".")[2]: value
       for key, value in workdirs.flatten(dict(system.record))
       if "." in key and ".run." not in key} for system in (first, second))
  return ", ".join(
      f"{key} {one.get(key, '-')} / {other.get(key, '-')}"
      for key in sorted(one | other) if one.get(key) != other.get(key))
