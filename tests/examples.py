"""A small example of every kind of file that users have."""

from collections.abc import Callable
import json
import pathlib
import shutil

import av
from flax import serialization
import jax.numpy as jnp
import numpy as np
from PIL import Image
from safetensors.numpy import save_file

from tav_jax.data import video
from tav_jax.runs import workdir as workdirs
from tav_jax.training.checkpoint import Checkpoints
from tav_jax.training.step import State

Make = Callable[[pathlib.Path], None]
"""Writes an example into an empty directory."""

ARRAYS = {
    "conv_in.weight": np.arange(72, dtype=np.float32).reshape(4, 2, 3, 3),
    "conv_in.bias": np.array([0.5, -2, 1, 3], np.float16),
    "proj.weight": np.ones((3, 5), np.float32)}
FP8 = ARRAYS | {"a.bias": np.ones(8, jnp.float8_e4m3fn)}
TABLE = (
    'video,caption,prompts,video.stride,seed,name\n'
    'cat.mp4,"a cat, walking",a dog | a car,4,1,\n'
    'x/dog.mp4,a dog,a cat,,,dog 2\n')
EXCEL = "sep=;\n" + TABLE.replace("cat, w", "cat w").replace(",", ";")
LINES = "\n".join(map(json.dumps, (
    {"video": "cat.mp4", "caption": "a cat", "prompts": ["a dog", "a car"],
     "video.stride": 4},
    {"video": "x/dog.mp4", "caption": "a dog", "prompts": {"style": "a cat"},
     "name": "dog 2", "sampling.guidance": 7.5, "seed": 3})))
CAPTIONS = "\n".join(map(json.dumps, (
    {"file_name": "1.png", "text": "a \u732b is walking"},
    {"file_name": "2.png", "text": 'a dog, "quoted"'})))
STUDY = {
    f"{system}{prompt}": {
        "system": system, "prompt": prompt, "source": "s" + prompt}
    for system in "ab" for prompt in "xy"}
VOTES = {"votes": [
    {"question": "consistency", "chosen": "ax", "other": "bx"},
    {"question": "faithfulness", "chosen": "by", "other": "ay"}]}
SCORED = {
    "scorers": ["a", ""],
    "rows": [{
        "split": "s", "video": "skier", "kind": "style", "prompt": "a",
        "frame consistency": 90.5, "adjacent consistency": 91.5,
        "textual alignment": 25.5}],
    "entries": [
        ["a", [["the source", "data:video/mp4;base64,", 240, "a 1.0"]]]]}
AUTHORS = """\
pretrained_model_path: "./checkpoints/stable-diffusion-v1-4"
train_data:
  video_path: "data/man-skiing.mp4"
  prompt: "a man is skiing"
  n_sample_frames: 24
  width: 512
validation_data:
  prompts:
    - "mickey mouse is skiing"
    - "spider man, cartoon style"
  video_length: 24
  guidance_scale: 12.5
  use_inv_latent: True
learning_rate: 3e-5
max_train_steps: 500
trainable_modules: ["attn1.to_q", "attn_temp"]
seed: 33
mixed_precision: fp16
"""


def copies(source: pathlib.Path, *names: str) -> Make:
  """Of files that are there, or of all that a directory has."""
  def make(root: pathlib.Path) -> None:
    for path in map(source.joinpath, names) if names else source.iterdir():
      shutil.copy(path, root)
  return make


def texts(**named) -> Make:
  """Texts, and values as JSON, by the files' names with `_` for the dot."""
  def make(root: pathlib.Path) -> None:
    for name, value in named.items():
      text = value if isinstance(value, str) else json.dumps(value)
      path = root / ".".join(name.rsplit("_", 1))
      path.write_text(text, encoding="utf-8")
  return make


# Weights and training.


def shards(root: pathlib.Path) -> None:
  """Two files of weights and their index."""
  names = list(ARRAYS)
  for i, some in enumerate((names[:1], names[1:])):
    save_file({k: ARRAYS[k] for k in some}, root / f"model-{i}.safetensors")
  (root / "model.safetensors.index.json").write_text(json.dumps({
      "metadata": {"total_size": 372}, "weight_map": {
          name: f"model-{int(i > 0)}.safetensors"
          for i, name in enumerate(names)}}))


def flax(root: pathlib.Path) -> None:
  """Weights as Flax writes them."""
  (root / "model.msgpack").write_bytes(serialization.msgpack_serialize({
      "conv_in": {"kernel": np.ones((3, 3, 2, 4), np.float32),
                  "bias": jnp.ones(4, jnp.bfloat16)},
      "down_blocks_0": {"proj": {"kernel": np.ones((5, 3), np.float16)}}}))


