"""All stages of pretraining through their entry point, on tiny networks."""

import functools
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import commands
from conftest import ROOT
import numpy as np
from PIL import Image
import pytest

import tav_jax
from tav_jax import pretrained
from tav_jax.pipelines import generation
from tav_jax.pretrained import shapes
from tav_jax.sampling.methods import Method
from tav_jax.storybook import dataset, judge

pytestmark = pytest.mark.slow

STAGES = ("tokenizer", "autoencoder", "judge", "clip", "diffusion")
LEAVES = {
    "autoencoder": ["vae"], "judge": ["judge"], "clip": ["clip"],
    "diffusion": [
        "unet", "text_encoder", "scheduler", "model_index.json", "README.md"]}
CONFIG = """
from configs import pretrain_{base}

def get_config():
  config = pretrain_{base}.get_config()
  config.data.directory = "{data}"
  config.data.count = 40
  config.data.size = 16
  config.tokenizer.captions = 40
  config.autoencoder.model.channels = (8, 8)
  config.autoencoder.model.latent_channels = 4
  config.autoencoder.model.groups = 4
  config.judge.model.channels = (16,)
  config.judge.model.strips = 1
  config.clip.model.image_size = 16
  config.clip.model.width = 16
  config.clip.model.layers = 1
  config.clip.model.heads = 2
  config.clip.model.embed_width = 8
  config.diffusion.model.channels = (32,)
  config.diffusion.model.attention = (False,)  # But in the middle.
  config.diffusion.model.head_width = 8
  config.diffusion.model.groups = 32
  config.diffusion.sampling.steps = 2
  for name in ("autoencoder", "judge", "clip", "diffusion"):
    config[name].optimizer.batch_size = 4
    config[name].optimizer.warmup_steps = 2
    config[name].run.steps = 6
    config[name].run.steps_per_dispatch = 1
    config[name].run.checkpoint_every = 2
    config[name].run.look_every = 3
  return config
"""


# With fewer pictures to test with than users draw.
FEW = """
import functools, runpy
from tav_jax.sampling.methods import Method
from tav_jax.storybook import dataset
dataset.StorybookImages = functools.partial(
    dataset.StorybookImages, test_count=40)
runpy.run_module("tav_jax.pretrain", run_name="__main__")
"""


@pytest.fixture(scope="module", autouse=True)
def few():
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(dataset, "StorybookImages", functools.partial(
        dataset.StorybookImages, test_count=40))
    yield


@pytest.fixture(scope="module")
def configs(tmp_path_factory):
  """The tiny configs by the name of what they derive from."""
  root = tmp_path_factory.mktemp("configs")
  made = {base: root / f"{base}.py" for base in ("storybook", "ddpm")}
  for base, file in made.items():
    file.write_text(CONFIG.format(base=base, data=root / "data"))
  return made


def train(config, workdir, *flags) -> str:
  return commands.finish(
      f"pretrain --config={config} --workdir={workdir}", *flags)


def contents(directory: pathlib.Path) -> dict[str, bytes]:
  return {
      str(file.relative_to(directory)): file.read_bytes()
      for file in sorted(directory.rglob("*")) if file.is_file()}


def logged(workdir, stage):
  """Steps whose loss was logged."""
  lines = (workdir / stage / "metrics.jsonl").read_text().splitlines()
  return [x["step"] for x in map(json.loads, lines) if "loss" in x]


@pytest.fixture(scope="module")
def run(configs, tmp_path_factory):
  """A run of all stages that was never interrupted."""
  workdir = tmp_path_factory.mktemp("runs") / "straight"
  return workdir, train(configs["storybook"], workdir)


def test_what_a_run_leaves(run):
  workdir, stderr = run
  begun = re.findall(r"^(\w+): [\d.]+ M parameters", stderr, re.MULTILINE)
  assert begun == [*STAGES[1:]]
  assert stderr.index("tokenizer: ") < stderr.index("autoencoder: ")
  assert {p.name for p in (workdir / "model").iterdir()} == {
      "tokenizer", *itertools.chain(*LEAVES.values())}
  for stage in STAGES[1:]:
    assert logged(workdir, stage) == [1, 2, 3, 4, 5, 6]
    assert (workdir / stage / "samples/step_000006").is_dir()
  sheets = workdir / "diffusion/samples/step_000003"
  for name in ("test.png", "held_out.png"):
    assert Image.open(sheets / name).size[0] > 8 * 192


def test_the_card_says_how_far_training_went(run):
  card = (run[0] / "model/README.md").read_text()
  assert "| pictures seen | 24, in batches of 4 |" in card
  assert len(re.findall(r"^\| (test|held_out) \|( \d+\.\d % \|){6}$", card,
                        re.MULTILINE)) == 2


def test_the_model_loads(run):
  model = run[0] / "model"
  loaded = tav_jax.load_pretrained(model)
  assert loaded.unet_config.in_channels == 4
  assert loaded.schedule.prediction == "v_prediction"
  clip = pretrained.load_clip(model)
  text = "a man is running"
  assert clip.tokenizer(text).input_ids == loaded.tokenizer(text).input_ids
  assert clip.config.text == loaded.text_encoder.config
  shown = judge.load(model / "judge")(np.zeros((1, 16, 16, 3), np.float32))
  assert shown["subject"].shape == (1,)


