"""Several processes run one command, over loopback: one of them writes."""

import json
import os
import pathlib
import re
import socket

import commands
from conftest import ROOT
import numpy as np
from PIL import Image
import pytest

from bench import random_checkpoint
from tav_jax import pretrained

pytestmark = pytest.mark.slow

VIDEO = ROOT / "tav_jax/storybook/videos/man-skiing.mp4"
TINY = (
    "--config=configs/storybook.py", "--config.video.frames=4",
    "--config.video.width=16", "--config.video.height=16",
    "--config.optimizer.steps=2", "--config.optimizer.steps_per_dispatch=1",
    "--config.optimizer.eps=1e-2", "--config.sampling.steps=2",
    "--config.sampling.batch_size=1", "--config.run.checkpoint_every=1",
    "--config.sampling.guidance=1",  # Of one program with inversion.
    "--config.run.export=True")


def on_two(command, devices, *flags) -> list[str]:
  """What two processes say, each with as many devices, that run a command."""
  with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
  environment = os.environ | commands.ENVIRONMENT | {
      "XLA_FLAGS": os.environ["XLA_FLAGS"]
      + f" --xla_force_host_platform_device_count={devices}",
      "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}", "JAX_NUM_PROCESSES": "2"}
  both = [
      commands.start(
          command, *flags, "--multi_host",
          env=environment | {"JAX_PROCESS_ID": str(i)}) for i in range(2)]
  told = [process.communicate()[1] for process in both]
  assert not any(process.returncode for process in both), told
  return told


def numbers(workdir: pathlib.Path):
  """Losses, frames and exported weights of a run."""
  lines = (workdir / "metrics.jsonl").read_text().splitlines()
  files = sorted((workdir / "samples/step_000002/frames").rglob("*.png"))
  _, params = pretrained.load_unet(workdir)
  kernel = params["mid_block"]["attentions_0"]["transformer_blocks_0"][
      "attn_temp"]["to_out_0"]["kernel"]
  return [json.loads(line)["loss"] for line in lines], np.stack([
      np.asarray(Image.open(file)) for file in files]).astype(int), kernel


@pytest.fixture(scope="module")
def lists(tmp_path_factory):
  """Flags of a list of two videos, one of which starts later."""
  root = tmp_path_factory.mktemp("hosts")
  random_checkpoint.write(root / "model", "least1")
  (root / "videos.csv").write_text(
      "video,caption,prompts,video.start,seed,name\n"
      f"{VIDEO},a man is skiing,a panda is skiing,0,1,one\n"
      f"{VIDEO},a man is skiing fast,a robot is skiing,4,2,two\n")
  return (*TINY, f"--videos={root / 'videos.csv'}", "--together=2",
          f"--config.model.checkpoint={root / 'model'}")


@pytest.fixture(scope="module")
def pair(lists, tmp_path_factory):
  """The list on two processes of two devices: a video on each process."""
  workdir = tmp_path_factory.mktemp("hosts") / "pair"
  return workdir, on_two(
      "tune_many", 2, *lists, f"--workdir={workdir}", "--config.mesh.video=2",
      "--config.mesh.frame=2")


def test_two_processes_tune_invert_sample_and_export_as_one(
    pair, lists, tmp_path):
  workdir, told = pair
  assert "4 x cpu" in told[0] and "exported" in told[0]
  assert not re.search("training|tuning|exported", told[1])
  commands.finish("tune_many", *lists, f"--workdir={tmp_path}")
  for name in ("one", "two"):
    losses, frames, kernel = numbers(workdir / name)
    expected, pictures, weights = numbers(tmp_path / name)
    assert len(losses) == len(expected) == 2  # Each step is logged once.
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    assert np.abs(frames - pictures).max() <= 2
    np.testing.assert_allclose(kernel, weights, rtol=0, atol=1e-5)
    assert not list((workdir / name).rglob("*.partial"))


def test_two_processes_have_nothing_left_to_do(pair, lists):
  workdir, _ = pair
  before = {f: f.stat().st_mtime_ns for f in workdir.rglob("*")}
  told = on_two(
      "tune_many", 2, *lists, f"--workdir={workdir}", "--config.mesh.video=2",
      "--config.mesh.frame=2")
  assert "2 runs, 2 of them done before" in told[0]
  assert before == {f: f.stat().st_mtime_ns for f in workdir.rglob("*")}


def test_two_processes_sample_a_workdir(pair):
  workdir = pair[0] / "one"
  on_two(
      "sample", 1, f"--workdir={workdir}", "--config.mesh.video=1",
      "--config.mesh.model=2", "--config.mesh.frame=1",
      "--config.sampling.guidance=7", "--config.sampling.start=random",
      "--config.sampling.prompts=('a cat is skiing',)")
  (samples,) = workdir.glob("samples/step_000002_*")
  record = json.loads((samples / "record.json").read_text())
  assert record["prompts"] == ["a cat is skiing"]
  assert len(list((samples / "frames").iterdir())) == 2  # Source and edit.
