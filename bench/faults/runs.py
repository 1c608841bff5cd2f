"""Tiny runs of each entry point, and what they leave."""

from collections.abc import Callable, Mapping
import dataclasses
import hashlib
import json
import pathlib
import shutil
import sys

from bench.faults import forks

_SKIPPED = ("events.out", "SHA256SUMS", "checkpoints/")
_TUNE = (
    "--config=configs/storybook.py", "--config.video.frames=2",
    "--config.video.width=16", "--config.video.height=16",
    "--config.optimizer.steps=6", "--config.optimizer.steps_per_dispatch=1",
    "--config.sampling.steps=2", "--config.sampling.prompts=('a panda',)",
    "--config.sampling.start=random",
    "--config.run.checkpoint_every=2", "--config.run.sample_every=3")
_PRETRAIN = """
from configs import pretrain_storybook

def get_config():
  config = pretrain_storybook.get_config()
  config.stages = ("autoencoder",)
  config.data.directory = "{data}"
  config.data.count = 40
  config.data.size = 16
  config.autoencoder.model.channels = (8, 8)
  config.autoencoder.model.latent_channels = 4
  config.autoencoder.model.groups = 4
  config.autoencoder.optimizer.batch_size = 4
  config.autoencoder.run.steps = 6
  config.autoencoder.run.steps_per_dispatch = 1
  config.autoencoder.run.checkpoint_every = 2
  config.autoencoder.run.look_every = 3
  return config
"""


@dataclasses.dataclass(frozen=True)
class Tiny:
  """A command that takes seconds.

  Attributes:
    entry: The entry point.
    flags: Its flags, but for the workdir.
    place: Where in the workdir its (first) run lies.
  """

  entry: str
  flags: tuple[str, ...]
  place: str = "."

  def start(
      self, workdir: pathlib.Path, before: Callable[[], object] = lambda: None
  ) -> forks.Fork:
    """Starts it; `before` is called first in its process."""
    call = forks.entry(self.entry, f"--workdir={workdir}", *self.flags)

    def both():
      sys.argv = [f"{self.entry}.py"]
      before()
      call()
    workdir.parent.mkdir(parents=True, exist_ok=True)
    return forks.Fork(both, workdir.with_name(f"{workdir.name}.output"))


def prepare(root: pathlib.Path) -> Mapping[str, Tiny]:
  """The commands by name; what they read is written to `root`."""
  from tav_jax.storybook import clips
  (root / "pretrain.py").write_text(_PRETRAIN.format(data=root / "data"))
  videos = sorted(
      pathlib.Path(clips.__file__).with_name("videos").glob("*.mp4"))
  (root / "videos.jsonl").write_text("".join(
      json.dumps({"video": str(path), "caption": f"a {path.stem}",
                  "prompts": ["a panda"]}) + "\n" for path in videos[:2]))
  checkpoint = f"--config.model.checkpoint={root / 'model'}"
  tune = (*_TUNE, checkpoint)
  many = tuple(flag for flag in tune if "prompts" not in flag)
  return {
      "tune": Tiny("tune", tune),
      "tune_many": Tiny("tune_many", (
          *many, f"--videos={root / 'videos.jsonl'}", "--together=2"),
          videos[0].stem),
      "pretrain": Tiny(
          "pretrain", (f"--config={root / 'pretrain.py'}",), "autoencoder"),
      "evaluate": Tiny("evaluate", (
          "--config=configs/evaluate.py",
          f"--config.systems=('{root / 'straight/tune'}',)")),
      "sample": Tiny("sample", ()),
  }


def write_model(root: pathlib.Path) -> None:
  """The tiny checkpoint that is tuned."""
  from bench import random_checkpoint
  shutil.rmtree(root / "model", ignore_errors=True)
  random_checkpoint.write(root / "model", "tiny1")
  for file in (root / "model").rglob("*.safetensors"):
    file.chmod(0o644)  # For users who are not the one that wrote it.


def result(workdir: pathlib.Path, output: pathlib.Path) -> dict[str, str]:
  """Hashes of all that a run leaves, by name; of checkpoints, of their arrays.

  Not of TensorBoard's events, which have times, or of speeds in metrics. It is
  read in a process of its own, since forks need a JAX that has not started.
  """
  file = output.with_suffix(".json")
  code, lines = forks.Fork(
      lambda: file.write_text(json.dumps(_result(workdir))), output).end()
  if code:
    return {"cannot be read": " ".join(lines[-1:])}
  return json.loads(file.read_text())


def _result(workdir: pathlib.Path) -> dict[str, str]:
  import jax
  import orbax.checkpoint as ocp
  found = {}
  for path in sorted(workdir.rglob("*")):
    name = str(path.relative_to(workdir))
    if path.name == "default" and path.parent.parent.name == "checkpoints":
      leaves, _ = jax.tree.flatten_with_path(
          ocp.StandardCheckpointer().restore(path.resolve()))
      for key, x in leaves:
        found[name + jax.tree_util.keystr(key)] = _hash(bytes(x.tobytes()))
    elif path.is_file() and not any(x in name for x in _SKIPPED):
      found[name] = _hash(
          _metrics(path) if path.name == "metrics.jsonl" else path.read_bytes())
    elif path.suffix in (".partial", ".old", ".deleted"):
      found[name] = "left over"
  return found


def _metrics(path: pathlib.Path) -> bytes:
  rows = [json.loads(line) for line in path.read_bytes().splitlines()]
  return json.dumps([
      {k: v for k, v in row.items() if k != "steps_per_second"}
      for row in rows]).encode()


def _hash(content: bytes) -> str:
  return hashlib.sha256(content).hexdigest()


def copy(workdir: pathlib.Path, to: pathlib.Path) -> pathlib.Path:
  """A copy of a workdir, in place of an earlier one."""
  shutil.rmtree(to, ignore_errors=True)
  return shutil.copytree(workdir, to)