def test_a_finished_run_has_nothing_left_to_do(run, configs):
  workdir, _ = run
  parts = [workdir / "model", workdir / "latents"]
  before = [{f: f.stat().st_mtime_ns for f in p.rglob("*")} for p in parts]
  train(configs["storybook"], workdir)
  assert before == [
      {f: f.stat().st_mtime_ns for f in p.rglob("*")} for p in parts]
  for stage in STAGES[1:]:
    assert logged(workdir, stage) == [1, 2, 3, 4, 5, 6]


def assert_ends_as(workdir, straight, stages=STAGES[1:]):
  for stage in stages:
    assert logged(workdir, stage) == logged(straight, stage)
  ours, theirs = contents(workdir / "model"), contents(straight / "model")
  assert ours.keys() == theirs.keys()
  for name in theirs:
    assert ours[name] == theirs[name], name


def test_stages_go_on_from_their_checkpoints_bit_identical(
    run, configs, tmp_path):
  """As if each had been killed between its last two checkpoints."""
  straight, _ = run
  workdir = shutil.copytree(straight, tmp_path / "killed")
  for stage in STAGES[1:]:
    shutil.rmtree(workdir / stage / "checkpoints/6")
    for part in map((workdir / "model").joinpath, LEAVES[stage]):
      shutil.rmtree(part) if part.is_dir() else part.unlink()
  shutil.rmtree(workdir / "latents")  # Of the autoencoder that is gone.
  said = train(configs["storybook"], workdir)
  for stage in STAGES[1:]:
    assert f"{stage}: going on at step 4" in said
  assert_ends_as(workdir, straight)


def test_a_killed_stage_ends_bit_identical(run, configs, tmp_path):
  """Killed while it exports; tune_test.py has one killed while it saves."""
  straight, _ = run
  workdir = tmp_path / "killed"
  shutil.copytree(straight / "model", workdir / "model")
  for part in map((workdir / "model").joinpath, LEAVES["diffusion"]):
    shutil.rmtree(part) if part.is_dir() else part.unlink()

  process = subprocess.Popen(
      [sys.executable, "-c", FEW, f"--config={configs['storybook']}",
       f"--workdir={workdir}", "--config.stages=('diffusion',)"],
      cwd=ROOT, stderr=subprocess.PIPE, env=os.environ | commands.ENVIRONMENT)
  while process.poll() is None and not any(
      "unet" in file.name for file in (workdir / "model").iterdir()):
    time.sleep(0.001)
  process.send_signal(signal.SIGKILL)
  process.communicate()
  train(configs["storybook"], workdir, "--config.stages=('diffusion',)")
  assert_ends_as(workdir, straight, ["diffusion"])


# DDPM in pixels.


def test_ddpm_without_text(configs, tmp_path):
  train(configs["ddpm"], tmp_path)
  model = tmp_path / "model"
  assert {p.name for p in model.iterdir()} == {"unet", "scheduler"}
  unet, params = pretrained.load_unet(model, temporal="none")
  schedule = shapes.load_schedule(model / "scheduler")
  assert unet.text_width is None and schedule.clip_sample
  # What it draws is on the sheet, but for weights rounded to float16.
  drawn = generation.pictures(np.asarray, generation.sample(
      unet, schedule, params, generation.noise(0, (16, 16, 16, 3)), None,
      None, method=Method(2, "ancestral")))
  sheet = np.asarray(Image.open(
      tmp_path / "diffusion/samples/step_000006/samples.png"))
  zoom = sheet[8:8 + 192, 8:8 + 192][6::12, 6::12]
  assert np.abs(zoom.astype(int) - drawn[0]).mean() < 3


def test_ddpm_with_text_on_a_folder_of_pictures(configs, tmp_path):
  folder = tmp_path / "pictures"
  folder.mkdir()
  random = np.random.default_rng(0)
  with (folder / "metadata.jsonl").open("w") as file:
    for i in range(320):  # One in twenty is held back.
      pixels = random.integers(0, 256, (20, 24, 3), np.uint8)
      Image.fromarray(pixels).save(folder / f"{i}.png")
      file.write(json.dumps({"file_name": f"{i}.png", "text": f"a {i}"}) + "\n")
  flags = (f"--config.data.source={folder}", "--config.data.directory=",
           "--config.diffusion.model.captioned=True",
           "--config.stages=('tokenizer', 'clip', 'diffusion')")
  workdir = tmp_path / "run"
  code, said = commands.run(
      f"pretrain --config={configs['ddpm']} --workdir={workdir}", *flags,
      "--config.clip.optimizer.batch_size=305")
  assert code == 2
  assert "clip.optimizer.batch_size=305: expected at most 304" in said
  train(configs["ddpm"], workdir, *flags)
  model = workdir / "model"
  assert {p.name for p in model.iterdir()} == {
      "unet", "scheduler", "text_encoder", "tokenizer", "clip"}
  unet, _ = pretrained.load_unet(model, temporal="none")
  assert unet.text_width == 16 and unet.in_channels == 3
  assert pretrained.load_clip(model).tokenizer("a 3").input_ids
  sheets = workdir / "diffusion/samples/step_000006"
  assert [p.name for p in sheets.iterdir()] == ["test.png"]
  assert Image.open(sheets / "test.png").size[0] > 8 * 192
