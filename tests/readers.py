"""Every reader of a user's files, with an example that it reads."""

from collections.abc import Callable
import json
import pathlib
import runpy
import shutil
from typing import Any, NamedTuple

from conftest import DATA, ROOT
import examples
import numpy as np
from safetensors.numpy import save_file

from bench import random_checkpoint
from tav_jax import pretrained
from tav_jax.data import video
from tav_jax.data.datasets import folder
from tav_jax.evaluation import loveu, loveu_videos, study, systems
from tav_jax.measures import clip_score
from tav_jax.pretrained import (
  clip_config,
  files,
  foreign,
  schedulers,
  shapes,
  vocabulary,
  weights,
)
from tav_jax.runs import authors_yaml, manifest, settings
from tav_jax.runs import workdir as workdirs
from tav_jax.storybook import judge
from tav_jax.training.checkpoint import Checkpoints
from tav_jax.training.metrics import Metrics
from tav_jax.training.step import State

STORYBOOK = files.locate(files.STORYBOOK)
CASES = DATA / "cases"
BASE = runpy.run_path(str(ROOT / "configs/storybook.py"))["get_config"]()
_VIDEOS = (".mp4", ".mkv", ".webm", ".gif", ".avi", ".webp")
_LIKE = State(
    {"w": np.zeros((4, 4), np.float32)}, {"mu": np.zeros(3, np.float32)},
    np.zeros((), np.int32), np.zeros(2, np.uint32))


class Reader(NamedTuple):
  """One reader.

  Attributes:
    make: Writes an example into a directory.
    read: Reads it from there.
    mutated: Pattern of the files that are mutated.
    share: Of the inputs, for readers that are slow.
  """

  make: examples.Make
  read: Callable[[pathlib.Path], Any]
  mutated: str = "*"
  share: float = 1.0


def _weights(root: pathlib.Path) -> None:
  found = weights.read_weights(root)
  weights.check_numbers(found, str(root))


def _unet(root: pathlib.Path) -> None:
  shapes.unet_config(root, None)


def _clip(root: pathlib.Path) -> None:
  clip_config.read_clip(files.read_config(root), str(root))


def _preprocessor(root: pathlib.Path) -> None:
  numbers = clip_config.read_preprocessing(
      files.read_config(root, "preprocessor_config.json"), str(root))
  clip_score.prepare(np.zeros((8, 16, 3), np.uint8), numbers)


def _schedule(root: pathlib.Path) -> None:
  schedule = schedulers.read_schedule(
      files.read_config(root, "scheduler_config.json"), str(root))
  assert np.isfinite(schedule.alphas_cumprod).all()
  schedule.sampling_timesteps(min(50, schedule.num_train_steps))


def _tokens(root: pathlib.Path) -> None:
  tokenizer = vocabulary.load_tokenizer(root)
  ids = tokenizer(
      ["a man \u732b"], padding="max_length", truncation=True).input_ids
  tokenizer.decode(ids[0])


def _config_of_run(root: pathlib.Path) -> None:
  """As tav_jax.sample and a tav_jax.tune that goes on read it."""
  settings.check(
      settings.of(settings.with_defaults(workdirs.read_config(root))))
  workdirs.check_for_sampling(
      root, json.loads((root / "mine").read_text()), settings.SAMPLING_PINS)


def _metrics(root: pathlib.Path) -> None:
  shutil.rmtree(root / "events", ignore_errors=True)
  metrics = Metrics(root, 2)
  metrics.scalars(3, {"loss": 0.5})
  metrics.close()


def _restored(root: pathlib.Path) -> None:
  Checkpoints(root).restore(_LIKE)
  Checkpoints(root).restore_trainable(_LIKE.trainable)


def _scores(root: pathlib.Path) -> None:
  for result in systems.read(root):
    result.frames()


def _study(root: pathlib.Path) -> None:
  key = study._read_study(root / "study.json")
  study.preferences(key, study._read_votes([str(root / "votes.json")], key))


def _scored(root: pathlib.Path) -> None:
  loveu.summarise(loveu._read_scored(root / "skier.json")["rows"])


def _watch(root: pathlib.Path) -> None:
  """Reads the one video of a directory, or the directory as frames."""
  inside = [path for path in root.iterdir() if path.suffix in _VIDEOS]
  path = inside[0] if len(inside) == 1 else root
  video.read(path, start=1, stride=2, frames=2, width=16, height=16)
  systems.frames(path)


def _pictures(root: pathlib.Path) -> None:
  """As the datasets of pretraining read them."""
  for file in video.frame_files(root):
    folder._picture(16, folder._Row("line 1", file, "a cat"))


def _list(name: str, text: str, coding: str = "utf-8") -> Reader:
  return Reader(
      lambda root: (root / name).write_bytes(text.encode(coding)),
      lambda root: manifest.read(root / name, BASE, root / "many"))


def _videos(*names: str) -> dict[str, Reader]:
  return {f"{name}, another's": Reader(
      examples.copies(CASES, name), _watch, share=0.5) for name in names}


