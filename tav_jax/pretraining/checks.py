"""Checks a pretraining config before anything long begins."""

from collections.abc import Iterator, Sequence
import dataclasses
import math
import pathlib

from ml_collections import ConfigDict

from tav_jax.errors import InputError
from tav_jax.models.unet import VARIANTS
from tav_jax.models.vae import VAEConfig
from tav_jax.pretraining import networks, parts
from tav_jax.pretraining.pictures import frames_of, STORYBOOK
from tav_jax.runs import settings
from tav_jax.sampling.schedule import (
  BETA_SCHEDULES,
  PREDICTIONS,
  Schedule,
  SPACINGS,
)
from tav_jax.storybook.classifier import ClassifierConfig

STAGES = ("tokenizer", "autoencoder", "judge", "clip", "diffusion")

# Key, least and greatest value.
_FROM_ZERO, _FROM_ONE, _SHARE = (0, math.inf), (1, math.inf), (0, 1)
_RANGES = (
    ("seed", *settings.SEEDS),
    ("data.count", *_FROM_ONE),
    ("data.size", 8, 4096),
    ("data.seed", *settings.SEEDS),
)
# The same for a stage's keys; all stages but the tokenizer have these.
_TRAINING = (
    ("optimizer.batch_size", *_FROM_ONE),
    ("optimizer.learning_rate", *_SHARE),
    ("optimizer.warmup_steps", *_FROM_ZERO),
    ("optimizer.b1", 0, settings.BELOW_ONE),
    ("optimizer.b2", 0, settings.BELOW_ONE),
    ("optimizer.eps", *_FROM_ZERO),
    ("optimizer.weight_decay", *_FROM_ZERO),
    ("optimizer.clip_norm", settings.ABOVE_ZERO, math.inf),
    ("optimizer.average", 0, settings.BELOW_ONE),
    ("run.steps", *_FROM_ONE),
    ("run.steps_per_dispatch", *_FROM_ONE),
    ("run.checkpoint_every", *_FROM_ONE),
    ("run.look_every", *_FROM_ONE),
)
_OWN = {
    "tokenizer": (
        ("vocab_size", 514, math.inf), ("positions", 3, math.inf),
        ("captions", *_FROM_ONE)),
    "autoencoder": (
        ("model.latent_channels", *_FROM_ONE), ("model.layers", *_FROM_ONE),
        ("model.groups", *_FROM_ONE), ("loss.kl_weight", *_FROM_ZERO)),
    "judge": (("model.strips", *_FROM_ONE),),
    "clip": tuple(
        (f"model.{key}", *_FROM_ONE)
        for key in (
            "width", "layers", "heads", "image_size", "patch_size",
            "embed_width")),
    "diffusion": (
        ("model.layers", *_FROM_ONE), ("model.head_width", *_FROM_ONE),
        ("model.groups", *_FROM_ONE), ("model.no_caption", *_SHARE),
        ("model.min_snr", 1e-3, math.inf), ("sampling.guidance", 0, 100),
        ("schedule.beta_start", 0, settings.BELOW_ONE),
        ("schedule.beta_end", 0, settings.BELOW_ONE)),
}


def check(config: ConfigDict, workdir: pathlib.Path) -> None:
  """Raises an InputError that names the first invalid value."""
  if "stages" not in config:
    raise InputError(
        "--config: it has no key 'stages'; expected a config of pretraining, "
        "such as configs/pretrain_storybook.py")
  unknown = [name for name in config.stages if name not in STAGES]
  if unknown or not config.stages:
    raise InputError(
        f"stages={config.stages!r}: expected some of {', '.join(STAGES)}")
  settings.check_ranges(config, _RANGES)
  for name in config.stages:
    ranges = _OWN[name] if name == "tokenizer" else _OWN[name] + _TRAINING
    settings.check_ranges(
        config, [(f"{name}.{key}", *limits) for key, *limits in ranges])
  if config.data.source == STORYBOOK:
    check_count(config, config.data.count)
  _check_order(config, workdir)
  for name, check in (
      ("autoencoder", _check_autoencoder), ("judge", _check_judge),
      ("clip", _check_clip), ("diffusion", _check_diffusion)):
    if name in config.stages:
      check(config)


def check_count(config: ConfigDict, count: int) -> None:
  """Raises an InputError if `count` pictures are too few for a batch."""
  for name in config.stages:
    size = 0 if name == "tokenizer" else config[name].optimizer.batch_size
    if size > count:
      raise InputError(
          f"{name}.optimizer.batch_size={size}: expected at most {count}, the "
          "pictures to train on; lower it or add pictures")


def _check_order(config: ConfigDict, workdir: pathlib.Path) -> None:
  others = parts.source(config)
  of_pictures = [
      name for name in config.stages if name not in ("tokenizer", "diffusion")]
  if frames_of(config.data) > 1 and of_pictures:
    raise InputError(
        f"stages={config.stages!r}: {of_pictures[0]!r} learns from pictures, "
        f"and data.frames={config.data.frames} makes clips; take its part from "
        "another checkpoint (parts='storybook', say)")
  for i, name in enumerate(config.stages):
    for part, maker, taken in _needs(config, name):
      directory = workdir / "model" / part
      if maker not in config.stages[:i] and not directory.is_dir() and not (
          others and (others / taken).is_dir()):
        raise InputError(
            f"stages={config.stages!r}: {name!r} needs {directory}, which is "
            f"not there; run the stage {maker!r} before it")


