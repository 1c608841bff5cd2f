"""Bad input: one line that names it and what would do, and nothing damaged.

The rows run where `world` is the working directory, in this process: a row is a
command and parts of the line that it must say. `ALONE` are those that also run
as a user starts them.
"""

import contextlib
import dataclasses
import json
import pathlib
import runpy
import shutil
import signal

import av
import commands
from conftest import ROOT
from huggingface_hub import constants as hub
import jax.numpy as jnp
import numpy as np
import pytest

from bench import random_checkpoint
from tav_jax import pretrain
from tav_jax.runs import build, settings
from tav_jax.runs import workdir as workdirs
from tav_jax.training.checkpoint import Checkpoints

CONFIG = """
from configs import storybook

def get_config():
  config = storybook.get_config()
  config.model.checkpoint = "tiny"
  config.video.path = "good.mp4"
  config.video.stride = 1
  config.video.frames = 8
  config.video.width = 16
  config.video.height = 16
  config.optimizer.steps = 2
  return config
"""
STAGES = """
from configs import pretrain_storybook

def get_config():
  config = pretrain_storybook.get_config()
  config.data.count = 1000
  return config
"""
TUNE = "tune --config=config.py --workdir=new"
PRETRAIN = "pretrain --config=stages.py --workdir=new"
EVALUATE = f"evaluate --workdir=new --config={ROOT}/configs"
WEIGHTS = "diffusion_pytorch_model.safetensors"

