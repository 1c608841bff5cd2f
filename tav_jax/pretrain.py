r"""Trains models of pictures, clips or one video, stage by stage.

  python -m tav_jax.pretrain --config=configs/pretrain_storybook.py \
      --workdir=runs/pretrain

The same command goes on where it was interrupted. `WORKDIR/model` is the
checkpoint so far, written at every look at a stage; diffusers loads it too, if
it is a text-to-image model. From a video model tav_jax.sample renders.
"""

import logging
import pathlib

from ml_collections import ConfigDict

from tav_jax import cli
from tav_jax.pretraining import (
  autoencoder,
  checks,
  clip,
  conditions,
  diffusion,
  distillation,
  judge,
  networks,
  one_video,
  parts,
  stage,
)
from tav_jax.pretraining import pictures as pictures_lib
from tav_jax.pretraining import tokenizer as tokenizer_lib
from tav_jax.pretraining.one_video import clip as one_clip
from tav_jax.pretraining.one_video import stages as of_one_video
from tav_jax.runs import workdir as workdirs
from tav_jax.runs.clock import Clock

log = logging.getLogger("tav_jax.pretrain")  # Not "__main__".


def main(config: ConfigDict, workdir: pathlib.Path) -> None:
  """Runs the stages that `config.stages` names, in that order."""
  checks.check(config, workdir)
  for name in config.stages:
    if name != "tokenizer":
      stage.check(name, workdir, of_stage(config, name))
  clock = Clock()
  with workdirs.locked(workdir) as lock:
    with clock("data"):
      data = _load(config, workdir)
    workdirs.write_config(workdir, config.to_dict())
    for name in config.stages:
      lock.check()
      with clock(name):
        if name in one_video.STAGES:
          of_one_video.train(name, workdir, of_stage(config, name), data)
        else:
          _run(name, config, workdir, data)
    lock.check()
  log.info("%s", clock)


def _load(config, workdir):
  """The pictures, or the video."""
  if one_video.trains(config):
    return one_clip.load(config.data)
  pictures = pictures_lib.load(config.data, workdir)
  checks.check_count(config, len(pictures.splits["train"]))
  return pictures


def _run(name, config, workdir, pictures) -> None:
  tokenizer, diffuses = None, name in conditions.STAGES
  if name in ("tokenizer", "clip") or (
      diffuses and networks.has_text(config[name].model)):
    tokenizer = _tokenizer(config, workdir, pictures)
  if name == "autoencoder":
    autoencoder.train(workdir, of_stage(config, name), pictures)
  elif name == "judge":
    judge.train(workdir, of_stage(config, name), pictures)
  elif name == "clip":
    clip.train(workdir, of_stage(config, name), pictures, tokenizer)
  elif diffuses:
    diffusion.train(
        workdir, of_stage(config, name), pictures, tokenizer, name)
  elif name == distillation.NAME:
    distillation.train(
        workdir, of_stage(config, name), of_stage(config, "diffusion"),
        pictures)


def of_stage(config: ConfigDict, name: str) -> ConfigDict:
  """What defines a stage: its own section, data, seed, and what it starts from.
  """
  return ConfigDict(
      config[name].to_dict()
      | {"seed": config.seed, "data": config.data.to_dict(),
         "start": config.get("start", ""), "parts": config.get("parts", "")})


def _tokenizer(config, workdir, pictures):
  """Learns the tokenizer, or reads it if it is there.

  A model that starts from an earlier one speaks its language.
  """
  directory = parts.take(config, workdir / "model", "tokenizer")
  source = pictures.splits["train"]
  captions = (
      source[i]["caption"]
      for i in range(min(len(source), config.tokenizer.captions)))
  return tokenizer_lib.train(
      directory, captions, config.tokenizer.vocab_size,
      config.tokenizer.positions)


if __name__ == "__main__":
  cli.run(main)
