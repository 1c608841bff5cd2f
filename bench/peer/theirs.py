"""The programs of the comparison, in PyTorch.

Each is a function of a case; it returns a function to time, and another that
gives the results of its last call.
"""

import contextlib
import os
from typing import Any

import av
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
import numpy as np
from PIL import Image
import torch
from transformers import CLIPTextModel, CLIPTokenizer

from bench.peer.case import Case, STEPS, temporal_weight
from bench.peer.torch_unet import inflate

_FRAMES_AT_A_TIME = 4  # In the autoencoder, as in this project.


def set_up() -> None:
  """Gives PyTorch as many threads as XLA has."""
  torch.set_num_threads(len(os.sched_getaffinity(0)))


class Schedule:
  """Steps of DDIM and of its inversion, and the target of the loss."""

  def __init__(self, case: Case):
    self.ddim = DDIMScheduler.from_pretrained(case.root / "scheduler")
    self._is_v = self.ddim.config.prediction_type == "v_prediction"

  def steps(self, count: int) -> list[tuple[int, int]]:
    """Pairs of a timestep of sampling and the next, less noisy one."""
    self.ddim.set_timesteps(count)
    times = self.ddim.timesteps.tolist()
    return list(zip(times, [*times[1:], -1], strict=True))

  def move(self, x, prediction, source: int, target: int):
    """The latents at `target`, from x and the prediction at `source`."""
    signal, sigma = self._scales(source)
    if self._is_v:
      x0 = signal * x - sigma * prediction
      noise = signal * prediction + sigma * x
    else:
      x0, noise = (x - sigma * prediction) / signal, prediction
    signal, sigma = self._scales(target)
    return signal * x0 + sigma * noise

  def _scales(self, timestep: int):
    abar = (
        self.ddim.alphas_cumprod[timestep] if timestep >= 0
        else self.ddim.final_alpha_cumprod)
    return abar.sqrt(), (1 - abar).sqrt()

  def target(self, x0, noise, timesteps):
    """What the network is to predict."""
    if self._is_v:
      return self.ddim.get_velocity(x0, noise, timesteps)
    return noise


class Video:
  """The inflated network on clips `b f c h w`."""

  def __init__(self, case: Case):
    self.dtype = getattr(torch, case.dtype)
    self.unet = UNet2DConditionModel.from_pretrained(
        case.root / "unet", torch_dtype=self.dtype)
    inflate(self.unet, case.frames)
    self.trainable = {
        name: p for name, p in self.unet.named_parameters() if p.requires_grad}
    self.unet.requires_grad_(False)
    if case.config().model.remat:
      self.unet.enable_gradient_checkpointing()

  def set_temporal(self) -> None:
    """Sets temporal attentions' weights to those that both frameworks have."""
    for name, p in self.trainable.items():
      if "attn_temp" in name:
        p.data.copy_(torch.from_numpy(temporal_weight(name, p.shape)))

  def train(self) -> None:
    """Makes trainable parameters float32, whatever the frozen ones are."""
    for p in self.trainable.values():
      p.data = p.data.float()
      p.requires_grad_(True)

  def __call__(self, x, timestep, text) -> torch.Tensor:
    half = self.dtype != torch.float32
    with torch.autocast("cpu", self.dtype) if half else (
        contextlib.nullcontext()):
      y = self.unet(
          x.flatten(0, 1).to(self.dtype).contiguous(
              memory_format=torch.channels_last),
          timestep, text.to(self.dtype)).sample
    return y.float().view_as(x)


def optimizer(case: Case, video: Video):
  """A function that updates the parameters and gives the gradient's norm."""
  chosen = case.config().optimizer
  parameters = list(video.trainable.values())
  adamw = torch.optim.AdamW(
      parameters, lr=chosen.learning_rate, betas=(chosen.b1, chosen.b2),
      eps=chosen.eps, weight_decay=chosen.weight_decay, fused=True)

  def update(loss):
    adamw.zero_grad()
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(parameters, chosen.clip_norm)
    adamw.step()
    return norm

  return update, adamw


def tuning(case: Case):
  """A step of tuning."""
  video, schedule, given = Video(case), Schedule(case), _inputs(case)
  video.set_temporal()
  video.train()
  update, adamw = optimizer(case, video)
  x0, noise, time = (given[name] for name in ("x0", "noise", "timestep"))
  last: dict[str, Any] = {}
  before = _join(video.trainable.items())

  def run():
    prediction = video(
        schedule.ddim.add_noise(x0, noise, time), time, given["text"])
    target = schedule.target(x0, noise, time)
    loss = torch.nn.functional.mse_loss(prediction, target)
    last.update(loss=loss.item(), norm=update(loss).item())

  def result():
    named = video.trainable.items()
    return {
        "loss": np.array(last["loss"]), "gradient's norm": np.array(
            last["norm"]),
        "gradient": _join(
            (n, adamw.state[p]["exp_avg"]) for n, p in named),
        "weights' change": _join(named) - before}

  return run, result


def tuning_run(case: Case):
  """Ten steps of tuning."""
  return _ten(tuning(case))


def _ten(program):
  step, _ = program

  def run():
    for _ in range(STEPS):
      step()

  return run, lambda: {}


