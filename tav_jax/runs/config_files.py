"""Config files: those of this project, and the authors'."""

from collections.abc import Mapping
import os
import pathlib
import re
import shlex
import sys
from typing import Any

from ml_collections import ConfigDict
from ml_collections.config_flags.config_flags import ConfigFileFlagParser

from tav_jax.errors import InputError, one_line
from tav_jax.runs import authors_yaml


def read(file: str) -> ConfigDict:
  """What `get_config()` of FILE returns, or `get_config(NAME)` of FILE:NAME.

  Or what a config file of the authors says, which is YAML.

  Raises:
    InputError: If it cannot be read, or makes no config.
  """
  if file.endswith((".yaml", ".yml")):
    config, left = authors_yaml.read(pathlib.Path(file))
    if left:
      print(f"warning: {file}: not honoured: {left}", file=sys.stderr)
    return config
  path = file.split(":")[0]
  if path != file and os.path.isfile(file):
    raise InputError(
        f"--config={file}: after a ':' stands an argument of get_config; "
        "expected a path without ':', such as another name of the file")
  if not os.path.isfile(path):
    raise InputError(
        f"--config={file}: no such file; expected a config file such as "
        "--config=configs/storybook.py")
  try:
    config = ConfigFileFlagParser("config").parse(file)
  except Exception as error:  # Whatever the user's file raises.
    cause = error.__context__ or error  # Some are wrapped, with a traceback.
    raise InputError(
        f"--config={file}: {type(cause).__name__}: {one_line(cause)}"
    ) from error
  if not isinstance(config, ConfigDict):
    raise InputError(
        f"--config={file}: expected a get_config() in it that returns a "
        "ConfigDict, as in configs/storybook.py")
  return config


def quoted(error: Exception, known: Mapping[str, Any]) -> str:
  """How a shell takes the texts that the error of a flag is about, or "".

  An apostrophe within apostrophes ends a text of Python, and of a shell.
  """
  flag = re.match(
      r"flag --config\.([\w.]+)=(.*): Error while parsing string: \2 as tuple",
      str(error), re.DOTALL)
  if not flag or not all(isinstance(x, str) for x in known.get(flag[1], (0,))):
    return ""
  inside = re.sub(r"^[(\[]|[)\]]$", "", flag[2].strip()).strip(" ,\n")
  if inside[:1] in ("'", '"'):
    texts = re.split(r"['\"]\s*,\s*['\"]", inside.strip("'\""))
  else:
    texts = inside.split(",") if flag[2].lstrip()[:1] in "([" else [inside]
  found = shlex.quote(repr(tuple(text.strip() for text in texts)))
  return (
      f"{flag[1]}={flag[2]}: expected texts in quotes, as of Python; these are "
      f"--config.{flag[1]}={found}")