# What is run: the error line's parts.
ROWS = {
    # The video.
    f"{TUNE} --config.video.path=nope.mp4":
        ["video.path=nope.mp4", "no such file", "expected a video"],
    f"{TUNE} --config.video.path=tiny": ["video.path=tiny", "expected a video"],
    f"{TUNE} --config.video.path=text.mp4":
        ["video.path=text.mp4", "cannot be read", "not a video"],
    f"{TUNE} --config.video.path=index_last_cut.mp4":
        ["index_last_cut.mp4", "cannot be read", "cut short"],
    f"{TUNE} --config.video.path=index_first_cut.mp4":
        ["index_first_cut.mp4", "breaks off", "or frames=8"],
    f"{TUNE} --config.video.path=sound.wav":
        ["video.path=sound.wav", "no video stream"],
    f"{TUNE} --config.video.frames=9":
        ["good.mp4", "8 frames", "0 to 8", "lower", "or frames=9"],
    f"{TUNE} --config.video.stride=2":
        ["good.mp4", "8 frames", "0 to 14", "lower", " stride=2"],
    f"{TUNE} --config.video.start=100":
        ["good.mp4", "8 frames", "100 to 107", "lower start=100"],
    f"{TUNE} --config.video.start=-1": ["video.start=-1", "0 or more"],
    f"{TUNE} --config.video.stride=0": ["video.stride=0", "1 or more"],
    f"{TUNE} --config.video.frames=0": ["video.frames=0", "1 or more"],
    f"{TUNE} --config.video.width=0": ["video.width=0", "1 or more"],
    f"{TUNE} --config.video.height=-64": ["video.height=-64", "1 or more"],
    f"{TUNE} --config.video.width=63":
        ["video.width=63", "multiple of 2", "nearest is 64"],
    f"{TUNE} --config.video.fit=squeeze":
        ["video.fit='squeeze'", "stretch, crop, pad"],
    f"{TUNE} --config.video.caption=": ["video.caption=''", "such as"],

    # The checkpoint that is tuned.
    f"{TUNE} --config.model.checkpoint=nope":
        ["checkpoint nope", "no such directory", "expected"],
    f"{TUNE} --config.model.checkpoint=./no/pe":
        ["checkpoint ./no/pe", "no such directory", "expected"],
    f"{TUNE} --config.model.checkpoint=nobody/nothing":
        ["checkpoint nobody/nothing", "hub cannot be reached", "local"],
    f"{TUNE} --config.model.checkpoint=text.mp4":
        ["checkpoint text.mp4", "is a file", "expected"],
    f"{TUNE} --config.model.checkpoint=finished":
        ["checkpoint finished", "unet/ is missing", "expected"],
    f"{TUNE} --config.model.checkpoint=no_vae":
        ["checkpoint no_vae", "vae/ is missing", "expected"],
    f"{TUNE} --config.model.checkpoint=no_tokens":
        ["no_tokens/tokenizer", "expected vocab.json"],
    f"{TUNE} --config.model.checkpoint=other_shapes":
        ["other_shapes/unet", "~ other shape", "check that config and weights"],
    f"{TUNE} --config.model.checkpoint=pickled":
        ["pickled/vae", "never loaded", "safe_serialization=True"],
    f"{TUNE} --config.model.checkpoint=cut_weights":
        [f"cut_weights/vae/{WEIGHTS}", "cannot be read", "download"],
    f"{TUNE} --config.model.checkpoint=cut_settings":
        ["cut_settings/vae/config.json", "not valid JSON"],

    # The command line.
    "tune --workdir=new": ["--config=", "such as --config=configs/"],
    "tune --config=config.py": ["--workdir"],
    "tune --config=nope.py --workdir=new": ["--config=nope.py", "such as"],
    "tune --config=new.py/x --workdir=new": ["--config=new.py/x", "such as"],
    "tune --config=config.py --workdir=": ["--workdir"],
    "sample": ["--workdir=", "expected --workdir=DIR"],
    f"{TUNE} stray": ["'stray'", "expected --config.key=value"],
    f"{TUNE} --nope=3": ["'nope'"],
    f"{TUNE} --config.optimizer.step=3":
        ["'optimizer.step'", "nearest", "'optimizer.steps'"],
    f"{TUNE} --config.smapling.guidance=3":
        ["'smapling.guidance'", "nearest", "'sampling.guidance'"],
    f"{TUNE} --config.optimizer.steps=abc":
        ["config.optimizer.steps=abc", "int"],
    f"{TUNE} --config.video.width=6.5": ["config.video.width=6.5", "int"],
    f"{TUNE} --config.sampling.prompts='a panda'":
        ["sampling.prompts=a panda", "quotes"],

    # Values out of range.
    f"{TUNE} --config.seed=99999999999999999999":
        ["seed=99999999999999999999", "expected"],
    f"{TUNE} --config.model.dtype=float8":
        ["model.dtype='float8'", "float32, bfloat16, auto"],
    f"{TUNE} --config.model.trainable=\"('attn9',)\"":
        ["model.trainable", "'attn9'", "expected part of a path"],
    f"{TUNE} --config.model.trainable=\"('attn1(',)\"":
        ["model.trainable", "'attn1('", "expected"],
    f"{TUNE} --config.model.trainable=()":
        ["model.trainable=()", "expected"],
    f"{TUNE} --config.optimizer.steps=-1": ["optimizer.steps=-1", "0 or more"],
    f"{TUNE} --config.optimizer.clip_norm=0":
        ["optimizer.clip_norm=0.0", "or more"],
    f"{TUNE} --config.optimizer.learning_rate=-1":
        ["optimizer.learning_rate=-1.0", "0 to 1"],
    f"{TUNE} --config.optimizer.learning_rate=nan":
        ["optimizer.learning_rate=nan", "0 to 1"],
    f"{TUNE} --config.optimizer.learning_rate=30":
        ["optimizer.learning_rate=30.0", "0 to 1"],
    f"{TUNE} --config.optimizer.schedule=steps":
        ["optimizer.schedule='steps'", "constant, linear, cosine"],
    f"{TUNE} --config.sampling.guidance=-1":
        ["sampling.guidance=-1.0", "0 to 100"],
    f"{TUNE} --config.sampling.guidance=nan":
        ["sampling.guidance=nan", "0 to 100"],
    f"{TUNE} --config.sampling.guidance=1e9":
        ["sampling.guidance=1000000000.0", "0 to 100"],
    f"{TUNE} --config.sampling.steps=0": ["sampling.steps=0", "1 to 1000"],
    f"{TUNE} --config.sampling.steps=2000":
        ["sampling.steps=2000", "1 to 1000"],
    f"{TUNE} --config.sampling.start=noise":
        ["sampling.start='noise'", "inversion, random, shared"],
    f"{TUNE} --config.sampling.prompts=()":
        ["sampling.prompts=()", "such as \"('a panda"],
    f"{TUNE} --config.sampling.prompts=\"('a cat', '')\"":
        ["sampling.prompts=('a cat', '')", "such as \"('a panda"],

    # The workdir.
    "tune --config=config.py --workdir=text.mp4":
        ["--workdir=text.mp4", "cannot be written", "a new one"],
    "tune --config=config.py --workdir=text.mp4/run":
        ["--workdir=text.mp4/run", "cannot be written", "a new one"],
    "tune --config=config.py --workdir=no_config":
        ["--workdir=no_config", "no config.json", "use another workdir"],
    "tune --config=config.py --workdir=cut_config":
        ["--workdir=cut_config", "config.json cannot be read", "restore"],
    "tune --config=config.py --workdir=list_config":
        ["--workdir=list_config", "config.json", "restore"],
    "tune --config=config.py --workdir=cut_checkpoint":
        ["cut_checkpoint/checkpoints/2", "cannot be restored", "delete"],
    "tune --config=config.py --workdir=finished --config.optimizer.steps=1":
        ["optimizer.steps=1: 2 are taken", "--workdir=finished", "another"],
    "tune --config=config.py --workdir=finished --config.video.caption=cat":
        ["video.caption='cat' (there 'a man is skiing on the snow')"],
    "tune --config=config.py --workdir=finished --config.sampling.guidance=-1":
        ["sampling.guidance=-1.0", "0 to 100"],
    "tune --config=config.py --workdir=partial --config.run.sample_every=0":
        ["run.sample_every=0", "1 or more"],
    "sample --workdir=nope": ["--workdir=nope", "tav_jax.tune"],
    "sample --workdir=text.mp4": ["--workdir=text.mp4", "tav_jax.tune"],
    "sample --workdir=no_config": ["--workdir=no_config", "tav_jax.tune"],
    "sample --workdir=cut_config": ["--workdir=cut_config", "tav_jax.tune"],
    "sample --workdir=list_config": ["--workdir=list_config", "tav_jax.tune"],
    "sample --workdir=no_checkpoint":
        ["--workdir=no_checkpoint", "no checkpoint yet", "run tav_jax.tune"],
    "sample --workdir=cut_checkpoint":
        ["cut_checkpoint/checkpoints/2", "cannot be restored", "delete"],
    "sample --workdir=cut_arrays":
        ["cut_arrays/checkpoints/2", "cannot be restored", "delete"],
    "sample --workdir=other_arrays":
        ["other_arrays/checkpoints/2", "cannot be restored", "delete"],
    "sample --workdir=finished --config.sampling.guidence=3":
        ["'sampling.guidence'", "nearest", "'sampling.guidance'"],
    "sample --workdir=finished --config.video.frames=4":
        ["--workdir=finished", "video.frames=4 (there 8)"],
    "sample --workdir=finished --config.sampling.steps=0":
        ["sampling.steps=0", "1 to 1000"],
    "sample --workdir=partial --config.sampling.guidance=nan":
        ["sampling.guidance=nan", "0 to 100"],

    # Pretraining.
    f"{PRETRAIN} --config.stages=\"('clip', 'paint')\"":
        ["stages=('clip', 'paint')", "tokenizer, autoencoder, judge, clip,"],
    f"{PRETRAIN} --config.stages=()": ["stages=()", "expected some of"],
    f"{PRETRAIN} --config.stages=\"('diffusion',)\"":
        ["'diffusion' needs new/model/vae", "the stage 'autoencoder'"],
    f"{PRETRAIN} --config.stages=\"('autoencoder', 'diffusion', 'clip')\"":
        ["'diffusion' needs new/model/clip", "the stage 'clip' before"],
    f"{PRETRAIN} --config.data.source=clips":
        ["'judge'", "data.source=clips lack", "leave it out"],
    f"{PRETRAIN} --config.data.source=nope --config.stages=\"('clip',)\"":
        ["data.source=nope", "metadata.jsonl", "no such file"],
    f"{PRETRAIN} --config.data.source=clips --config.stages=\"('clip',)\"":
        ["data.source=clips", "clips; expected pictures"],
    f"{PRETRAIN} --config.data.source=cut --config.stages=\"('clip',)\"":
        ["data.source=cut", "line 1", "not JSON"],
    f"{PRETRAIN} --config.data.size=66":
        ["data.size=66", "multiple of 4, the autoencoder's", "nearest is 64"],
    f"{PRETRAIN} --config.clip.model.image_size=60":
        ["clip.model.image_size=60", "multiples of 8, clip.model.patch_size"],
    f"{PRETRAIN} --config.clip.optimizer.batch_size=0":
        ["clip.optimizer.batch_size=0", "1 or more"],
    f"{PRETRAIN} --config.judge.optimizer.batch_size=1001":
        ["judge.optimizer.batch_size=1001", "at most 1000", "lower it"],
    f"{PRETRAIN} --config.diffusion.optimizer.learning_rate=nan":
        ["diffusion.optimizer.learning_rate=nan", "0 to 1"],
    f"{PRETRAIN} --config.tokenizer.vocab_size=500":
        ["tokenizer.vocab_size=500", "514 or more"],
    f"{PRETRAIN} --config.autoencoder.model.groups=5":
        ["autoencoder.model.channels=16, 32, 64", "multiples of 5", ".groups"],
    f"{PRETRAIN} --config.judge.model.channels=\"(16, 24)\"":
        ["judge.model.channels=16, 24", "multiples of 16"],
    f"{PRETRAIN} --config.clip.model.heads=5":
        ["clip.model.width=128", "multiples of 5, clip.model.heads"],
    f"{PRETRAIN} --config.diffusion.model.head_width=48":
        ["160 is not 3 heads", "multiples of", "head_width=48"],
    f"{PRETRAIN} --config.diffusion.model.groups=32":
        ["diffusion.model.channels=48, 96, 160", "32, diffusion.model.groups"],
    f"{PRETRAIN} --config.diffusion.model.channels=()":
        ["diffusion.model.attention=(True, True, True)", "as many values"],
    f"{PRETRAIN} --config.diffusion.model.min_snr=0":
        ["diffusion.model.min_snr=0", "0.001 or more"],
    f"{PRETRAIN} --config.diffusion.schedule.prediction=x0":
        ["diffusion.schedule.prediction='x0'", "epsilon or v_prediction"],
    f"{PRETRAIN} --config.diffusion.schedule.beta_schedule=flat":
        ["diffusion.schedule.beta_schedule='flat'", "scaled_linear"],
    f"{PRETRAIN} --config.diffusion.sampling.steps=1001":
        ["diffusion.sampling.steps=1001", "1 to 1000"],
    "pretrain --config=stages.py --workdir=text.mp4":
        ["--workdir=text.mp4/autoencoder", "cannot be written", "a new one"],
    "pretrain --config=stages.py --workdir=trained --config.data.seed=1":
        ["--workdir=trained/clip", "data.seed=1 (there 0)", "use another"],
    "pretrain --config=stages.py --workdir=trained --config.clip.model.width=8":
        ["--workdir=trained/clip", "model.width=8 (there 128)"],
}

