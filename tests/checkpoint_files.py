"""A checkpoint's files, to be written in other ways."""

import json
import pathlib

from tav_jax.pretrained import files

STORYBOOK = files.locate("storybook")


def one_line(error) -> str:
  message = str(error.value)
  assert "\n" not in message and len(message) < 1200
  return message


def values(file: str) -> dict:
  return json.loads((STORYBOOK / file).read_text())


def write(root: pathlib.Path, contents: dict) -> pathlib.Path:
  for name, value in contents.items():
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(value, dict):
      file.write_text(json.dumps(value))
    else:
      file.write_bytes(value)
  return root
