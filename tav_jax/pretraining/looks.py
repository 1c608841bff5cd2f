"""Looks at a diffusion stage: sheets of samples, and what the judge sees."""

from collections.abc import Sequence
import pathlib

from einops import rearrange
import numpy as np

from tav_jax.data import video
from tav_jax.measures.psnr import psnr
from tav_jax.pipelines import generation
from tav_jax.pretraining import conditions, latents
from tav_jax.pretraining.pictures import Pictures
from tav_jax.pretraining.spaces import Space
from tav_jax.pretraining.tasks import Task
from tav_jax.reports import sheet
from tav_jax.sampling.methods import Method
from tav_jax.storybook import judge
from tav_jax.storybook.world import scene
from tav_jax.types import Params

PICTURES, CLIPS = 48, 16
_WITHOUT_TEXT = 16
_SHEET_FPS = 6.0


def records(pictures: Pictures, task: Task) -> dict[str, list[dict]]:
  """Records whose captions are sampled at every look, by name of the sheet."""
  if task.text is None and task.condition is None:
    return {"samples": [{"caption": ""}] * _WITHOUT_TEXT}
  return {
      name: pictures.first(name, PICTURES if task.cuts.frames == 1 else CLIPS)
      for name in pictures.splits if name != "train"}


def sample(
    task: Task, space: Space, params: Params, shown: Sequence[dict],
    method: Method | None = None,
) -> np.ndarray:
  """Samples for the captions of records, as uint8 frames `b f h w c`.

  Clips have the lowest frame rate that the stage knows, which shows the most
  motion. A network that is given more is given it of the records' own clips.
  """
  cuts, given = task.cuts, []
  if task.condition is not None:
    rng = np.random.default_rng(task.config.seed)
    given = [
        task.condition.draw(x0, rng) for x0 in _true(task, space, shown)]
  fps = float(shown[0].get("fps", 0)) / max(cuts.strides)
  return generation.clips(space.decode, task.sample(
      params, [record["caption"] for record in shown], frames=cuts.frames,
      seed=task.config.seed, fps=fps, given=given, method=method))


def fidelity(
    task: Task, space: Space, shown: Sequence[dict], drawn: np.ndarray
) -> dict[str, float]:
  """PSNR in dB of super-resolved clips, and of the coarse ones enlarged.

  Both are against the clips that were made coarser. Of networks that do
  something else it is empty.
  """
  condition = task.condition
  if not isinstance(condition, conditions.SuperResolution):
    return {}
  x0 = _true(task, space, shown)
  pixels = lambda x: generation.clips(space.decode, np.stack(x))
  coarse = pixels([condition.bring(condition.coarsen(x)) for x in x0])
  return {"psnr": psnr(pixels(x0), drawn), "psnr_coarse": psnr(
      pixels(x0), coarse)}


def _true(task: Task, space: Space, shown: Sequence[dict]) -> list[np.ndarray]:
  """x_0 of the records' first frames at the stage's lowest frame rate."""
  which = max(task.cuts.strides) * np.arange(task.cuts.frames)
  frames = np.stack([latents.pixels(record)[which] for record in shown])
  return [task.smaller(x) for x in space.encode(video.to_model(frames))]


def draw(
    file: pathlib.Path, captions: Sequence[str], drawn: np.ndarray
) -> None:
  """Writes a sheet of pictures; of clips, a moving one and one of frames."""
  if drawn.shape[1] == 1:
    sheet.grid(captions, drawn[:, 0]).save(f"{file}.png")
    return
  videos = list(zip(captions, drawn, strict=True))
  sheet.still(videos).save(f"{file}.png")
  video.write_mp4(
      file.with_suffix(".mp4"),
      video.Clip(sheet.moving(videos, across=8), _SHEET_FPS))


def judged(
    directory: pathlib.Path, drawn: np.ndarray, shown: Sequence[dict]
) -> dict[str, float]:
  """Share of frames that show what the records' captions say, by group.

  Empty if no judge is in `directory`, or the records have no labels.
  """
  if not directory.is_dir() or "labels" not in shown[0]:
    return {}
  labels = [judge.labels(record) for record in shown]
  said = [{name: one[name] for name in scene.GROUPS} for one in labels]
  return judge.load(directory).accuracy(
      rearrange(drawn, "b f h w c -> (b f) h w c"),
      [one for one in said for _ in range(drawn.shape[1])])
