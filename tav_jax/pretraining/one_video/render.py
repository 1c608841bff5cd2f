"""Renders clips of the scene from a workdir that the stages have trained."""

import logging
import pathlib

import jax
from ml_collections import ConfigDict
import numpy as np

from tav_jax.data import video
from tav_jax.errors import InputError
from tav_jax.pipelines import one_video as pipeline
from tav_jax.pretrained import load as load_lib
from tav_jax.pretrained import weights
from tav_jax.pretraining.one_video import checks, stages
from tav_jax.pretraining.one_video import clip as clips
from tav_jax.reports import sheet
from tav_jax.runs import results
from tav_jax.runs import workdir as workdirs
from tav_jax.runs.clock import Clock
from tav_jax.sampling.schedule import Schedule

log = logging.getLogger(__name__)


def render(config: ConfigDict, workdir: pathlib.Path) -> None:
  """Renders what the config's section `sampling` asks for.

  Raises:
    InputError: If a value is invalid, or a stage was not trained.
  """
  checks.check(config)
  clock = Clock()
  with clock("loading"):
    clip = clips.load(config.data)
    models, steps = _load(config, workdir)
  with clock("sampling"):
    made = clips_of(config.sampling, clip, models)
  with workdirs.new_samples(workdir, max(steps.values())) as directory:
    results.write(
        directory, [("source", video.to_pixels(clip.frames)), *made],
        clip.fps, config.sampling.to_dict() | {
            "video": config.data.source, "steps": steps})
  log.info("%d videos in %s", len(made), directory)
  log.info("%s", clock)


def clips_of(
    sampling: ConfigDict, clip: clips.Clip,
    models: dict[str, pipeline.Model],
) -> list[sheet.Labelled]:
  """New clips, clips that go on, and the video with more frames, labelled.

  The frames before the first come in order of time.
  """
  first, last = clip.frames[0], clip.frames[-1]
  begins = [("new clip", None, 1)] * sampling.new + [
      (_label(gap), last if gap > 0 else first, gap) for gap in sampling.gaps]
  made = []
  if begins:
    images = np.asarray(pipeline.images(
        models["projector"], clip.frames.shape[1:],
        pipeline.keys(sampling.seed, sampling.new))
    )[:, 0] if sampling.new else clip.frames[:0]
    frames = np.concatenate(
        [images, *[frame[None] for _, frame, _ in begins[sampling.new:]]])
    more = np.asarray(pipeline.extend(
        models["projector"], models["predictor"], frames[:, None],
        np.array([gap for *_, gap in begins], np.int32), sampling.length,
        sampling.correction, pipeline.keys(sampling.seed, len(begins), 1)))
    for (label, begin, gap), frame, rest in zip(
        begins, frames, more, strict=True):
      whole = np.concatenate([frame[None], rest]) if begin is None else rest
      made.append((label, video.to_pixels(whole[::-1] if gap < 0 else whole)))
  if sampling.doublings:
    denser = clip.frames[None]
    for i in range(sampling.doublings):
      denser = pipeline.double(
          models["projector"], models["interpolator"], denser,
          sampling.correction, pipeline.keys(sampling.seed, 1, 2 + i))
    made.append((
        f"{2**sampling.doublings} times the frames",
        video.to_pixels(denser[0])))
  return made


def _label(gap: int) -> str:
  where = "after the last frame" if gap > 0 else "before the first frame"
  return where if abs(gap) == 1 else f"{where}, {abs(gap)} times as fast"


def _load(
    config, workdir
) -> tuple[dict[str, pipeline.Model], dict[str, int]]:
  """The networks that are needed, and the steps that they have taken."""
  models, steps = {}, {}
  for name in checks.needed(config.sampling):
    directory = workdir / "model" / name
    if not (directory / "config.json").is_file():
      raise InputError(
          f"--workdir={workdir}: it has no {directory.relative_to(workdir)} "
          f"yet; run tav_jax.pretrain there with {name!r} among its stages")
    net = stages.network(name, config[name].model)
    params = load_lib.load_weights(
        directory, jax.eval_shape(lambda net=net: stages.init(net, 0)),
        np.float32)
    models[name] = pipeline.Model(
        net, Schedule(**config[name].schedule), params)
    steps[name] = int(weights.read_json(directory / "config.json")["step"])
  return models, steps
