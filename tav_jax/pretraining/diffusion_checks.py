"""Checks the sections of the diffusion stages in a pretraining config."""

from collections.abc import Sequence
import dataclasses

from ml_collections import ConfigDict

from tav_jax.errors import InputError
from tav_jax.models.unet import VARIANTS
from tav_jax.pretraining import conditions, networks
from tav_jax.pretraining.pictures import frames_of
from tav_jax.runs import settings
from tav_jax.sampling.methods import Method, SAMPLERS
from tav_jax.sampling.schedule import (
  BETA_SCHEDULES,
  PREDICTIONS,
  Schedule,
  SPACINGS,
)


def check(config: ConfigDict, name: str) -> None:
  """Raises an InputError that names the first invalid value of a stage."""
  model, key = config[name].model, f"{name}.model"
  if len(model.attention) != len(model.channels):
    raise InputError(
        f"{key}.attention={model.attention}: expected as many values as "
        f"{key}.channels={model.channels}")
  check_multiples(
      f"{key}.channels", model.channels, model.groups, f"{key}.groups")
  for width, heads in zip(model.channels, networks.heads(model), strict=True):
    if width % heads:
      raise InputError(
          f"{key}.channels={tuple(model.channels)}: {width} is not {heads} "
          f"heads of one width; expected multiples of {key}.head_width="
          f"{model.head_width} where there is attention, or less than twice it")
  _check_clips(config, name)
  if config[name].get("clips"):
    _check_condition(config, name)
  check_schedule(config, name)
  settings.check_ranges(config, [(
      f"{name}.sampling.steps", 1,
      Schedule(**config[name].schedule).num_train_steps)])
  _check_sampling(config, name)


def _check_clips(config: ConfigDict, stage: str) -> None:
  """Checks the network over time, and the section `clips` of a stage."""
  for name, allowed in VARIANTS.items():
    value = config[stage].model.get(name, allowed[0])
    if value not in allowed:
      raise InputError(
          f"{stage}.model.{name}={value!r}: expected {', '.join(allowed)}")
  total = frames_of(config.data)
  clips = config[stage].get("clips")
  if (clips is None) != (total == 1):
    raise InputError(
        f"data.frames={total}: expected "
        + (f"1, as the config has no section {stage}.clips" if clips is None
           else f"2 or more, for {stage}.clips"))
  if clips is None:
    if stage != "diffusion":
      raise InputError(
          f"stages={config.stages!r}: {stage!r} learns from clips; expected a "
          f"section {stage}.clips, as configs/pretrain_imagen_video.py has")
    return
  settings.check_ranges(config, [
      (f"{stage}.clips.frames", 2, total),
      (f"{stage}.clips.images", 0, 1024)])
  longest = (total - 1) // (clips.frames - 1)
  if not clips.strides or not all(1 <= s <= longest for s in clips.strides):
    raise InputError(
        f"{stage}.clips.strides={tuple(clips.strides)}: expected some of 1 "
        f"to {longest}, with which {clips.frames} frames fit into "
        f"data.frames={total}")


def _check_condition(config: ConfigDict, stage: str) -> None:
  """Checks what a network is given besides a text."""
  clips, size = config[stage].clips, config.data.size
  smaller = clips.get("size", size)
  if smaller < 1 or size % smaller:
    raise InputError(
        f"{stage}.clips.size={smaller}: expected a divisor of data.size={size}")
  if smaller != size and config[stage].model.latent:
    raise InputError(
        f"{stage}.clips.size={smaller}: expected {size} (data.size) for a "
        "model in latents, which are as large as their autoencoder makes them")
  if stage in conditions.IN_TIME and clips.images:
    raise InputError(
        f"{stage}.clips.images={clips.images}: expected 0; a picture has no "
        "frames in between")
  if stage not in conditions.SUPER_RESOLUTION:
    return
  settings.check_ranges(config, [
      (f"{stage}.clips.factor", 2, 64),
      (f"{stage}.clips.noise", settings.ABOVE_ZERO, 1)])
  key, whole = ("size", smaller) if stage not in conditions.IN_TIME else (
      "frames", clips.frames)
  if whole % clips.factor:
    raise InputError(
        f"{stage}.clips.{key}={whole}: expected a multiple of "
        f"{stage}.clips.factor={clips.factor}")


def check_schedule(config: ConfigDict, name: str) -> None:
  """Raises an InputError unless a stage's section `schedule` is one."""
  values = config[name].schedule.to_dict()
  known = [field.name for field in dataclasses.fields(Schedule)]
  for key in values:
    if key not in known:
      raise InputError(
          f"{name}.schedule.{key}: unknown; expected some of "
          f"{', '.join(known)}")
  schedule = Schedule(**values)
  for key, allowed in (
      ("prediction", PREDICTIONS), ("beta_schedule", BETA_SCHEDULES),
      ("spacing", SPACINGS)):
    value = getattr(schedule, key)
    if value not in allowed:
      raise InputError(
          f"{name}.schedule.{key}={value!r}: expected "
          f"{' or '.join(allowed)}")
  if schedule.zero_snr and schedule.prediction == "epsilon":
    raise InputError(
        f"{name}.schedule.prediction={schedule.prediction!r}: expected "
        f"v_prediction or sample beside {name}.schedule.zero_snr=True; the "
        "last timestep is all noise, and says nothing of x_0")


def _check_sampling(config: ConfigDict, name: str) -> None:
  section, key = config[name].sampling, f"{name}.sampling"
  known = [field.name for field in dataclasses.fields(Method)]
  known.append(conditions.SHARED_NOISE)
  if name in conditions.SUPER_RESOLUTION:
    known.append(conditions.NOISE)
  for setting in section:
    if setting not in known:
      raise InputError(
          f"{key}.{setting}: unknown; expected some of {', '.join(known)}")
  if (sampler := section.get("sampler", SAMPLERS[0])) not in SAMPLERS:
    raise InputError(
        f"{key}.sampler={sampler!r}: expected {', '.join(SAMPLERS)}")
  settings.check_ranges(config, [
      (f"{key}.{setting}", *limits) for setting, limits in _SAMPLING.items()
      if section.get(setting) is not None])
  clips = config[name].get("clips")
  if clips and "overlap" in section:
    settings.check_ranges(config, [(f"{key}.overlap", 1, clips.frames - 1)])


_SAMPLING = {
    "low_guidance": (0, 100), "constant": (0, 10_000), "percentile": (0, 100),
    "gamma": (0, 1), "langevin": (0, 1), "length": (0, 100_000),
    "weight": (0, 1000), "noise": (0, 1)}


def check_multiples(
    key: str, values: Sequence[int], of: int, what: str
) -> None:
  """Raises an InputError unless all values are multiples of one."""
  if not values or any(value < 1 or value % of for value in values):
    raise InputError(
        f"{key}={', '.join(map(str, values)) or '()'}: expected multiples of "
        f"{of}, {what}")