def sampling(case: Case):
  """A step of sampling with guidance: two clips."""
  video, schedule, given = Video(case), Schedule(case), _inputs(case)
  video.set_temporal()
  both = torch.cat([given["negative"], given["text"]])
  config, last = case.config().sampling, {}
  steps = schedule.steps(config.steps)
  chosen = steps[len(steps) // 2]

  @torch.inference_mode()
  def run():
    last["x"] = _guided(
        video, schedule, given["noise"], both, chosen, config.guidance)

  return run, lambda: {"sampling step": _last(last["x"] - given["noise"])}


def sampling_run(case: Case):
  """Ten steps of sampling."""
  return _ten(sampling(case))


def _guided(video, schedule, x, both, step, scale):
  """One step of sampling."""
  away, towards = video(torch.cat([x, x]), step[0], both).chunk(2)
  return schedule.move(x, away + scale * (towards - away), *step)


def inversion(case: Case):
  """A step of inversion, without guidance."""
  video, schedule, given = Video(case), Schedule(case), _inputs(case)
  video.set_temporal()
  steps, last = schedule.steps(case.config().sampling.steps), {}
  asked, source = steps[len(steps) // 2]

  @torch.inference_mode()
  def run():
    x = given["x0"]
    last["x"] = schedule.move(
        x, video(x, asked, given["text"]), source, asked)

  return run, lambda: {"inversion step": _last(last["x"] - given["x0"])}


class Autoencoder:
  """The autoencoder on clips, a few frames at a time."""

  def __init__(self, case: Case):
    self._dtype = getattr(torch, case.dtype)
    self._vae = AutoencoderKL.from_pretrained(
        case.root / "vae", torch_dtype=self._dtype).to(
            memory_format=torch.channels_last)
    self._scale = self._vae.config.scaling_factor

  def encode(self, pixels) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of a clip's latents."""
    parts = [self._vae.encode(x).latent_dist for x in self._parts(pixels)]
    join = lambda xs: self._scale * torch.cat(xs).float()[None]
    return join([x.mean for x in parts]), join([x.std for x in parts])

  def decode(self, latents) -> torch.Tensor:
    """A clip's pixels."""
    parts = self._parts(latents / self._scale)
    return torch.cat([self._vae.decode(x).sample for x in parts])[None].float()

  def _parts(self, clip):
    return clip[0].to(self._dtype).contiguous(
        memory_format=torch.channels_last).split(_FRAMES_AT_A_TIME)


def encode(case: Case):
  """The clip's latents."""
  vae, pixels, last = Autoencoder(case), _inputs(case)["pixels"], {}

  @torch.inference_mode()
  def run():
    last["mean"], last["std"] = vae.encode(pixels)

  return run, lambda: {"encoded mean": _last(last["mean"]),
                       "encoded deviation": _last(last["std"])}


def decode(case: Case):
  """The clip's pixels."""
  vae, latents, last = Autoencoder(case), _inputs(case)["x0"], {}

  @torch.inference_mode()
  def run():
    last["x"] = vae.decode(latents)

  return run, lambda: {"decoded pixels": _last(last["x"])}


def job(case: Case):
  """Tuning on the embedded video, inversion, sampling of one prompt."""
  config, schedule = case.config(), Schedule(case)
  pixels = _read(config.video)
  vae, video = Autoencoder(case), Video(case)
  video.train()
  update, _ = optimizer(case, video)
  tokenizer = CLIPTokenizer.from_pretrained(case.root / "tokenizer")
  text_encoder = CLIPTextModel.from_pretrained(case.root / "text_encoder")
  last = {}

  @torch.no_grad()
  def embed(*prompts):
    return text_encoder(tokenizer(
        list(prompts), padding="max_length", truncation=True,
        return_tensors="pt").input_ids).last_hidden_state

  def run():
    with torch.no_grad():
      mean, std = vae.encode(pixels)
    text = embed(config.video.caption)
    for _ in range(config.optimizer.steps):
      x0 = mean + std * torch.randn_like(mean)
      noise, time = torch.randn_like(x0), torch.randint(1000, (1,))
      prediction = video(schedule.ddim.add_noise(x0, noise, time), time, text)
      update(torch.nn.functional.mse_loss(
          prediction, schedule.target(x0, noise, time)))
    render(mean)

  @torch.inference_mode()
  def render(x):
    steps = schedule.steps(config.sampling.steps)
    no_text = embed("")
    for asked, source in reversed(steps):
      x = schedule.move(x, video(x, asked, no_text), source, asked)
    both = torch.cat([no_text, embed(*config.sampling.prompts)])
    for step in steps:
      x = _guided(video, schedule, x, both, step, config.sampling.guidance)
    last["x"] = vae.decode(x)

  return run, lambda: {}


def _read(source) -> torch.Tensor:
  """The frames of a video file, `1 f c h w`."""
  with av.open(source.path) as container:
    images = [frame.to_image() for frame in container.decode(video=0)]
  images = images[source.start::source.stride][:source.frames]
  size, how = (source.width, source.height), Image.Resampling.BICUBIC
  frames = np.stack([np.asarray(x.resize(size, how)) for x in images])
  return _first(frames.astype(np.float32)[None] / 127.5 - 1)


def _inputs(case: Case) -> dict[str, torch.Tensor]:
  return {
      name: _first(x) if x.ndim == 5 else torch.from_numpy(x)
      for name, x in case.inputs().items()}


def _first(x: np.ndarray) -> torch.Tensor:
  """`b f h w c` to `b f c h w`."""
  return torch.from_numpy(np.ascontiguousarray(np.moveaxis(x, -1, 2)))


def _last(x: torch.Tensor) -> np.ndarray:
  """`b f c h w` to `b f h w c`."""
  return np.moveaxis(x.numpy(), 2, -1)


def _join(named) -> np.ndarray:
  """All parameters as one vector, in the order of their names."""
  return np.concatenate([
      x.detach().float().numpy().ravel() for _, x in sorted(named)])


PROGRAMS = {
    f.__name__: f
    for f in (
        tuning, tuning_run, sampling, sampling_run, inversion, encode, decode,
        job)}
