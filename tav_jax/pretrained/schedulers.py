"""The scheduler configs of diffusers -> the noise schedule of a model.

Sampling is DDIM's, whatever sampler a checkpoint names. Betas, prediction,
spacing and the last step are read as that sampler defines them, missing keys
with its own defaults. Settings of how it takes its steps are ignored; settings
that would change the diffusion process are refused.
"""

from collections.abc import Mapping
import dataclasses
from typing import Any

from tav_jax.pretrained import foreign
from tav_jax.pretrained.reader import (
  choice,
  FLAG,
  integer,
  number,
  Reader,
  TEXT,
)
from tav_jax.sampling.schedule import (
  BETA_SCHEDULES,
  PREDICTIONS,
  Schedule,
  SPACINGS,
)

_DDPM = Schedule(
    beta_start=0.0001, beta_end=0.02, beta_schedule="linear", steps_offset=0,
    alpha_to_one=True, clip_sample=True)
_PNDM = dataclasses.replace(_DDPM, alpha_to_one=False, clip_sample=False)
# Samplers that step through noise levels end at noise level 0.
_SIGMAS = dataclasses.replace(
    _PNDM, spacing="linspace", alpha_to_one=True)
_K_DIFFUSION = dataclasses.replace(
    _SIGMAS, beta_start=0.00085, beta_end=0.012)
DEFAULTS = {
    "DDIMScheduler": _DDPM,
    "DDPMScheduler": _DDPM,
    "DEISMultistepScheduler": dataclasses.replace(_SIGMAS, alpha_to_one=False),
    "DPMSolverMultistepScheduler": _SIGMAS,
    "DPMSolverSDEScheduler": _K_DIFFUSION,
    "DPMSolverSinglestepScheduler": _SIGMAS,
    "EulerAncestralDiscreteScheduler": _SIGMAS,
    "EulerDiscreteScheduler": _SIGMAS,
    "HeunDiscreteScheduler": _K_DIFFUSION,
    "KDPM2AncestralDiscreteScheduler": _K_DIFFUSION,
    "KDPM2DiscreteScheduler": _K_DIFFUSION,
    "LCMScheduler": dataclasses.replace(
        _DDPM, beta_start=0.00085, beta_end=0.012,
        beta_schedule="scaled_linear", clip_sample=False),
    "LMSDiscreteScheduler": _SIGMAS,
    "PNDMScheduler": _PNDM,
    "UniPCMultistepScheduler": _SIGMAS,
}
"""What a key of a scheduler's config means if it is missing."""

# Settings of how another sampler takes its steps: ignored.
_STEPS = (
    "algorithm_type", "disable_corrector", "euler_at_final",
    "interpolation_type", "lambda_min_clipped", "lower_order_final",
    "noise_sampler_seed", "original_inference_steps", "predict_x0",
    "skip_prk_steps", "solver_order", "solver_p", "solver_type",
    "timestep_scaling", "variance_type")
# Ignored, since the settings that they belong to are refused unless off.
_OF_THE_REFUSED = (
    "dynamic_thresholding_ratio", "flow_shift", "sample_max_value", "sigma_max",
    "sigma_min", "time_shift_type")


def read_schedule(values: Mapping[str, Any], source: str) -> Schedule:
  """Reads the config of one of diffusers' schedulers.

  Raises:
    InputError: If it asks for something that DDIM does not do here.
  """
  read = Reader(values, source)
  name = values.get("_class_name")
  foreign.refuse_scheduler(name, source)
  kind = str(name).removeprefix("Flax")
  read.check(
      "_class_name", name, kind in DEFAULTS, f"one of {', '.join(DEFAULTS)}")
  default = DEFAULTS[kind]
  last = read.get(
      "final_sigmas_type", choice("zero", "sigma_min"),
      "zero" if default.alpha_to_one else "sigma_min")
  beta = number(1e-8, 0.9999)
  steps = read.get(
      "num_train_timesteps", integer(1, 100_000), default.num_train_steps)
  schedule = Schedule(
      num_train_steps=steps,
      beta_start=read.get("beta_start", beta, default.beta_start),
      beta_end=read.get("beta_end", beta, default.beta_end),
      beta_schedule=read.get(
          "beta_schedule", choice(*BETA_SCHEDULES), default.beta_schedule),
      prediction=read.get(
          "prediction_type", choice(*PREDICTIONS), default.prediction),
      spacing=read.get("timestep_spacing", choice(*SPACINGS), default.spacing),
      steps_offset=read.get(
          "steps_offset", integer(0, steps - 1), default.steps_offset),
      alpha_to_one=read.get("set_alpha_to_one", FLAG, last == "zero"),
      clip_sample=read.get("clip_sample", FLAG, default.clip_sample),
      zero_snr=read.get("rescale_betas_zero_snr", FLAG, default.zero_snr),
  )
  read.check(
      "rescale_betas_zero_snr", True,
      not schedule.zero_snr or schedule.prediction == "v_prediction",
      "prediction_type v_prediction beside it")
  read.check(
      "num_train_timesteps", steps, steps > 1 or not schedule.zero_snr,
      "2 or more with rescale_betas_zero_snr")
  variance = read.get("variance_type", TEXT, "fixed_small")
  read.check(
      "variance_type", variance, not variance.startswith("learned"),
      "a fixed one")
  reach = read.get("clip_sample_range", number(0, 1e6), 1.0)
  read.check(
      "clip_sample_range", reach, reach == 1 or not schedule.clip_sample, "1.0")
  read.fixed({
      "timestep_type": choice("discrete"), "trained_betas": choice([])})
  read.finish((*_STEPS, *_OF_THE_REFUSED), "models sampled with DDIM")
  return schedule