ROWS |= {
    # Variants.
    f"{TUNE} --config.model.memory=little":
        ["model.memory='little'", "given, fit"],
    f"{TUNE} --config.model.attention=fast":
        ["model.attention='fast'", "auto, blockwise, flash, cudnn"],
    f"{TUNE} --config.mesh.frame=3":
        ["mesh.video=1, frame=3", "product is 1, the number of devices"],
    f"{TUNE} --config.mesh.frame=0": ["frame=0", "product is 1"],
    "tune_many --config=config.py --workdir=new --videos=none.csv":
        ["--videos=none.csv", "no such file", "or JSON lines, .jsonl"],
    "plan --config=config.py --topology=v9:2x2":
        ["--topology=v9:2x2", "a shape such as v5e:2x2"],
    "plan --config=config.py --topology=local --most_frames":
        ["--most_frames --topology=local", "a TPU slice such as v5e:2x2"],
    "plan --config=config.py --topology=local --config.video.width=15":
        ["video.width=15", "the nearest is 16"],
    f"{TUNE} --config.model.spatial=some":
        ["model.spatial='some'", "own, first, sparse_causal, all"],
    f"{TUNE} --config.model.temporal=none":
        ["model.trainable: 'attn_temp' matches no parameter"],
    f"tune --workdir=new --config={ROOT}/configs/authors.py:man":
        ["authors.py", "ValueError: 'man': expected one of man_skiing"],
    f"tune --workdir=new --config={ROOT}/configs/variants.py:vdm":
        ["variants.py", "'vdm': expected one of tune_a_video"],
    # Several processes.
    "plan --config=config.py --multi_host":
        ["--multi_host", "one process", "tav_jax.tune, tune_many and sample"],
    f"{PRETRAIN} --multi_host": ["--multi_host", "one process"],
    f"{EVALUATE}/evaluate.py --multi_host": ["--multi_host", "one process"],
    # Evaluation.
    f"{EVALUATE}/evaluate.py": ["systems=()", "expected one folder"],
    f"{EVALUATE}/evaluate.py --config.systems=\"('tiny',)\"":
        ["tiny: there are no videos", "metadata.jsonl"],
    f"{EVALUATE}/evaluate.py --config.task=all": ["task='all'", "judge, line"],
    f"{EVALUATE}/evaluate.py --config.fps=0": ["fps=0", "0.1 to 100"],
    f"{EVALUATE}/evaluate_storybook.py --config.judge=tiny":
        ["tiny: no judge", "the stage 'judge'"],
    f"{EVALUATE}/storybook_edit.py --config.only=\"('vdm',)\"":
        ["'vdm' is none of the variants", "vdm_baseline"],
    f"{EVALUATE}/storybook_edit.py --config.run.optimizer.steps=-1":
        ["optimizer.steps=-1", "0 or more"],
    f"{EVALUATE}/storybook_edit.py --config.run.video.width=32":
        ["run.video.width=32", "run.video.height=64"],
    f"{EVALUATE}/loveu.py --config.root=tiny": ["root=tiny", "0 .csv files"],
    f"{EVALUATE}/study.py": ["systems=()", "two different folders"],
    f"{EVALUATE}/study.py --config.votes=\"('text.mp4',)\"":
        ["new/study.json", "the study's page"],
}

