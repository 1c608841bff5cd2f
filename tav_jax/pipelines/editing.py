"""Rendering with tuned models: inversion, edits and a check of reconstruction.

Several videos are rendered at a time, each with trainable parameters of its own
over one frozen tree; their arrays have a first axis `v`.
"""

from collections.abc import Callable, Sequence
import functools

import jax
from jaxtyping import Float
import numpy as np

from tav_jax.data import video
from tav_jax.errors import InputError
from tav_jax.parallel import activations, placement, processes
from tav_jax.pipelines.video_model import network, VideoModel
from tav_jax.sampling import ddim, guidance
from tav_jax.types import Array, Params, Video

Videos = Float[Array, "v b f h w c"]
"""Latents of several videos, b clips for each."""

Progress = Callable[[int], None]
"""Is told the number of denoising steps that were just taken."""

_STEPS_PER_DISPATCH = 10


def invert(
    model: VideoModel, trainable: Params, latents: Videos, num_steps: int,
    progress: Progress,
) -> Videos:
  """The noise of clips, by DDIM inversion with prompt "" and no guidance."""
  steps = ddim.inversion_steps(model.schedule, num_steps)
  return _run(
      model, trainable, latents, steps, _no_text(model, latents),
      progress=progress)


def noise(start: str, seeds: Sequence[int], shape: Sequence[int]) -> Videos:
  """Unit Gaussian noise of `shape`, `1 f h w c`, for every seed.

  `start` is "random" for independent noise in every frame, or "shared" for the
  same noise in all frames.
  """
  one, frames, *frame = shape
  draw = (one, 1 if start == "shared" else frames, *frame)
  return np.stack([
      np.broadcast_to(jax.random.normal(jax.random.key(seed), draw), shape)
      for seed in seeds])


def resample(
    model: VideoModel, trainable: Params, noise: Videos, num_steps: int,
    progress: Progress,
) -> Videos:
  """Clips from inverted noise, with prompt "" and no guidance."""
  steps = ddim.sampling_steps(model.schedule, num_steps)
  return _run(
      model, trainable, noise, steps, _no_text(model, noise),
      progress=progress)


def edit(
    model: VideoModel,
    trainable: Params,
    noise: Videos,
    prompts: Sequence[Sequence[str]],
    *,
    negative_prompt: str,
    guidance_scale: float,
    num_steps: int,
    batch_size: int,
    progress: Progress,
) -> list[np.ndarray]:
  """Renders each prompt of each video; a video's clips start from one noise.

  Args:
    model: The model.
    trainable: Tuned parameters of each video, along the first axis.
    noise: x_T of each video, `v 1 f h w c`, of `invert` or `noise`.
    prompts: Prompts of each video, equally many for each.
    negative_prompt: What guidance moves away from; "" is usual.
    guidance_scale: Classifier-free guidance; 1 is none, and takes half as long.
    num_steps: DDIM steps.
    batch_size: Prompts of a video that are rendered at a time.
    progress: Called with how many denoising steps were taken since the last
      call; every batch takes `num_steps`.

  Returns:
    Latents `n f h w c` of the n prompts of each video.
  """
  steps = ddim.sampling_steps(model.schedule, num_steps)
  count = len(prompts[0])
  size = min(batch_size, count)
  # The last batch is filled up, so that one compiled program serves them all.
  padded = [[*few, *[few[-1]] * (-count % size)] for few in prompts]
  text = np.stack([model.embed(few) for few in padded])
  negative = None
  if guidance_scale != 1:
    negative = placement.replicate(
        model.mesh, np.repeat(model.embed([negative_prompt]), size, axis=0))
  start = np.repeat(processes.to_host(noise), size, axis=1)
  batches = [
      processes.to_host(_run(
          model, trainable, start, steps, text[:, i:i + size], negative,
          guidance_scale, progress=progress))
      for i in range(0, text.shape[1], size)]
  return list(np.concatenate(batches, axis=1)[:, :count])


def dispatches(num_prompts: int, batch_size: int) -> int:
  """The number of batches that `edit` renders."""
  return -(-num_prompts // min(batch_size, num_prompts))


def pixels(model: VideoModel, latents: Video) -> np.ndarray:
  """Decoded latents as uint8 `b f h w c`.

  Raises:
    InputError: If pixels are not finite; they would be shown black.
  """
  decoded = model.vae.decode(latents)
  if not np.isfinite(decoded).all():
    raise InputError(
        "the samples are not finite; set model.dtype=float32, or lower "
        "sampling.guidance")
  return video.to_pixels(decoded)


def _no_text(model: VideoModel, latents: Videos) -> np.ndarray:
  text = model.embed([""])
  return np.broadcast_to(text, (len(latents), *text.shape))


def _run(
    model, trainable, latents, steps, text, negative=None, scale=1.0, *,
    progress,
):
  """Follows all steps, a few at a time so that progress can be shown."""
  total = len(steps[0])
  # It divides the total, so that one compiled program serves all chunks.
  chunk = max(n for n in range(1, _STEPS_PER_DISPATCH + 1) if total % n == 0)
  where = placement.of_videos(
      placement.video_spec(model.mesh, latents.shape[1:]))
  text = jax.device_put(
      text, placement.of_videos(placement.everywhere(model.mesh)))
  latents = jax.device_put(latents, where)
  for i in range(0, total, chunk):
    with jax.set_mesh(model.mesh):
      latents = follow(
          model.unet, model.schedule, trainable, model.frozen, latents,
          tuple(s[i:i + chunk] for s in steps), text, negative, scale)
    latents.block_until_ready()
    progress(chunk)
  return latents


@functools.partial(jax.jit, static_argnums=(0, 1))
def follow(
    unet, schedule, trainable, frozen, latents, steps, text, negative, scale):
  """Takes denoising steps for several videos in one program on the device.

  Args:
    unet: The network.
    schedule: The noise schedule.
    trainable: Trainable parameters of each video, along the first axis.
    frozen: Frozen parameters.
    latents: Latents before the first step, `v b f h w c`.
    steps: A slice of the timesteps of `ddim.sampling_steps` or of
      `ddim.inversion_steps`.
    text: Embeddings of the prompts, `v b l e`.
    negative: Embeddings that guidance moves away from, `b l e`; None for no
      guidance.
    scale: Guidance scale.

  Returns:
    The latents after the last step, placed as those before the first.
  """

  def of_one(trainable, latents, text):
    net = network(unet, trainable, frozen)
    if negative is None:
      denoise = guidance.conditional(net, text)
    else:
      denoise = guidance.classifier_free(net, text, negative, scale)
    end, _ = ddim.follow(denoise, schedule, latents, *steps)
    return activations.constrain(end, frames=1)

  return activations.over_videos(of_one, (0, 0, 0))(trainable, latents, text)
