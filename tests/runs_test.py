"""Settings of a run, and which of them may change in its workdir."""

import dataclasses
import json
import re

from conftest import ROOT
import jax
import pytest

from bench import random_checkpoint
from configs import default, storybook
from tav_jax import cli
from tav_jax.errors import InputError
from tav_jax.runs import settings, tuning
from tav_jax.runs import workdir as workdirs
from tav_jax.runs.job import Job


def test_settings_are_those_of_the_default_config():
  """So that a key which a config lacks has what the table says."""
  values = dataclasses.asdict(settings.Settings())
  assert values == default.get_config().to_dict()


def test_settings_are_what_a_config_says():
  config = storybook.get_config()
  found = settings.of(config.to_dict())
  assert dataclasses.asdict(found) == config.to_dict()
  as_json = json.loads(json.dumps(dataclasses.asdict(found)))
  assert settings.of(as_json) == found
  assert settings.of({"sampling": {"guidance": 2}}).sampling.guidance == 2.0


@pytest.mark.parametrize("config,told", [
    ({"smapling": {}}, "config key smapling: unknown; expected some of seed"),
    ({"model": {"colour": 1}}, "config key model.colour: unknown"),
    ({"model": 3}, "config key model=3: expected a section with keys"),
    ({"seed": "3"}, "seed='3': expected int"),
    ({"seed": True}, "seed=True: expected int"),
    ({"seed": 10**30}, "expected a number of 64 bits or fewer"),
    ({"run": {"export": 1}}, "run.export=1: expected bool"),
    ({"video": {"width": None}}, "video.width=None: expected int"),
    ({"optimizer": {"eps": [1e-8]}}, r"eps=\[1e-08\]: expected float"),
    ({"sampling": {"prompts": "a cat"}}, "prompts='a cat': expected texts"),
    ({"sampling": {"prompts": [1]}}, r"prompts=\[1\]: expected texts")])
def test_keys_and_values_that_no_run_has(config, told):
  with pytest.raises(InputError, match=told):
    settings.of(config)


# Workdirs.


@pytest.fixture
def workdir(tmp_path):
  """A run of 4 steps, of which 2 are taken."""
  (tmp_path / "checkpoints/2").mkdir(parents=True)
  workdirs.write_config(tmp_path, config_of(**{"optimizer.steps": 4}))
  return tmp_path


def config_of(**changes):
  config = storybook.get_config()
  config.update_from_flattened_dict(changes)
  return config.to_dict()


def check(workdir, **changes):
  Job("", settings.of(config_of(**changes)), workdir).check()


FREE = {
    "model.memory": "fit", "model.dtype": "bfloat16", "model.remat": False,
    "model.attention": "blockwise", "model.attention_block": 64,
    "optimizer.steps_per_dispatch": 1, "mesh.frame": 1, "run.export": True,
    "run.checkpoint_every": 7, "sampling.prompts": ("a cat",)}
PINNED = {
    "seed": 1, "model.checkpoint": "other", "model.spatial": "own",
    "model.trainable": ("attn_temp",), "video.frames": 4, "video.stride": 3,
    "video.caption": "a cat", "optimizer.learning_rate": 0.5,
    "optimizer.accumulate": 2}


@pytest.mark.parametrize("key", FREE)
def test_how_it_is_computed_may_change(workdir, key):
  check(workdir, **{"optimizer.steps": 4, key: FREE[key]})


@pytest.mark.parametrize("key", PINNED)
def test_what_a_checkpoint_depends_on_may_not(workdir, key):
  with pytest.raises(InputError, match=f"another config: {re.escape(key)}="):
    check(workdir, **{"optimizer.steps": 4, key: PINNED[key]})
  (workdir / "checkpoints/2").rmdir()  # Unless there is none.
  check(workdir, **{"optimizer.steps": 4, key: PINNED[key]})


@pytest.mark.parametrize("schedule,steps,told", [
    ("constant", 9, ""), ("constant", 4, ""), ("constant", 2, ""),
    ("constant", 1, "optimizer.steps=1: 2 are taken"),
    ("linear", 4, ""),
    ("linear", 9, "steps=9 .there 4..* set optimizer.steps=4"),
    ("cosine", 9, "by optimizer.schedule=cosine.* fall to 0 at step 4")])
def test_more_steps_are_those_of_a_longer_run_or_refused(
    workdir, schedule, steps, told):
  workdirs.write_config(workdir, config_of(**{
      "optimizer.steps": 4, "optimizer.schedule": schedule}))
  changes = {"optimizer.steps": steps, "optimizer.schedule": schedule}
  if told:
    with pytest.raises(InputError, match=told) as refused:
      check(workdir, **changes)
    for advised in re.findall(r"set optimizer.steps=(\d+)", str(refused.value)):
      check(workdir, **changes | {"optimizer.steps": int(advised)})
  else:
    check(workdir, **changes)


@pytest.mark.parametrize("key,other", [
    ("model.convolution", "pseudo_3d"), ("model.memory", None),
    ("optimizer.accumulate", 2), ("video.fit", "crop"), ("mesh", None)])
def test_a_key_that_is_new_has_its_default(workdir, key, other):
  file = workdir / "config.json"
  config = json.loads(file.read_text())
  section, _, last = key.rpartition(".")
  del (config[section] if section else config)[last]
  file.write_text(json.dumps(config))
  check(workdir, **{"optimizer.steps": 4})
  if other:
    with pytest.raises(InputError, match=f"{key}={other!r} .there "):
      check(workdir, **{"optimizer.steps": 4, key: other})


def advised() -> dict:
  """What an out-of-memory error says to set."""
  found = dict(re.findall(r"([a-z]+\.\w+)=(\w+)", cli.OUT_OF_MEMORY))
  assert found.keys() == {"model.memory", "sampling.batch_size"}
  return found | {"sampling.batch_size": int(found["sampling.batch_size"])}


def test_advice_for_little_memory_is_accepted(workdir):
  check(workdir, **{"optimizer.steps": 4} | advised())


@pytest.mark.slow
def test_advice_after_running_out_of_memory(tmp_path, monkeypatch, capsys):
  """Without a checkpoint, also less of the video."""
  random_checkpoint.write(tmp_path / "model", "least1")
  sizes = {"video.frames": 2, "video.width": 16, "video.height": 16}
  changes = {
      "model.checkpoint": str(tmp_path / "model"), "optimizer.steps": 1,
      "video.path": str(ROOT / "tav_jax/storybook/videos/man-skiing.mp4"),
      "run.sample_every": 1, "sampling.steps": 1}
  workdir = tmp_path / "run"

  def run(**more):
    config = storybook.get_config()
    config.update_from_flattened_dict(changes | sizes | more)
    tuning.run(config, workdir)

  def no_memory(*given):
    def steps(*args):
      raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: 99 GB")
    return steps

  with monkeypatch.context() as patch:
    patch.setattr(tuning.step, "make_steps", no_memory)
    with pytest.raises(jax.errors.JaxRuntimeError) as error:
      run()
  monkeypatch.setattr(cli.startup, "set_up", lambda: None)
  monkeypatch.setattr(cli, "_MULTI_HOST", type("", (), {"value": False}))
  monkeypatch.setattr(cli, "_WORKDIR", type("", (), {"value": "x"}))

  def main(config, workdir):
    raise error.value

  with pytest.raises(SystemExit):
    cli._guard(main, storybook.get_config())
  assert cli.OUT_OF_MEMORY in capsys.readouterr().err
  run(**advised() | {"video.frames": 1, "video.width": 8, "video.height": 8})
  assert (workdir / "samples/step_000001").exists()
