"""Checks a pretraining config before anything long begins."""

from collections.abc import Iterator
import math
import pathlib

from ml_collections import ConfigDict

from tav_jax.errors import InputError
from tav_jax.models.vae import VAEConfig
from tav_jax.pretraining import (
  conditions,
  diffusion_checks,
  distillation,
  networks,
  one_video,
  parts,
)
from tav_jax.pretraining.one_video import checks as one_video_checks
from tav_jax.pretraining.pictures import frames_of, STORYBOOK
from tav_jax.runs import settings
from tav_jax.sampling.schedule import Schedule
from tav_jax.storybook.classifier import ClassifierConfig

STAGES = (
    "tokenizer", "autoencoder", "judge", "clip", *conditions.STAGES,
    distillation.NAME)

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
    distillation.NAME: (("last", 1, 1024), ("first", 1, 1024)),
} | dict.fromkeys(conditions.STAGES, (
    ("model.layers", *_FROM_ONE), ("model.head_width", *_FROM_ONE),
    ("model.groups", *_FROM_ONE), ("model.no_caption", *_SHARE),
    ("model.min_snr", 1e-3, math.inf), ("sampling.guidance", 0, 100),
    ("schedule.beta_start", 0, settings.BELOW_ONE),
    ("schedule.beta_end", 0, settings.BELOW_ONE)))


def check(config: ConfigDict, workdir: pathlib.Path) -> None:
  """Raises an InputError that names the first invalid value."""
  if "stages" not in config:
    raise InputError(
        "--config: it has no key 'stages'; expected a config of pretraining, "
        "such as configs/pretrain_storybook.py")
  known = one_video.STAGES if one_video.trains(config) else STAGES
  unknown = [name for name in config.stages if name not in known]
  if unknown or not config.stages:
    raise InputError(
        f"stages={config.stages!r}: expected some of {', '.join(known)}")
  for name in config.stages:
    if name not in config:
      raise InputError(
          f"stages={config.stages!r}: {name!r} has no section in this config; "
          f"expected some of {', '.join(x for x in known if x in config)}"
          if any(x in config for x in known) else
          f"stages={config.stages!r}: this config has none of their sections; "
          "expected another config file")
  if one_video.trains(config):
    _check_one_video(config)
    return
  settings.check_ranges(config, _RANGES)
  for name in config.stages:
    ranges = _OWN[name] if name == "tokenizer" else _OWN[name] + _TRAINING
    _check_ranges_of_stage(config, name, ranges)
  if config.data.source == STORYBOOK:
    check_count(config, config.data.count)
  _check_order(config, workdir)
  for name, check in (
      ("autoencoder", _check_autoencoder), ("judge", _check_judge),
      ("clip", _check_clip)):
    if name in config.stages:
      check(config)
  for name in conditions.STAGES:
    if name in config.stages:
      diffusion_checks.check(config, name)
  if distillation.NAME in config.stages:
    _check_distillation(config)


def _check_ranges_of_stage(config: ConfigDict, name: str, ranges) -> None:
  settings.check_ranges(
      config, [(f"{name}.{key}", *limits) for key, *limits in ranges])


def _check_one_video(config: ConfigDict) -> None:
  one_video_checks.check(config)
  for name in config.stages:
    _check_ranges_of_stage(config, name, _TRAINING)
    diffusion_checks.check_schedule(config, name)


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
      name for name in config.stages
      if name not in ("tokenizer", *conditions.STAGES, distillation.NAME)]
  if frames_of(config.data) > 1 and of_pictures:
    raise InputError(
        f"stages={config.stages!r}: {of_pictures[0]!r} learns from pictures, "
        f"and data.frames={config.data.frames} makes clips; take its part from "
        "another checkpoint (parts='storybook', say)")
  for i, name in enumerate(config.stages):
    for part, maker, taken in _needs(config, name):
      directory = workdir / "model" / part
      if maker not in config.stages[:i] and not directory.is_dir() and not (
          others and taken and (others / taken).is_dir()):
        raise InputError(
            f"stages={config.stages!r}: {name!r} needs {directory}, which is "
            f"not there; run the stage {maker!r} before it")


def _needs(config: ConfigDict, name: str) -> Iterator[tuple[str, str, str]]:
  """Yields the parts of the model that a stage needs and the stage of each.

  And what of another checkpoint can be taken instead.
  """
  if name == distillation.NAME:
    yield "unet", "diffusion", ""
  if name in conditions.STAGES and config[name].model.get("after", ""):
    yield "unet", config[name].model.after, ""
  if name in conditions.STAGES and config[name].model.latent:
    yield "vae", "autoencoder", "vae"
  if name in conditions.STAGES and networks.has_text(config[name].model):
    yield "clip", "clip", "text_encoder"


def _check_distillation(config: ConfigDict) -> None:
  first, last = config.distillation.first, config.distillation.last
  rounds = math.log2(first / last)
  if rounds < 0 or rounds % 1:
    raise InputError(
        f"distillation.first={first}: expected distillation.last={last} times "
        "a power of two, as every round halves the steps")
  spacing = config.diffusion.schedule.get("spacing", Schedule.spacing)
  if spacing != "trailing":
    raise InputError(
        f"diffusion.schedule.spacing={spacing!r}: expected trailing for "
        "'distillation', whose student's steps are every other of its "
        "teacher's")


def _check_autoencoder(config: ConfigDict) -> None:
  model, key = config.autoencoder.model, "autoencoder.model"
  diffusion_checks.check_multiples(
      f"{key}.channels", model.channels, model.groups, f"{key}.groups")
  factor = VAEConfig(channels=model.channels).factor
  _check_size(config, factor, "the autoencoder's factor")


def _check_judge(config: ConfigDict) -> None:
  if config.data.source != STORYBOOK:
    raise InputError(
        f"stages={config.stages!r}: 'judge' learns from the labels of drawn "
        f"pictures, which those of data.source={config.data.source} lack; "
        f"leave it out, or set data.source={STORYBOOK}")
  diffusion_checks.check_multiples(
      "judge.model.channels", config.judge.model.channels,
      ClassifierConfig.groups, "its groups")
  across = -(-config.data.size // 2 ** len(config.judge.model.channels))
  if config.judge.model.strips > across:
    raise InputError(
        f"judge.model.strips={config.judge.model.strips}: expected at most "
        f"{across}, the pixels across after {len(config.judge.model.channels)} "
        f"halvings of data.size={config.data.size}")


def _check_clip(config: ConfigDict) -> None:
  model, key = config.clip.model, "clip.model"
  diffusion_checks.check_multiples(
      f"{key}.width", (model.width,), model.heads, f"{key}.heads")
  diffusion_checks.check_multiples(
      f"{key}.image_size", (model.image_size,), model.patch_size,
      f"{key}.patch_size")


def _check_size(config: ConfigDict, factor: int, what: str) -> None:
  """Raises an InputError unless `factor` divides the pictures' size."""
  size = config.data.size
  if size % factor:
    raise InputError(
        f"data.size={size}: expected a multiple of {factor}, {what}; the "
        f"nearest is {max(1, round(size / factor)) * factor}")
