"""The settings of a run: an object for each section, made once from a config.

A key that a config lacks has its default, so that a run that began before the
key existed goes on. `configs/default.py` shows the same defaults.
"""

from collections.abc import Iterable, Mapping
import dataclasses
import math
import operator
import re
from typing import Any

from tav_jax.errors import InputError
from tav_jax.models.vae import VAEConfig
from tav_jax.pipelines.video_model import ModelSettings
from tav_jax.runs.workdir import Pins
from tav_jax.sampling.schedule import Schedule
from tav_jax.training.optim import SCHEDULES

STARTS = ("inversion", "random", "shared")

SEEDS = (0, 2**32 - 1)
BELOW_ONE = 1 - 1e-9
ABOVE_ZERO = 1e-9


@dataclasses.dataclass(frozen=True)
class MeshSettings:
  """Section `mesh`: devices along each axis; -1 for all that are left."""

  video: int = 1
  frame: int = -1
  model: int = 1


@dataclasses.dataclass(frozen=True)
class VideoSettings:
  """Section `video`: the captioned video; as for `data.video.read`."""

  path: str = ""
  caption: str = ""
  start: int = 0
  stride: int = 2
  frames: int = 24
  width: int = 512
  height: int = 512
  fit: str = "stretch"
  fps: float = 0.0


@dataclasses.dataclass(frozen=True)
class OptimizerSettings:
  """Section `optimizer`: steps, learning rate and AdamW."""

  steps: int = 500
  learning_rate: float = 3e-5
  schedule: str = "constant"
  warmup_steps: int = 0
  b1: float = 0.9
  b2: float = 0.999
  eps: float = 1e-8
  weight_decay: float = 1e-2
  clip_norm: float = 1.0
  accumulate: int = 1
  steps_per_dispatch: int = 10


@dataclasses.dataclass(frozen=True)
class SamplingSettings:
  """Section `sampling`: which prompts are rendered, and how."""

  prompts: tuple[str, ...] = ("",)
  negative_prompt: str = ""
  start: str = "inversion"
  steps: int = 50
  guidance: float = 12.5
  batch_size: int = 1
  seed: int = 0


@dataclasses.dataclass(frozen=True)
class RunSettings:
  """Section `run`: what is written, and when."""

  checkpoint_every: int = 100
  sample_every: int = 500
  keep_checkpoints: int = 2
  export: bool = False


@dataclasses.dataclass(frozen=True)
class Settings:
  """All sections of a run's config, as `configs/default.py` has them."""

  seed: int = 33
  model: ModelSettings = dataclasses.field(default_factory=ModelSettings)
  mesh: MeshSettings = MeshSettings()
  video: VideoSettings = VideoSettings()
  optimizer: OptimizerSettings = OptimizerSettings()
  sampling: SamplingSettings = SamplingSettings()
  run: RunSettings = RunSettings()


def of(config: Mapping[str, Any]) -> Settings:
  """The settings of a config; `check` checks their values.

  Raises:
    InputError: If the config has an unknown key, or a value of another type.
  """
  return _of(Settings, config, "")


def with_defaults(config: Mapping[str, Any]) -> dict[str, Any]:
  """A config completed by the defaults of keys that it lacks."""
  return _join(dataclasses.asdict(Settings()), config)


def _join(defaults: Mapping, config: Mapping) -> dict:
  nested = {
      key: _join(defaults[key], value) for key, value in config.items()
      if isinstance(value, dict) and isinstance(defaults.get(key), dict)}
  return {**defaults, **config, **nested}


def _of(kind: Any, values: Any, prefix: str) -> Any:
  if not isinstance(values, Mapping):
    raise InputError(
        f"config key {prefix[:-1]}={values!r}: expected a section with keys")
  fields = {field.name: field for field in dataclasses.fields(kind)}
  for key in values:
    if key not in fields:
      raise InputError(
          f"config key {prefix}{key}: unknown; expected some of "
          f"{', '.join(prefix + name for name in fields)}")
  return kind(**{
      key: _value(fields[key].type, value, f"{prefix}{key}")
      for key, value in values.items()})


def _value(kind: Any, value: Any, key: str) -> Any:
  if dataclasses.is_dataclass(kind):
    return _of(kind, value, f"{key}.")
  if kind not in (bool, int, float, str):  # Texts, which JSON has in a list.
    if not isinstance(value, list | tuple) or not all(
        isinstance(text, str) for text in value):
      raise InputError(f"{key}={value!r}: expected texts, as ('this', 'that')")
    return tuple(value)
  if isinstance(value, bool) != (kind is bool) or not isinstance(
      value, (int, float) if kind is float else kind):
    raise InputError(f"{key}={value!r}: expected {kind.__name__}")
  if isinstance(value, int) and abs(value) >= 2**63:
    raise InputError(f"{key}={value}: expected a number of 64 bits or fewer")
  return float(value) if kind is float else value


