"""The model card of a text-to-image model that pretraining has made."""

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
_JUDGED = """
Of {count} pictures drawn from captions of each kind, so many show what was
asked for, says the judge in `judge/`:

{table}"""


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
  if accuracies:
    text += _JUDGED.format(count=count, table=table.markdown([
        {"captions": kind, **groups} for kind, groups in accuracies.items()]))
  with atomic.replacing(model / "README.md") as partial:
    partial.write_text(text)
