"""Checks what a config of SinFusion says of its video, stages and clips."""

import math

from ml_collections import ConfigDict

from tav_jax.errors import InputError
from tav_jax.pretraining.one_video import STAGES
from tav_jax.runs import settings

_FROM_ZERO, _FROM_ONE = (0, math.inf), (1, math.inf)
_NETWORK = (("model.width", 2, 4096), ("model.blocks", 1, 1000))
RANGES = dict.fromkeys(STAGES, _NETWORK)
"""Key, least and greatest value of what is a stage's own."""
_RANGES = (
    ("seed", *settings.SEEDS),
    ("data.start", *_FROM_ZERO),
    ("data.stride", *_FROM_ONE),
    ("data.frames", *_FROM_ONE),
    ("data.width", *_FROM_ONE),
    ("data.height", *_FROM_ONE),
    ("data.fps", 0, 1000),
    ("data.held_out", *_FROM_ZERO),
    ("data.crop", settings.ABOVE_ZERO, 1),
    ("sampling.new", *_FROM_ZERO),
    ("sampling.length", 1, 10_000),
    ("sampling.doublings", 0, 8),
    ("sampling.correction", *_FROM_ZERO),
    ("sampling.seed", *settings.SEEDS),
)
_TEXTS = ("data.source", "data.fit")
_SHARES = ("data.crop", "data.fps")


def check(config: ConfigDict) -> None:
  """Raises an InputError that names the first invalid value."""
  _check_types(config)
  settings.check_ranges(config, _RANGES)
  for name in STAGES:
    settings.check_ranges(
        config, [(f"{name}.{key}", *limits) for key, *limits in RANGES[name]])
    if config[name].model.width % 2:
      raise InputError(
          f"{name}.model.width={config[name].model.width}: expected an even "
          "number, for the sines and cosines of the noise level")
  _check_gaps(config)
  _check_sampling(config)
  left = config.data.frames - config.data.held_out
  least = 1 + max(2, len(config.predictor.loss.gaps_from))
  if left < least:
    raise InputError(
        f"data.frames={config.data.frames}, data.held_out="
        f"{config.data.held_out}: {left} are left to train on; expected "
        f"{least} or more, for gaps of up to {least - 1}")


def needed(sampling: ConfigDict) -> list[str]:
  """The stages that rendering needs, of a config's section `sampling`."""
  return [
      name for name, there in zip(STAGES, (
          True, sampling.new or sampling.gaps, sampling.doublings),
          strict=True) if there]


def _check_types(config: ConfigDict) -> None:
  """Checks what a workdir's config may lack or have of another type."""
  keys = [key for key, *_ in _RANGES] + list(_TEXTS) + [
      "sampling.gaps", "predictor.loss.gaps_from"] + [
          f"{name}.{key}" for name in STAGES for key, *_ in _NETWORK]
  for key in keys:
    value = config
    for part in key.split("."):
      value = value.get(part) if isinstance(value, ConfigDict) else None
    expected, kinds = (
        ("a text", str) if key in _TEXTS
        else ("numbers, as (1, -1)", tuple) if "gaps" in key
        else ("a number", (int, float)) if key in _SHARES
        else ("a whole number", int))
    if not isinstance(value, kinds) or isinstance(value, bool):
      raise InputError(f"{key}={value!r}: expected {expected}")


def _check_gaps(config: ConfigDict) -> None:
  gaps = config.predictor.loss.gaps_from
  if not gaps or gaps[0] != 0 or not all(
      isinstance(step, int) for step in gaps) or list(gaps) != sorted(gaps):
    raise InputError(
        f"predictor.loss.gaps_from={gaps!r}: expected the steps from which "
        "gaps of up to 1, 2, 3, ... are drawn, the first of them 0, as "
        "(0, 3000, 6000)")


def _check_sampling(config: ConfigDict) -> None:
  sampling, reach = config.sampling, len(config.predictor.loss.gaps_from)
  for gap in sampling.gaps:
    if not isinstance(gap, int) or not 1 <= abs(gap) <= reach:
      raise InputError(
          f"sampling.gaps={sampling.gaps!r}: expected gaps that the predictor "
          f"was trained with, -{reach} to {reach} without 0, as (1, -1)")
  if not (sampling.new or sampling.gaps or sampling.doublings):
    raise InputError(
        "sampling.new=0: nothing is asked for; expected new clips, "
        "sampling.gaps or sampling.doublings")
  steps = config.projector.schedule.num_train_steps
  if sampling.correction > steps:
    raise InputError(
        f"sampling.correction={sampling.correction}: expected at most "
        f"projector.schedule.num_train_steps={steps}")