def cache(root: pathlib.Path) -> None:
  """A repository in the hub's cache."""
  hub = root / "models--a--b"
  (hub / "refs").mkdir(parents=True)
  (hub / "refs/main").write_text("0123abc")
  for commit in ("0123abc", "0124abd"):
    (hub / "snapshots" / commit).mkdir(parents=True)


def workdir(config: dict) -> Make:
  """The config of a run, beside what it was made of."""
  def make(root: pathlib.Path) -> None:
    workdirs.write_config(root, config)
    shutil.copy(root / "config.json", root / "mine")
    (root / "checkpoints/2").mkdir(parents=True)
  return make


def metrics(root: pathlib.Path) -> None:
  """Four steps of a run."""
  (root / "metrics.jsonl").write_text("".join(
      json.dumps({"step": i, "loss": 0.1 * i}) + "\n" for i in range(4)))


def checkpoint(checked: bool) -> Make:
  """A checkpoint, with or without sums."""
  def make(root: pathlib.Path) -> None:
    Checkpoints(root).save(State(
        {"w": jnp.eye(4)}, {"mu": jnp.ones(3)}, jnp.asarray(2),
        jnp.zeros(2, jnp.uint32)))
    if not checked:
      (root / "2/SHA256SUMS").unlink()
  return make


# Videos and pictures.


def clip(size: int) -> video.Clip:
  """Six small frames."""
  rng = np.random.default_rng(size)
  small = rng.integers(0, 255, (6, 2, 2, 3), np.uint8)
  return video.Clip(small.repeat(size // 2, 1).repeat(size // 2, 2), 8.0)


def moving(name: str, write: Callable, size: int = 32) -> Make:
  """One video."""
  return lambda root: write(root / name, clip(size))


def animated(path: pathlib.Path, made: video.Clip) -> None:
  """As Pillow writes it."""
  first, *others = map(Image.fromarray, made.frames)
  first.save(path, save_all=True, append_images=others, duration=100)


def with_sound(path: pathlib.Path, made: video.Clip) -> None:
  """A stream of video and one of sound."""
  with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
    shown = container.add_stream("mpeg4", 8)
    shown.width, shown.height = made.frames.shape[2:0:-1]
    shown.pix_fmt = "yuv420p"
    heard = container.add_stream("aac", 16000)
    for array in made.frames:
      container.mux(shown.encode(av.VideoFrame.from_ndarray(array, "rgb24")))
    sound = av.AudioFrame.from_ndarray(
        np.zeros((1, 4096), np.float32), "fltp", "mono")
    sound.sample_rate = 16000
    container.mux(heard.encode(sound))
    for stream in (shown, heard):
      container.mux(stream.encode())


def frames(suffix: str, **how) -> Make:
  """A picture for each frame."""
  def make(root: pathlib.Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    for i, frame in enumerate(clip(16).frames):
      Image.fromarray(frame).save(root / f"{i}{suffix}", **how)
  return make


def exif(root: pathlib.Path) -> None:
  """Pictures on their side."""
  said = Image.Exif()
  said.update({0x0112: 6, 0x010E: "a picture"})
  for suffix in (".jpg", ".png", ".webp", ".tiff"):
    frames(suffix, exif=said)(root)


def captioned(root: pathlib.Path) -> None:
  """A dataset of pictures."""
  for name in ("1.png", "2.png"):
    Image.new("RGB", (8, 8)).save(root / name)
  texts(metadata_jsonl=CAPTIONS)(root)


def samples(root: pathlib.Path) -> None:
  """A round of samples."""
  labels = ("source", "a dog", "a cat")
  for i in range(3):
    video.write_frames(root / f"frames/{i:02}-x", clip(8))
  texts(record_json={
      "prompts": labels[1:], "fps": 8, "seed": 1, "files": [
          {"label": label, "file": f"{i:02}-x.mp4"}
          for i, label in enumerate(labels)]})(root)


def benchmark(root: pathlib.Path) -> None:
  """A video of LOVEU-TGVE-2023."""
  (root / "LOVEU-TGVE-2023_Dataset.csv").write_text(
      "Video name,Our GT caption,Style Change Caption,Object Change Caption,"
      "Background Change Caption,Multiple Changes Caption\n"
      "DAVIS Videos:,,,,,\n"
      'skier,a man,"a man, sketch",a panda,a man on the moon,a panda there\n')
  frames(".jpg")(root / "DAVIS_480p/480p_frames/skier")
