"""The cards of models of pictures and of clips that pretraining has made."""

from collections.abc import Mapping
import pathlib

from ml_collections import ConfigDict

from tav_jax.data import atomic
from tav_jax.reports import table

_CARD = """---
library_name: diffusers
pipeline_tag: text-to-image
tags: [stable-diffusion, tav_jax]
---

# Text-to-image model of {source}

A latent diffusion model of {size}x{size} pixels, trained from nothing by
`python -m tav_jax.pretrain`. This directory is a `StableDiffusionPipeline` of
diffusers, with float16 weights.

| | |
| --- | --- |
| U-Net | {unet:.1f} M parameters, channels {channels} |
| text encoder | {text:.1f} M parameters, {words} words, {positions} positions |
| predicts | {prediction}, loss weighted by min-SNR {min_snr} |
| pictures seen | {seen:,}, in batches of {batch_size} |
| sampled with | DDIM, {steps} steps, guidance {guidance} |

```python
from diffusers import StableDiffusionPipeline
pipeline = StableDiffusionPipeline.from_pretrained(DIRECTORY)

import tav_jax
model = tav_jax.load_pretrained(DIRECTORY)  # Inflated, ready to be tuned.
```
"""
_CLIPS = """---
pipeline_tag: text-to-video
tags: [tav_jax]
---

# {stage} of clips of {source}

A diffusion model of {frames} frames, {height}x{height} {space}, trained by
`python -m tav_jax.pretrain`. `unet/` has float32 safetensors under diffusers'
names, for `tav_jax.pretrained.load_unet`; diffusers has no such network. From
the run's workdir, `python -m tav_jax.sample --workdir=WORKDIR` renders clips.

| | |
| --- | --- |
| U-Net | {unet:.1f} M parameters, channels {channels} |
| of these train | {trained:.1f} M |
| over time | attention {temporal}, convolution {convolution} |
| predicts | {prediction}, loss weighted by min-SNR {min_snr} |
| clips seen | {seen:,} at strides {strides}, in batches of {batch_size} |
| pictures beside each | {images} |
| sampled with | {sampler}, {steps} steps, guidance {guidance} |
"""
_JUDGED = """
Of {count} drawn from captions of each kind, so many show what was asked for,
says the judge in `judge/` (of clips, frame by frame):

{table}"""


def write_clips(
    place: pathlib.Path,
    config: ConfigDict,
    *,
    stage: str,
    step: int,
    sizes: Mapping[str, float],
    height: int,
    sampler: str,
    accuracies: Mapping[str, Mapping[str, float]],
    count: int,
) -> None:
  """Writes `README.md` of a model of clips.

  Args:
    place: Directory of the stage's network.
    config: The stage's config.
    stage: The stage's name.
    step: Steps taken.
    sizes: `unet` and, of it, `trained`: millions of parameters.
    height: Height and width as the network sees them.
    sampler: The sampler's name.
    accuracies: What the judge found, by kind of caption and by group; may be
      empty.
    count: Number of clips judged of each kind.
  """
  text = _CLIPS.format(
      stage=stage.replace("_", " ").capitalize(),
      source=table.escape(config.data.source), height=height,
      frames=config.clips.frames, strides=tuple(config.clips.strides),
      images=config.clips.images,
      space="latents" if config.model.latent else "pixels",
      channels=", ".join(map(str, config.model.channels)),
      temporal=config.model.get("temporal", "none"),
      convolution=config.model.get("convolution", "1x3x3"),
      prediction=config.schedule.prediction, min_snr=config.model.min_snr,
      seen=step * config.optimizer.batch_size,
      batch_size=config.optimizer.batch_size, sampler=sampler,
      steps=config.sampling.steps, guidance=config.sampling.guidance, **sizes)
  _write(place, text, accuracies, count)


def write(
    model: pathlib.Path,
    config: ConfigDict,
    *,
    step: int,
    sizes: Mapping[str, float],
    accuracies: Mapping[str, Mapping[str, float]],
    count: int,
) -> None:
  """Writes `README.md`.

  Args:
    model: The checkpoint's directory.
    config: Config of the diffusion stage.
    step: Steps taken.
    sizes: `unet` and `text`, millions of parameters; `words` and `positions`
      of the text encoder.
    accuracies: What the judge found, by kind of caption and by group; may be
      empty.
    count: Number of pictures judged of each kind.
  """
  text = _CARD.format(
      source=table.escape(config.data.source), size=config.data.size,
      channels=", ".join(map(str, config.model.channels)),
      prediction=config.schedule.prediction, min_snr=config.model.min_snr,
      seen=step * config.optimizer.batch_size,
      batch_size=config.optimizer.batch_size, **config.sampling, **sizes)
  _write(model, text, accuracies, count)


def _write(place: pathlib.Path, text: str, accuracies, count: int) -> None:
  if accuracies:
    text += _JUDGED.format(count=count, table=table.markdown([
        {"captions": kind, **groups} for kind, groups in accuracies.items()]))
  with atomic.replacing(place / "README.md") as partial:
    partial.write_text(text)
