"""The stages projector, predictor and interpolator.

As in the paper, the predictor predicts the noise, the other two x_0. The
released code (github.com/yanivnik/sinfusion-code) differs:

* Its projector predicts the noise, and is told the number of the step; here all
  three are told the noise level, which is drawn between the steps.
* It draws gaps of 1 and -1 alone: the counter that is to raise them is begun
  anew with each worker that loads data. Here the number of the step counts.
* Its interpolator has odd frames as targets; here every frame that has
  neighbours.

A tenth of the learning rate after 100,000 steps, as in the paper, is not here;
what is exported is a moving average of the parameters.
"""

from collections.abc import Callable, Sequence
import logging
import pathlib
from typing import Any

import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np

from tav_jax.data import video
from tav_jax.measures.psnr import psnr
from tav_jax.models import initial
from tav_jax.models.nextnet import NextNet, NextNetConfig
from tav_jax.pipelines import one_video as pipeline
from tav_jax.pretrained.pipeline import WEIGHTS, write_part
from tav_jax.pretraining import stage
from tav_jax.pretraining.one_video import clip as clips
from tav_jax.reports import sheet
from tav_jax.sampling.schedule import Schedule
from tav_jax.training import noise_levels
from tav_jax.types import Params

log = logging.getLogger(__name__)

_CONDITIONS = {"projector": 0, "predictor": 1, "interpolator": 2}  # Frames.
_SHOWN = 8


def network(name: str, model: ConfigDict) -> NextNetConfig:
  """The network of a stage, from its section `model`."""
  return NextNetConfig(
      in_channels=3 * (_CONDITIONS[name] + 1), width=model.width,
      blocks=model.blocks, gaps=name == "predictor")


def init(net: NextNetConfig, seed: int) -> Params:
  """Initial parameters."""
  one = jnp.ones(1)
  return initial.init(
      NextNet(net), seed, jnp.zeros((1, 8, 8, net.in_channels)), one,
      one if net.gaps else None)


def train(
    name: str, workdir: pathlib.Path, config: ConfigDict, clip: clips.Clip
) -> None:
  """Trains a stage and exports the network to `workdir`/model/`name`.

  Args:
    name: The stage.
    workdir: Directory of the whole run.
    config: `seed`, `data`, `model`, `schedule`, `optimizer`, `run` and, of the
      predictor, `loss`.
    clip: The video.
  """
  net, schedule = network(name, config.model), Schedule(**config.schedule)
  apply: Callable[..., Any] = NextNet(net).apply
  log.info(
      "%s: a pixel depends on %d x %d others, of frames of %d x %d", name,
      net.receptive_field, net.receptive_field, *clip.frames.shape[1:3])

  def look(look: stage.Look):
    write_part(workdir / "model" / name, WEIGHTS, look.params, {
        "in_channels": net.in_channels, "out_channels": net.out_channels,
        "width": net.width, "blocks": net.blocks, "gaps": net.gaps,
        "schedule": config.schedule.to_dict(), "step": look.step})
    model = pipeline.Model(net, schedule, look.params)
    labelled, scalars = _looks[name](model, clip, config.seed)
    labels, pictures = zip(*labelled, strict=True)
    sheet.grid(labels, video.to_pixels(np.stack(pictures))).save(
        look.directory / "sheet.png")
    if scalars:
      look.scalars(scalars)
      log.info("%s: %s", name, ", ".join(
          f"{key} {value:.2f} dB" for key, value in scalars.items()))

  stage.train(
      name, workdir, config, init(net, config.seed),
      noise_levels.loss(
          lambda params, *inputs: apply({"params": params}, *inputs), schedule),
      lambda start: clips.batches(
          name, config, clip.frames[:clip.trained], start), look)


def _look_at_projector(model, clip, seed):
  made = pipeline.images(
      model, clip.frames.shape[1:], pipeline.keys(seed, _SHOWN))[:, 0]
  shown = _spread(range(clip.trained))
  return [
      *[(f"frame {i}", clip.frames[i]) for i in shown],
      *[("made", picture) for picture in np.asarray(made)]], {}


def _look_at_predictor(model, clip, seed):
  """The next frame, of true frames, against copying."""
  scalars: dict[str, float] = {}
  shown: list[sheet.Labelled] = []
  for name, targets in _targets(clip, range(1, len(clip.frames))).items():
    before = clip.frames[[i - 1 for i in targets]]
    made = _in_range(pipeline.next_frames(
        model, before[:, None], np.ones(len(targets), np.int32),
        pipeline.keys(seed, len(targets)))[:, 0])
    scalars |= _decibels(name, clip.frames[targets], {
        "predicted": made, "copied": before})
    for i, picture in zip(targets, made, strict=True):
      shown += [(f"{name}: frame {i}", clip.frames[i]), ("predicted", picture)]
  return shown, scalars


def _look_at_interpolator(model, clip, seed):
  """The frame between its true neighbours, against copying and their mean."""
  scalars: dict[str, float] = {}
  shown: list[sheet.Labelled] = []
  for name, targets in _targets(clip, range(1, len(clip.frames) - 1)).items():
    before, after = (
        clip.frames[[i + step for i in targets]] for step in (-1, 1))
    made = _in_range(pipeline.middle_frames(
        model, before[:, None], after[:, None],
        pipeline.keys(seed, len(targets)))[:, 0])
    scalars |= _decibels(name, clip.frames[targets], {
        "interpolated": made, "copied": before, "mean": (before + after) / 2})
    for i, picture in zip(targets, made, strict=True):
      shown += [
          (f"{name}: frame {i}", clip.frames[i]), ("interpolated", picture)]
  return shown, scalars


_looks = {
    "projector": _look_at_projector, "predictor": _look_at_predictor,
    "interpolator": _look_at_interpolator}


def _targets(clip: clips.Clip, among: range) -> dict[str, list[int]]:
  """Frames to be made at a look: of those held out, and of those trained on."""
  found = {
      "held_out": [i for i in among if i >= clip.trained],
      "trained": [i for i in among if i < clip.trained]}
  return {name: _spread(some) for name, some in found.items() if some}


def _spread(numbers: Sequence[int]) -> list[int]:
  """At most `_SHOWN` of the numbers, evenly."""
  picks = np.linspace(0, len(numbers) - 1, min(_SHOWN, len(numbers)))
  return [numbers[int(i)] for i in np.round(picks)]


def _in_range(pictures) -> np.ndarray:
  return np.clip(np.asarray(pictures), -1, 1)


def _decibels(name, true, others) -> dict[str, float]:
  """PSNR averaged over frames, for each way of making them."""
  return {
      f"{name}/{way}_psnr_db": float(np.mean([
          psnr(a, b, span=2.0) for a, b in zip(true, made, strict=True)]))
      for way, made in others.items()}