# One of each entry point, and of what speaks beside Python: flags, FFmpeg's
# library, orbax's threads.
ALONE = [
    f"{TUNE} --config.smapling.guidance=3",
    f"{TUNE} --config.video.path=index_last_cut.mp4",
    "tune --config=config.py --workdir=cut_checkpoint",
    "tune_many --config=config.py --workdir=new --videos=none.csv",
    "sample --workdir=nope",
    f"{PRETRAIN} --config.data.source=cut --config.stages=\"('clip',)\"",
    f"{EVALUATE}/evaluate.py",
    "plan --config=config.py --topology=v9:2x2",
]


@pytest.fixture(scope="module")
def good_and_bad(tmp_path_factory) -> pathlib.Path:
  """A directory of videos, checkpoints and workdirs, most of them bad."""
  root = tmp_path_factory.mktemp("good_and_bad") / "original"
  root.mkdir()
  (root / "config.py").write_text(CONFIG)
  (root / "stages.py").write_text(STAGES)
  write_videos(root)
  write_folders(root)
  random_checkpoint.write(root / "tiny", "least1")
  spoil_checkpoints(root)
  with contextlib.chdir(root):
    write_workdirs(root)
  return root


@pytest.fixture
def world(good_and_bad, monkeypatch):
  """A copy of it to work in, made anew after a test that changed it."""
  copy = good_and_bad.with_name("world")
  if not copy.exists():
    shutil.copytree(good_and_bad, copy, symlinks=True)
  monkeypatch.setenv("HF_HUB_OFFLINE", "1")
  monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
  monkeypatch.setattr(hub, "HF_HUB_CACHE", str(copy.with_name("hub")))
  yield copy
  if contents(copy) != contents(good_and_bad):
    shutil.rmtree(copy)


