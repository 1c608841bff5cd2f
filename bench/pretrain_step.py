r"""Speed of the pretraining steps, beside the same step in PyTorch.

  python -m bench.pretrain_step --config=configs/pretrain_storybook.py

Times one training step of every stage on random batches, in rounds that take
turns, and prints medians: pictures a second, and the share of the matrix peak,
which is what a product of two 2048x2048 float32 matrices reaches in this run.
If PyTorch and diffusers are installed (`pip install torch diffusers`), the
latent diffusion step takes turns with the same step written with diffusers'
PyTorch modules: same sizes, batch, threads and float32.
"""

import importlib.util
import statistics
import time
from typing import Any

from absl import app
import jax
import jax.numpy as jnp
from ml_collections import config_flags
import numpy as np

from tav_jax.models import initial
from tav_jax.models.vae import VAEConfig
from tav_jax.pretrained import pipeline
from tav_jax.pretraining import autoencoder, clip, judge, networks
from tav_jax.sampling.schedule import Schedule
from tav_jax.storybook import dataset
from tav_jax.storybook import judge as judge_lib
from tav_jax.storybook.classifier import Classifier
from tav_jax.training import diffusion as diffusion_loss
from tav_jax.training import optim, step

_CONFIG = config_flags.DEFINE_config_file(
    "config", "configs/pretrain_storybook.py", "Config of the pretraining.")
_ROUNDS = 7
_WORDS = 614  # Size of the drawn world's vocabulary.


class Tokenizer:
  """A stand-in for the tokenizer, with what determines the networks' sizes."""

  eos_token_id = _WORDS - 1

  def __init__(self, positions: int):
    self.model_max_length = positions

  def __len__(self) -> int:
    return _WORDS


def jax_step(config, loss, params, batch):
  """A function that takes one step, and the step's flops."""
  chosen = dict(config.optimizer)
  chosen.pop("batch_size"), chosen.pop("warmup_steps")
  optimizer = optim.averaged(
      optim.adamw(chosen.pop("learning_rate"), **{
          k: v for k, v in chosen.items() if k != "average"}),
      config.optimizer.average)
  state = step.init(params, optimizer, 0)
  compiled = jax.jit(
      step.make_step(loss, optimizer), donate_argnums=0).lower(
          state, {}, batch).compile()
  holder = [state]

  def run():
    holder[0], metrics = compiled(holder[0], {}, batch)
    jax.block_until_ready(metrics)

  cost: Any = compiled.cost_analysis()
  return run, cost["flops"]


def stages(config):
  """Yields the name, step function, flops and pictures of each stage."""
  size, random = config.data.size, np.random.default_rng(0)
  images = lambda n, size=size: random.uniform(
      -1, 1, (n, size, size, 3)).astype(np.float32)
  tokens = lambda n: random.integers(
      0, _WORDS, (n, config.tokenizer.positions)).astype(np.int32)

  n = config.autoencoder.optimizer.batch_size
  vae = VAEConfig(**config.autoencoder.model.to_dict(), attention_block=0)
  yield "autoencoder", n, *jax_step(
      config.autoencoder,
      autoencoder.loss(vae, config.autoencoder.loss.kl_weight),
      autoencoder.init(vae, 0), {"image": images(n)})

  n = config.judge.optimizer.batch_size
  classifier = judge_lib.configuration(
      tuple(config.judge.model.channels), config.judge.model.strips,
      dataset.groups(config.data.free))
  labels = np.zeros((n, len(classifier.heads)), np.int32)
  yield "judge", n, *jax_step(
      config.judge, judge.loss(classifier),
      initial.init(Classifier(classifier), 0, images(1)),
      {"image": images(n), "labels": labels})

  n = config.clip.optimizer.batch_size
  towers = clip.configuration(
      config.clip.model, Tokenizer(config.tokenizer.positions))
  clip_params = clip.init(towers, 0)
  yield "clip", n, *jax_step(
      config.clip, clip.loss(towers), clip_params,
      {"image": images(n, towers.vision.image_size), "tokens": tokens(n)})

  n = config.diffusion.optimizer.batch_size
  unet = networks.network(
      config.diffusion.model, size // vae.factor, vae.latent_channels,
      towers.text.width)
  side = unet.sample_size
  assert side is not None  # The world's models have one.
  latents = random.normal(size=(n, 1, side, side, unet.in_channels)).astype(
      np.float32)
  params = {
      "unet": networks.init(unet, 0), "text": clip_params["text_model"]}
  batch = {"mean": latents, "std": 0 * latents, "tokens": tokens(n)}
  yield "latent diffusion", n, *jax_step(
      config.diffusion,
      diffusion_loss.loss(
          unet, towers.text, Schedule(**config.diffusion.schedule),
          config.diffusion.model.min_snr), params, batch)
  if all(map(importlib.util.find_spec, ("torch", "diffusers"))):
    yield "latent diffusion, PyTorch", n, torch_step(
        config, unet, towers.text, batch), None
  else:
    print("PyTorch or diffusers is not installed: no comparison")


