"""Rendering a tuned model: inversion, edits and a check of reconstruction."""

from collections.abc import Callable, Sequence
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from tav_jax import parallel
from tav_jax.data import video
from tav_jax.errors import InputError
from tav_jax.sampling import ddim, guidance
from tav_jax.types import Params, Video
from tav_jax.video_model import network, VideoModel

Progress = Callable[[int], None]
"""Is told the number of denoising steps that were just taken."""

_STEPS_PER_DISPATCH = 10


def invert(
    model: VideoModel, trainable: Params, latents: Video, num_steps: int,
    progress: Progress,
) -> Video:
  """The noise of a clip: DDIM inversion with prompt "" and no guidance."""
  steps = ddim.inversion_steps(model.schedule, num_steps)
  return _run(
      model, trainable, latents, steps, model.embed([""]), progress=progress)


def noise(start: str, seed: int, shape: Sequence[int]) -> Video:
  """Unit Gaussian noise `1 f h w c`: "random", or "shared" by all frames."""
  one, frames, *frame = shape
  draw = (one, 1 if start == "shared" else frames, *frame)
  return jnp.broadcast_to(
      jax.random.normal(jax.random.key(seed), draw), tuple(shape))


def resample(
    model: VideoModel, trainable: Params, noise: Video, num_steps: int,
    progress: Progress,
) -> Video:
  """From inverted noise back to the clip: prompt "", no guidance."""
  steps = ddim.sampling_steps(model.schedule, num_steps)
  return _run(
      model, trainable, noise, steps, model.embed([""]), progress=progress)


def edit(
    model: VideoModel,
    trainable: Params,
    noise: Video,
    prompts: Sequence[str],
    *,
    negative_prompt: str,
    guidance_scale: float,
    num_steps: int,
    batch_size: int,
    progress: Progress,
) -> list[np.ndarray]:
  """A video for each prompt, all from the same noise.

  Args:
    model: The model.
    trainable: Its tuned parameters.
    noise: x_T of one clip, `1 f h w c`, of `invert` or `noise`.
    prompts: What to render.
    negative_prompt: What guidance moves away from; "" is the usual.
    guidance_scale: Classifier-free guidance; 1 is none.
    num_steps: DDIM steps.
    batch_size: Prompts rendered at a time.
    progress: Told of every denoising step, `num_steps` a batch.

  Returns:
    uint8 frames `f h w c` for each prompt.
  """
  steps = ddim.sampling_steps(model.schedule, num_steps)
  size = min(batch_size, len(prompts))
  # The last batch is filled up, so that one compiled program serves all.
  padded = list(prompts) + [prompts[-1]] * (-len(prompts) % size)
  text = model.embed(padded)
  negative = jnp.repeat(model.embed([negative_prompt]), size, axis=0)
  start = jnp.repeat(noise, size, axis=0)
  videos = []
  for i in range(0, len(padded), size):
    latents = _run(
        model, trainable, start, steps, text[i:i + size], negative,
        guidance_scale, progress=progress)
    videos += list(pixels(model, latents))
  return videos[:len(prompts)]


def dispatches(num_prompts: int, batch_size: int) -> int:
  """How many batches `edit` renders."""
  return -(-num_prompts // min(batch_size, num_prompts))


def pixels(model: VideoModel, latents: Video) -> np.ndarray:
  """Decoded latents as uint8 `b f h w c`.

  Raises:
    InputError: If they are not finite, which would show as black.
  """
  decoded = parallel.to_host(model.vae.decode(latents))
  if not np.isfinite(decoded).all():
    raise InputError(
        "the samples are not finite; set model.dtype=float32, or lower "
        "sampling.guidance")
  return video.to_pixels(decoded)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
  """Peak signal-to-noise ratio of two uint8 arrays, in dB."""
  error = np.mean((a.astype(np.float64) - b) ** 2)
  return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def _run(
    model, trainable, latents, steps, text, negative=None, scale=1.0, *,
    progress,
):
  """Follows all steps, a few at a time so that progress can be shown."""
  total = len(steps[0])
  # A divisor, so that one compiled program serves all.
  chunk = max(n for n in range(1, _STEPS_PER_DISPATCH + 1) if total % n == 0)
  where = parallel.video_spec(model.mesh, latents.shape)
  for i in range(0, total, chunk):
    latents = follow(
        model.unet, model.schedule, trainable, model.frozen,
        jax.device_put(latents, where),
        tuple(s[i:i + chunk] for s in steps), text, negative, scale)
    latents.block_until_ready()
    progress(chunk)
  return latents


@functools.partial(jax.jit, static_argnums=(0, 1))
def follow(
    unet, schedule, trainable, frozen, latents, steps, text, negative, scale):
  """A run of denoising steps as one program on the device.

  Args:
    unet: The network.
    schedule: The noise schedule.
    trainable: Trainable parameters.
    frozen: Frozen parameters.
    latents: Where to start from, `b f h w c`.
    steps: Timesteps as of `ddim.sampling_steps` or `ddim.inversion_steps`.
    text: Prompts, `b l e`.
    negative: What guidance moves away from, `b l e`; None for no guidance.
    scale: Of the guidance.

  Returns:
    The latents after the last step.
  """
  net = network(unet, trainable, frozen)
  if negative is None:
    denoise = guidance.conditional(net, text)
  else:
    denoise = guidance.classifier_free(net, text, negative, scale)
  return ddim.follow(denoise, schedule, latents, *steps)[0]