def write_videos(root):
  random = np.random.default_rng(0)
  for name, options in (
      ("good", {}), ("index_last", {}),
      ("index_first", {"movflags": "+faststart"})):
    with av.open(str(root / f"{name}.mp4"), "w", options=options) as container:
      stream = container.add_stream("libx264", 8)
      stream.width = stream.height = 64
      stream.pix_fmt = "yuv420p"
      for _ in range(8):
        noise = random.integers(0, 256, (64, 64, 3), np.uint8)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(noise)))
      container.mux(stream.encode())
  for name, first, second in (("index_first", b"moov", b"mdat"),
                              ("index_last", b"mdat", b"moov")):
    whole = (root / f"{name}.mp4").read_bytes()
    assert 0 < whole.find(first) < whole.find(second)
    (root / f"{name}_cut.mp4").write_bytes(whole[:len(whole) // 2])
  (root / "text.mp4").write_text("not a video\n")
  with av.open(str(root / "sound.wav"), "w") as container:
    stream = container.add_stream("pcm_s16le", 8000)
    silence = av.AudioFrame.from_ndarray(
        np.zeros((1, 800), np.int16), "s16", "mono")
    silence.sample_rate = 8000
    container.mux(stream.encode(silence))


def write_folders(root):
  for folder in ("clips", "cut"):
    (root / folder).mkdir()
    (root / folder / "good.mp4").symlink_to("../good.mp4")
    (root / folder / "metadata.jsonl").write_text(
        '{"file_name": "good.mp4", "text": "a man is skiing"}\n')
  cut(root / "cut/metadata.jsonl")


def spoil_checkpoints(root):
  def part(checkpoint, name):
    """A part to spoil, of a checkpoint whose others are the good one's."""
    (root / checkpoint).mkdir()
    for other in (root / "tiny").iterdir():
      if other.name != name:
        (root / checkpoint / other.name).symlink_to(f"../tiny/{other.name}")
    return shutil.copytree(root / "tiny" / name, root / checkpoint / name)

  shutil.rmtree(part("no_vae", "vae"))
  (part("no_tokens", "tokenizer") / "vocab.json").unlink()
  cut(part("cut_weights", "vae") / WEIGHTS)
  cut(part("cut_settings", "vae") / "config.json")
  vae = part("pickled", "vae")
  (vae / WEIGHTS).rename(vae / "diffusion_pytorch_model.bin")
  config = part("other_shapes", "unet") / "config.json"
  values = json.loads(config.read_text())
  values["cross_attention_dim"] *= 2
  config.write_text(json.dumps(values))


def write_workdirs(root):
  chosen = settings.of(
      runpy.run_path("config.py")["get_config"]().to_dict())
  state = build.initial_state(
      build.load(chosen), build.optimizer(chosen.optimizer)[1], chosen.seed)

  def write(workdir, *states):
    workdir.mkdir()
    workdirs.write_config(workdir, dataclasses.asdict(chosen))
    checkpoints = Checkpoints(workdir / "checkpoints")
    for state in states:
      checkpoints.save(state)

  one, two = (state._replace(step=jnp.int32(n)) for n in (1, 2))
  write(root / "finished", one, two)
  (root / "finished/metrics.jsonl").write_text(
      '{"step": 1, "loss": 0.5}\n{"step": 2, "loss": 0.4}\n')
  workdirs.samples(root / "finished", 2).mkdir(parents=True)
  write(root / "other_arrays", two._replace(trainable={"x": jnp.zeros(3)}))

  stages = runpy.run_path("stages.py")["get_config"]()
  (root / "trained/clip/checkpoints/2").mkdir(parents=True)
  workdirs.write_config(root / "trained/clip", pretrain.of_stage(
      stages, "clip").to_dict())

  def copy(name):
    return shutil.copytree(root / "finished", root / name)

  shutil.rmtree(copy("partial") / "checkpoints/2")
  shutil.rmtree(copy("no_checkpoint") / "checkpoints")
  (copy("no_config") / "config.json").unlink()
  cut(copy("cut_config") / "config.json")
  (copy("list_config") / "config.json").write_text("[]\n")
  for file in files(copy("cut_checkpoint") / "checkpoints/2"):
    cut(file)
  arrays = files(copy("cut_arrays") / "checkpoints/2")
  cut(max(arrays, key=lambda file: file.stat().st_size))


def cut(file):
  file.write_bytes(file.read_bytes()[:file.stat().st_size // 2])


def files(directory):
  return sorted(p for p in directory.rglob("*") if p.is_file())


def contents(directory):
  """What is in every file; of a large one, size and time, which copies keep."""

  def of(file):
    stat = file.lstat()
    large = stat.st_size > 100_000
    return (stat.st_size, stat.st_mtime_ns) if large else file.read_bytes()

  return {
      str(file.relative_to(directory)): of(file) for file in files(directory)
      if "__pycache__" not in file.parts}


def check(code, printed, says):
  assert code not in (0, None), printed
  assert "Traceback" not in printed
  errors = [x for x in printed.splitlines() if x.startswith("error:")]
  assert len(errors) == 1, printed
  for part in says:
    assert part in errors[0]


@pytest.fixture
def in_time():
  """Ends a command that takes bad input for good and begins to work."""

  def stop(*_):
    raise TimeoutError("bad input went through")

  before = signal.signal(signal.SIGALRM, stop)
  signal.alarm(120)
  yield
  signal.alarm(0)
  signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("in_time")
@pytest.mark.parametrize(("command", "says"), ROWS.items(), ids=ROWS)
def test_bad_input_is_named_in_one_line(command, says, world):
  before = contents(world)
  check(*commands.run(command, cwd=world), says)
  assert contents(world) == before


@pytest.mark.slow
@pytest.mark.parametrize("command", ALONE)
def test_as_a_user_starts_it_the_line_is_all(command, world):
  process = commands.start(command, cwd=world)
  _, printed = process.communicate(timeout=300)
  check(process.returncode, printed, ROWS[command])
  assert "Exception" not in printed  # Of a thread that still reads.


def test_what_the_rows_start_from_is_good(world):
  code, said = commands.run(
      "tune --config=config.py --workdir=finished", cwd=world)
  assert code == 0, said
  assert "resuming at step 2" in said and "error:" not in said