def _needs(config: ConfigDict, name: str) -> Iterator[tuple[str, str, str]]:
  """Yields the parts of the model that a stage needs and the stage of each.

  And what of another checkpoint can be taken instead.
  """
  if name == "diffusion" and config.diffusion.model.latent:
    yield "vae", "autoencoder", "vae"
  if name == "diffusion" and networks.has_text(config.diffusion.model):
    yield "clip", "clip", "text_encoder"


def _check_autoencoder(config: ConfigDict) -> None:
  model, key = config.autoencoder.model, "autoencoder.model"
  _check_multiples(
      f"{key}.channels", model.channels, model.groups, f"{key}.groups")
  factor = VAEConfig(channels=model.channels).factor
  _check_size(config, factor, "the autoencoder's factor")


def _check_judge(config: ConfigDict) -> None:
  if config.data.source != STORYBOOK:
    raise InputError(
        f"stages={config.stages!r}: 'judge' learns from the labels of drawn "
        f"pictures, which those of data.source={config.data.source} lack; "
        f"leave it out, or set data.source={STORYBOOK}")
  _check_multiples(
      "judge.model.channels", config.judge.model.channels,
      ClassifierConfig.groups, "its groups")


def _check_clip(config: ConfigDict) -> None:
  model, key = config.clip.model, "clip.model"
  _check_multiples(f"{key}.width", (model.width,), model.heads, f"{key}.heads")
  _check_multiples(
      f"{key}.image_size", (model.image_size,), model.patch_size,
      f"{key}.patch_size")


def _check_diffusion(config: ConfigDict) -> None:
  model, key = config.diffusion.model, "diffusion.model"
  if len(model.attention) != len(model.channels):
    raise InputError(
        f"{key}.attention={model.attention}: expected as many values as "
        f"{key}.channels={model.channels}")
  _check_multiples(
      f"{key}.channels", model.channels, model.groups, f"{key}.groups")
  for width, heads in zip(model.channels, networks.heads(model), strict=True):
    if width % heads:
      raise InputError(
          f"{key}.channels={tuple(model.channels)}: {width} is not {heads} "
          f"heads of one width; expected multiples of {key}.head_width="
          f"{model.head_width} where there is attention, or less than twice it")
  _check_clips(config)
  _check_schedule(config)


def _check_clips(config: ConfigDict) -> None:
  """Checks the network over time, and the section `diffusion.clips`."""
  for name, allowed in VARIANTS.items():
    value = config.diffusion.model.get(name, allowed[0])
    if value not in allowed:
      raise InputError(
          f"diffusion.model.{name}={value!r}: expected {', '.join(allowed)}")
  total = frames_of(config.data)
  clips = config.diffusion.get("clips")
  if (clips is None) != (total == 1):
    raise InputError(
        f"data.frames={total}: expected "
        + ("1, as the config has no section diffusion.clips" if clips is None
           else "2 or more, for diffusion.clips"))
  if clips is None:
    return
  settings.check_ranges(config, [
      ("diffusion.clips.frames", 2, total),
      ("diffusion.clips.images", *_FROM_ZERO)])
  longest = (total - 1) // (clips.frames - 1)
  if not clips.strides or not all(1 <= s <= longest for s in clips.strides):
    raise InputError(
        f"diffusion.clips.strides={tuple(clips.strides)}: expected some of 1 "
        f"to {longest}, with which {clips.frames} frames fit into "
        f"data.frames={total}")


def _check_schedule(config: ConfigDict) -> None:
  values = config.diffusion.schedule.to_dict()
  known = [field.name for field in dataclasses.fields(Schedule)]
  for key in values:
    if key not in known:
      raise InputError(
          f"diffusion.schedule.{key}: unknown; expected some of "
          f"{', '.join(known)}")
  schedule = Schedule(**values)
  for key, allowed in (
      ("prediction", PREDICTIONS), ("beta_schedule", BETA_SCHEDULES),
      ("spacing", SPACINGS)):
    value = getattr(schedule, key)
    if value not in allowed:
      raise InputError(
          f"diffusion.schedule.{key}={value!r}: expected "
          f"{' or '.join(allowed)}")
  if schedule.zero_snr and schedule.prediction != "v_prediction":
    raise InputError(
        f"diffusion.schedule.prediction={schedule.prediction!r}: expected "
        "v_prediction beside diffusion.schedule.zero_snr=True; the last "
        "timestep is all noise, and says nothing of x_0")
  settings.check_ranges(config, [
      ("diffusion.sampling.steps", 1, schedule.num_train_steps)])


def _check_size(config: ConfigDict, factor: int, what: str) -> None:
  """Raises an InputError unless `factor` divides the pictures' size."""
  size = config.data.size
  if size % factor:
    raise InputError(
        f"data.size={size}: expected a multiple of {factor}, {what}; the "
        f"nearest is {max(1, round(size / factor)) * factor}")


def _check_multiples(
    key: str, values: Sequence[int], of: int, what: str
) -> None:
  if not values or any(value < 1 or value % of for value in values):
    raise InputError(
        f"{key}={', '.join(map(str, values)) or '()'}: expected multiples of "
        f"{of}, {what}")
