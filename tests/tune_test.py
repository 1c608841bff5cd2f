"""The main job through its entry points, on a tiny random checkpoint."""

import json
import pathlib
import signal
import time

import commands
import jax
import numpy as np
import orbax.checkpoint as ocp
from PIL import Image
import pytest
from tensorboard.backend.event_processing import event_accumulator

from bench import random_checkpoint
from tav_jax import pretrained
from tav_jax.pretrained import names

pytestmark = pytest.mark.slow

TINY = (
    "--config.video.frames=2", "--config.video.width=16",
    "--config.video.height=16", "--config.optimizer.steps=6",
    "--config.optimizer.steps_per_dispatch=1", "--config.sampling.steps=2",
    "--config.sampling.prompts=('a panda is skiing', 'a man is surfing')",
    "--config.run.checkpoint_every=2", "--config.run.sample_every=3")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
  directory = tmp_path_factory.mktemp("checkpoints") / "least1"
  random_checkpoint.write(directory, "least1")
  return f"--config.model.checkpoint={directory}"


def command(workdir, tiny, *flags):
  return "tune --config=configs/storybook.py", (
      f"--workdir={workdir}", tiny, *TINY, *flags)


def tune(workdir, tiny, *flags) -> str:
  entry, flags = command(workdir, tiny, *flags)
  return commands.finish(entry, *flags)


def checkpoint(workdir: pathlib.Path) -> dict[str, np.ndarray]:
  """All arrays of the last checkpoint, by name."""
  steps = sorted(int(p.name) for p in (workdir / "checkpoints").iterdir())
  restored = ocp.StandardCheckpointer().restore(
      (workdir / "checkpoints" / str(steps[-1]) / "default").resolve())
  leaves, _ = jax.tree.flatten_with_path(restored)
  return {
      jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(x)
      for path, x in leaves}


def losses(workdir):
  lines = (workdir / "metrics.jsonl").read_text().splitlines()
  return [(line["step"], line["loss"]) for line in map(json.loads, lines)]


@pytest.fixture(scope="module")
def run(tiny, tmp_path_factory):
  """A finished run that was never interrupted."""
  workdir = tmp_path_factory.mktemp("runs") / "straight"
  return workdir, tune(workdir, tiny)


def test_what_a_run_leaves(run):
  workdir, stderr = run
  assert "PSNR" in stderr and "XLA compilation" in stderr
  assert [step for step, _ in losses(workdir)] == [1, 2, 3, 4, 5, 6]
  assert json.loads((workdir / "config.json").read_text())["seed"] == 33
  for step in (3, 6):
    samples = workdir / "samples" / f"step_{step:06}"
    names = {p.name for p in samples.iterdir()}
    assert {"sheet.png", "sheet.mp4", "sheet.gif", "record.json",
            "00-source.mp4", "03-a-panda-is-skiing.mp4",
            "04-a-man-is-surfing.gif"} <= names
    frames = sorted((samples / "frames/03-a-panda-is-skiing").iterdir())
    assert [Image.open(f).size for f in frames] == [(16, 16)] * 2
    psnr = json.loads((samples / "record.json").read_text())["psnr_db"]
    assert psnr.keys() == {
        "autoencoder round trip", "inversion and back, no guidance"}
    assert all(value > 0 for value in psnr.values())
  events = event_accumulator.EventAccumulator(str(workdir))
  events.Reload()
  assert len(events.Scalars("loss")) == 6
  assert len(events.Images("a panda is skiing")) == 2


def test_killed_runs_end_bit_identical(run, tiny, tmp_path):
  straight, _ = run
  workdir = tmp_path / "killed"

  def writes(directory, mark):
    def there():
      try:
        return any(mark in p.name for p in (workdir / directory).iterdir())
      except FileNotFoundError:
        return False
    return there

  # While it saves, and while it writes samples.
  for moment in (
      writes("checkpoints", ".partial"), writes("samples", ".partial")):
    entry, flags = command(workdir, tiny)
    process = commands.start(entry, *flags)
    while not moment() and process.poll() is None:
      time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.communicate()
  assert "resuming at step" in tune(workdir, tiny)
  ours, theirs = checkpoint(workdir), checkpoint(straight)
  assert ours.keys() == theirs.keys()
  for name in ours:
    np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
  assert losses(workdir) == losses(straight)
  for file in straight.glob("samples/**/*.png"):
    same = workdir / file.relative_to(straight)
    assert same.read_bytes() == file.read_bytes(), file


def test_more_steps_are_those_of_a_longer_run(run, tiny, tmp_path):
  """And a key that did not exist when the run began has its default."""
  straight, _ = run
  tune(tmp_path, tiny, "--config.optimizer.steps=4")
  config = json.loads((tmp_path / "config.json").read_text())
  del config["model"]["convolution"], config["model"]["memory"]
  (tmp_path / "config.json").write_text(json.dumps(config))
  assert "resuming at step 4" in tune(tmp_path, tiny)
  ours, theirs = checkpoint(tmp_path), checkpoint(straight)
  for name in theirs:
    np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
  assert losses(tmp_path) == losses(straight)


def test_a_finished_run_has_nothing_left_to_do(run, tiny):
  workdir, _ = run
  before = checkpoint(workdir)
  assert "going on with the run" in tune(workdir, tiny)
  assert len(losses(workdir)) == 6
  assert len(list((workdir / "samples").iterdir())) == 2
  for name, array in checkpoint(workdir).items():
    np.testing.assert_array_equal(array, before[name])


def test_new_prompts_from_a_finished_run(run):
  workdir, _ = run
  file = workdir / "config.json"
  whole = file.read_text()
  config = json.loads(whole)
  del config["optimizer"], config["sampling"]["start"]
  file.write_text(json.dumps(config))  # Sampling needs neither.
  commands.finish(
      f"sample --workdir={workdir} --config.sampling.start=random",
      "--config.sampling.prompts=('a cat is surfing',)",
      "--config.model.memory=fit")
  file.write_text(whole)
  samples = workdir / "samples/step_000006_1"
  assert (samples / "01-a-cat-is-surfing.mp4").exists()
  record = json.loads((samples / "record.json").read_text())
  assert record["start"] == "random" and record["psnr_db"] == {}


def test_export_loads_as_the_tuned_network(run, tiny):
  workdir, _ = run
  tune(workdir, tiny, "--config.run.export=True")
  _, params = pretrained.load_unet(workdir)
  exported, tuned = names.flatten(params), checkpoint(workdir)
  path = ("mid_block/attentions_0/transformer_blocks_0/attn_temp/to_out_0/"
          "kernel")
  np.testing.assert_array_equal(exported[path], tuned[f"trainable/{path}"])
  assert np.abs(exported[path]).max() > 0
