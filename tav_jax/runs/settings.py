"""Ranges of config values, checked before anything long begins."""

from collections.abc import Iterable
import functools
import math
import operator
import re

from ml_collections import ConfigDict

from tav_jax.errors import InputError
from tav_jax.models.vae import VAEConfig
from tav_jax.sampling.schedule import Schedule

STARTS = ("inversion", "random", "shared")

SEEDS = (0, 2**32 - 1)
BELOW_ONE = 1 - 1e-9
ABOVE_ZERO = 1e-9

# Key, least and greatest value.
_RANGES = (
    ("seed", *SEEDS),
    ("model.attention_block", 0, math.inf),
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


def check(config: ConfigDict) -> None:
  """Raises an InputError that names the first value out of range."""
  check_all_but_texts(config)
  prompts = config.sampling.prompts
  if not all(isinstance(p, str) and p.strip() for p in prompts):
    raise InputError(f"sampling.prompts={prompts!r}: {_PROMPTS}")
  if not config.video.caption.strip():
    raise InputError(
        f"video.caption={config.video.caption!r}: expected what the video "
        "shows, such as 'a man is skiing'")


def check_all_but_texts(config: ConfigDict) -> None:
  """Like `check`, where it does not matter what captions and prompts say."""
  check_ranges(config, _RANGES)
  if config.sampling.start not in STARTS:
    raise InputError(
        f"sampling.start={config.sampling.start!r}: expected "
        f"{', '.join(STARTS)}")
  if not config.sampling.prompts:
    raise InputError(
        f"sampling.prompts={config.sampling.prompts!r}: {_PROMPTS}")


def check_for_model(
    config: ConfigDict, vae: VAEConfig, schedule: Schedule
) -> None:
  """Like `check`, for values whose range depends on the checkpoint."""
  for name in ("width", "height"):
    value = config.video[name]
    if value < 1 or value % vae.factor:
      nearest = max(1, round(value / vae.factor)) * vae.factor
      raise InputError(
          f"video.{name}={value}: expected a multiple of {vae.factor}, the "
          f"autoencoder's factor; the nearest is {nearest}")
  if not 1 <= config.sampling.steps <= schedule.num_train_steps:
    raise InputError(
        f"sampling.steps={config.sampling.steps}: expected 1 to "
        f"{schedule.num_train_steps}, the model's timesteps")


def shard(which: str) -> tuple[int, int]:
  """Part i of n of "i/n".

  Raises:
    InputError: If it is not such a fraction, with i from 0 to n-1.
  """
  match = re.fullmatch(r"(\d+)/(\d+)", which)
  i, n = map(int, match.groups()) if match else (0, 0)
  if not 0 <= i < n:
    raise InputError(
        f"shard={which!r}: expected i/n with i from 0 to n-1, such as 0/8")
  return i, n


_OF_TASKS = {
    "judge": (
        ("seed", *SEEDS), ("prompts", 1, math.inf), ("sheet", 1, math.inf),
        ("sampling.guidance", 0, 100), ("sampling.steps", 1, 1000)),
    "loveu": (),
    "scores": (("fps", 0.1, 100),),
    "storybook_edit": (("seed", *SEEDS), ("videos", 1, math.inf)),
    "study": (("seed", *SEEDS), ("fps", 0.1, 100)),
}


def check_evaluation(config: ConfigDict) -> None:
  """Like `check`, for evaluation."""
  task = config.get("task", "")
  if task not in _OF_TASKS:
    raise InputError(f"task={task!r}: expected {', '.join(_OF_TASKS)}")
  check_ranges(config, _OF_TASKS[task])


def check_ranges(config: ConfigDict, ranges: Iterable[tuple]) -> None:
  """Like `check`, for keys with their least and greatest value."""
  for key, low, high in ranges:
    value = functools.reduce(operator.getitem, key.split("."), config)
    if not low <= value <= high:  # NaN fails too.
      expected = f"{low} or more" if high == math.inf else f"{low} to {high}"
      raise InputError(f"{key}={value}: expected {expected}")
