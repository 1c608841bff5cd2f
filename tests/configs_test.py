"""Every config file gives a config that its entry point takes."""

import importlib

from conftest import ROOT
import pytest

from configs import authors
from tav_jax import evaluate
from tav_jax.runs import settings

FILES = sorted(path.stem for path in (ROOT / "configs").glob("[a-z]*.py"))


@pytest.mark.parametrize("name", FILES)
def test_configs_are_locked(name):
  config = importlib.import_module(f"configs.{name}").get_config()
  assert config.is_locked
  if "task" in config:
    evaluate.check(config)


@pytest.mark.parametrize("name", authors.EXAMPLES)
def test_the_authors_examples_can_be_tuned(name):
  config = authors.get_config(name)
  settings.check(settings.of(config.to_dict()))
  assert name.replace("_", "-") in config.video.path
  assert len(config.sampling.prompts) == 4