def torch_step(config, unet, text, batch):
  """The latent diffusion step with diffusers' PyTorch modules."""
  import diffusers
  from diffusers.models.attention_processor import AttnProcessor
  import torch
  import transformers

  schedule = Schedule(**config.diffusion.schedule)
  fields = pipeline.unet_fields(unet)
  net = diffusers.UNet2DConditionModel(**{
      k: v for k, v in fields.items() if not k.startswith("_")})
  net = net.to(memory_format=torch.channels_last)
  net.set_attn_processor(AttnProcessor())  # Faster here than the default.
  encoder = transformers.CLIPTextModel(transformers.CLIPTextConfig(
      vocab_size=text.vocab_size, hidden_size=text.width,
      intermediate_size=text.mlp_width, num_hidden_layers=text.layers,
      num_attention_heads=text.heads, max_position_embeddings=text.positions,
      bos_token_id=_WORDS - 2, eos_token_id=_WORDS - 1,
      attn_implementation="eager"))
  params = [*net.parameters(), *encoder.parameters()]
  chosen = config.diffusion.optimizer
  optimizer = torch.optim.AdamW(
      params, lr=chosen.learning_rate, betas=(chosen.b1, chosen.b2),
      weight_decay=chosen.weight_decay, fused=True)
  average = [p.detach().clone() for p in params]
  x0 = torch.from_numpy(batch["mean"][:, 0]).permute(0, 3, 1, 2).contiguous(
      memory_format=torch.channels_last)
  tokens = torch.from_numpy(batch["tokens"]).long()
  abar = torch.from_numpy(schedule.alphas_cumprod).float()
  weights = torch.from_numpy(diffusion_loss.min_snr_weights(
      schedule, config.diffusion.model.min_snr)).float()
  count = len(x0)

  def run():
    where = (torch.arange(count) + torch.rand(count)) / count
    timesteps = (where * len(abar)).long()
    noise = torch.randn_like(x0)
    signal, sigma = (
        x[timesteps].sqrt()[:, None, None, None] for x in (abar, 1 - abar))
    prediction = net(
        signal * x0 + sigma * noise, timesteps, encoder(tokens)[0]).sample
    error = prediction - (signal * noise - sigma * x0)
    loss = (weights[timesteps] * error.square().mean((1, 2, 3))).mean()
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(params, 1.0)
    optimizer.step()
    torch._foreach_lerp_(
        average, [p.detach() for p in params], 1 - chosen.average)
    loss.item()

  return run


def matrix_peak() -> tuple:
  """A product of two 2048x2048 matrices, and its flops."""
  a = jnp.ones((2048, 2048))
  product = jax.jit(jnp.matmul)
  return (lambda: product(a, a).block_until_ready()), 2 * 2048**3


def main(argv) -> None:
  """Prints the table."""
  del argv
  jobs = list(stages(_CONFIG.value))
  peak, peak_flops = matrix_peak()
  runs = [("matrix peak", peak)] + [(name, run) for name, _, run, _ in jobs]
  seconds: dict[str, list[float]] = {name: [] for name, _ in runs}
  for _ in range(_ROUNDS + 1):  # The first round warms up.
    for name, run in runs:
      start = time.perf_counter()
      run()
      seconds[name].append(time.perf_counter() - start)
  median = {k: statistics.median(v[1:]) for k, v in seconds.items()}
  rate = peak_flops / median["matrix peak"]
  print(f"matrix peak {rate / 1e9:.0f} GFLOP/s, median of {_ROUNDS} rounds\n")
  print("| step | pictures/s | GFLOP a picture | share of the peak |")
  print("| --- | --- | --- | --- |")
  for name, n, _, flops in jobs:
    cells = [f"{n / median[name]:.1f}"]
    if flops is None:
      cells += ["", ""]
    else:
      cells += [f"{flops / n / 1e9:.2f}",
                f"{100 * flops / median[name] / rate:.0f} %"]
    print("|", " | ".join([name, *cells]), "|")


if __name__ == "__main__":
  app.run(main)