def typed(kind: type, key: str, value: Any) -> Any:
  """A key's value in the key's type, from a table's text, JSON or YAML.

  Raises:
    InputError: If it is no value of that type.
  """
  try:
    if isinstance(value, str) and kind is bool:
      return {"true": True, "false": False}[value.lower()]
    if isinstance(value, str) or type(value) is kind or (
        (kind, type(value)) == (float, int)):
      value = kind(value)
      if kind is not float or math.isfinite(value):
        return value
  except (KeyError, ValueError, OverflowError):
    pass
  raise InputError(f"{key}={value!r}: expected {kind.__name__}")


# The keys that a checkpoint depends on: not those of speed and memory, nor the
# number of steps, which `Job.check` checks.
PINS = Pins(
    sections=("seed", "model", "video", "optimizer"),
    free=(
        "model.dtype", "model.remat", "model.attention",
        "model.attention_block", "model.memory", "optimizer.steps",
        "optimizer.steps_per_dispatch", "video.fps"),
    defaults=dataclasses.asdict(Settings()))
# The keys that rendering from a checkpoint depends on.
SAMPLING_PINS = PINS._replace(sections=("model", "video"))


# Key, least and greatest value.
_RANGES = (
    ("seed", *SEEDS),
    ("model.attention_block", 0, math.inf),
    ("video.fps", 0, 1000),
    ("optimizer.steps", 0, math.inf),
    ("optimizer.learning_rate", 0, 1),
    ("optimizer.warmup_steps", 0, math.inf),
    ("optimizer.b1", 0, BELOW_ONE),
    ("optimizer.b2", 0, BELOW_ONE),
    ("optimizer.eps", 0, math.inf),
    ("optimizer.weight_decay", 0, math.inf),
    ("optimizer.clip_norm", ABOVE_ZERO, math.inf),
    ("optimizer.accumulate", 1, math.inf),
    ("optimizer.steps_per_dispatch", 1, math.inf),
    ("sampling.guidance", 0, 100),
    ("sampling.batch_size", 1, math.inf),
    ("sampling.seed", *SEEDS),
    ("run.checkpoint_every", 1, math.inf),
    ("run.sample_every", 1, math.inf),
    ("run.keep_checkpoints", 1, math.inf),
)
_PROMPTS = "expected one or more texts, such as \"('a panda is skiing',)\""


def check(settings: Settings) -> None:
  """Raises an InputError that names the first value out of range."""
  check_all_but_texts(settings)
  prompts = settings.sampling.prompts
  if not all(isinstance(p, str) and p.strip() for p in prompts):
    raise InputError(f"sampling.prompts={prompts!r}: {_PROMPTS}")
  if not settings.video.caption.strip():
    raise InputError(
        f"video.caption={settings.video.caption!r}: expected what the video "
        "shows, such as 'a man is skiing'")
  for key, texts in (
      ("video.caption", (settings.video.caption,)),
      ("sampling.prompts", prompts),
      ("sampling.negative_prompt", (settings.sampling.negative_prompt,))):
    for text in texts:
      if re.search("[\0\ud800-\udfff]", text):
        raise InputError(
            f"{key}: {text!r}: expected Unicode; it has a zero character, half "
            "a character, or bytes that are not UTF-8")


def check_all_but_texts(settings: Settings) -> None:
  """Like `check`, but captions and prompts may be empty."""
  check_ranges(settings, _RANGES)
  sampling = settings.sampling
  for key, value, words in (
      ("sampling.start", sampling.start, STARTS),
      ("optimizer.schedule", settings.optimizer.schedule, SCHEDULES)):
    if value not in words:
      raise InputError(f"{key}={value!r}: expected {', '.join(words)}")
  if not sampling.prompts:
    raise InputError(f"sampling.prompts={sampling.prompts!r}: {_PROMPTS}")


def check_for_model(
    settings: Settings, vae: VAEConfig, schedule: Schedule
) -> None:
  """Like `check`, for values whose range depends on the checkpoint."""
  for name in ("width", "height"):
    value = getattr(settings.video, name)
    if value < 1 or value % vae.factor:
      nearest = max(1, round(value / vae.factor)) * vae.factor
      raise InputError(
          f"video.{name}={value}: expected a multiple of {vae.factor}, the "
          f"autoencoder's factor; the nearest is {nearest}")
  steps = settings.sampling.steps
  if not 1 <= steps <= schedule.num_train_steps:
    raise InputError(
        f"sampling.steps={steps}: expected 1 to {schedule.num_train_steps}, "
        "the model's timesteps")


def check_ranges(config: Any, ranges: Iterable[tuple]) -> None:
  """Like `check`, for keys with their least and greatest value.

  Args:
    config: Settings, or a config of another entry point.
    ranges: Key, least and greatest value of each.
  """
  for key, low, high in ranges:
    value = operator.attrgetter(key)(config)
    if not low <= value <= high:  # NaN fails too.
      expected = f"{low} or more" if high == math.inf else f"{low} to {high}"
      raise InputError(f"{key}={value}: expected {expected}")