READERS = {
    # Weights.
    "safetensors": Reader(
        lambda root: save_file(examples.ARRAYS, root / "model.safetensors"),
        _weights),
    "safetensors, fp8": Reader(
        lambda root: save_file(examples.FP8, root / "model.fp8.safetensors"),
        _weights),
    "safetensors, shards": Reader(examples.shards, _weights),
    "index of shards": Reader(examples.shards, _weights, "*.json"),
    "Flax msgpack": Reader(examples.flax, _weights),
    # The other files of a checkpoint.
    "config of a U-Net": Reader(
        examples.copies(STORYBOOK / "unet", "config.json"), _unet),
    "config of SD 1's U-Net": Reader(
        examples.copies(DATA / "sd1/unet", "config.json"), _unet),
    "config of a VAE": Reader(
        examples.copies(STORYBOOK / "vae", "config.json"), shapes.vae_config),
    "config of a text encoder": Reader(
        examples.copies(STORYBOOK / "text_encoder", "config.json"),
        shapes.text_config),
    "config of a CLIP": Reader(
        examples.copies(STORYBOOK / "clip", "config.json"), _clip),
    "config of a scheduler": Reader(
        examples.copies(STORYBOOK / "scheduler"), _schedule),
    "config of SD 1's scheduler": Reader(
        examples.copies(DATA / "sd1/scheduler"), _schedule),
    "preprocessor config": Reader(
        examples.copies(STORYBOOK / "clip", "preprocessor_config.json"),
        _preprocessor),
    "model_index.json": Reader(
        examples.copies(STORYBOOK, "model_index.json"),
        foreign.refuse_directory),
    "config of a judge": Reader(
        examples.copies(STORYBOOK / "judge"), judge.load, "config.json", 0.2),
    "tokenizer, two files": Reader(
        examples.copies(STORYBOOK / "tokenizer"), _tokens),
    "tokenizer, one file": Reader(
        examples.copies(DATA / "transformers5_tokenizer"), _tokens),
    "whole checkpoint": Reader(
        lambda root: random_checkpoint.write(root / "tiny", "tiny1"),
        lambda root: pretrained.load_pretrained(root / "tiny"), share=0.15),
    "whole CLIP": Reader(
        examples.copies(STORYBOOK / "clip"), pretrained.load_clip, share=0.3),
    "cache of the hub": Reader(
        examples.cache, lambda root: files.locate(str(root / "models--a--b")),
        "main"),
    # Videos and pictures.
    "mp4, H.264": Reader(examples.moving("a.mp4", video.write_mp4), _watch),
    "mp4 with sound": Reader(
        examples.moving("a.mp4", examples.with_sound), _watch),
    "mkv, FFV1": Reader(
        examples.moving("a.mkv", video.write_lossless), _watch),
    "avi with sound": Reader(
        examples.moving("a.avi", examples.with_sound), _watch),
    "gif": Reader(examples.moving("a.gif", video.write_gif, 16), _watch),
    "webp, animated": Reader(
        examples.moving("a.webp", examples.animated, 16), _watch),
    **_videos("rot90.mp4", "sar.mp4", "vfr.mkv", "two.mkv", "cover_first.mkv",
              "alpha.webm", "a.webp"),
    "frames, png": Reader(examples.frames(".png"), _watch),
    "frames, jpg": Reader(examples.frames(".jpg"), _watch),
    "pictures with alpha": Reader(examples.copies(CASES / "rgba"), _pictures),
    "pictures, png": Reader(examples.frames(".png"), _pictures),
    "pictures, jpg": Reader(examples.frames(".jpg"), _pictures),
    "pictures, webp": Reader(examples.frames(".webp"), _pictures),
    "pictures, tiff": Reader(examples.frames(".tiff"), _pictures),
    "pictures, bmp": Reader(examples.frames(".bmp"), _pictures),
    "pictures with EXIF": Reader(examples.exif, _pictures),
    # Lists and texts.
    "list, csv": _list("videos.csv", examples.TABLE),
    "list, csv of Excel": _list("videos.csv", examples.EXCEL, "utf-8-sig"),
    "list, tsv in UTF-16": _list(
        "videos.txt", examples.TABLE.replace(",", "\t"), "utf-16"),
    "list, JSON lines": _list("videos.jsonl", examples.LINES),
    "captions of pictures": Reader(
        examples.captioned, folder._rows, "*.jsonl"),
    "captions of videos": Reader(examples.captioned, systems.read, "*.jsonl"),
    "the authors' YAML": Reader(
        examples.texts(theirs_yaml=examples.AUTHORS),
        lambda root: authors_yaml.read(root / "theirs.yaml")),
    "LOVEU's table": Reader(examples.benchmark, loveu_videos.read, "*.csv"),
    # What runs have written.
    "config.json of a workdir": Reader(
        examples.workdir(BASE.to_dict()), _config_of_run, "config.json"),
    "record.json": Reader(examples.samples, _scores, "record.json"),
    "metrics.jsonl": Reader(examples.metrics, _metrics, "metrics.jsonl"),
    "checkpoint": Reader(examples.checkpoint(True), _restored, share=0.5),
    "checkpoint without sums": Reader(
        examples.checkpoint(False), _restored, share=0.5),
    "LOVEU's scores": Reader(
        examples.texts(skier_json=examples.SCORED), _scored),
    "study and votes": Reader(
        examples.texts(study_json=examples.STUDY, votes_json=examples.VOTES),
        _study),
}
