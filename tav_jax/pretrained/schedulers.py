"""The scheduler configs of diffusers -> the noise schedule of a model.

Sampling is DDIM's, whatever sampler a checkpoint names. Betas, prediction,
spacing and the last step are read as that sampler defines them, missing keys
with its own defaults. Settings of how it takes its steps are ignored; settings
that would change the diffusion process are refused.
"""

from collections.abc import Mapping
import dataclasses
from typing import Any

from tav_jax.pretrained.reader import Reader
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
  name = str(values.get("_class_name"))
  known = ", ".join(DEFAULTS)
  read.check(f"_class_name={name!r}", name in DEFAULTS, f"one of {known}")
  default = DEFAULTS[name]
  betas = read.get("trained_betas", ())
  read.check("trained_betas", not len(betas), "null")
  last = read.get(
      "final_sigmas_type", "zero" if default.alpha_to_one else "sigma_min")
  schedule = Schedule(
      num_train_steps=read.get(
          "num_train_timesteps", default.num_train_steps),
      beta_start=read.get("beta_start", default.beta_start),
      beta_end=read.get("beta_end", default.beta_end),
      beta_schedule=read.get("beta_schedule", default.beta_schedule),
      prediction=read.get("prediction_type", default.prediction),
      spacing=read.get("timestep_spacing", default.spacing),
      steps_offset=read.get("steps_offset", default.steps_offset),
      alpha_to_one=read.get("set_alpha_to_one", last == "zero"),
      clip_sample=read.get("clip_sample", default.clip_sample),
      zero_snr=read.get("rescale_betas_zero_snr", default.zero_snr),
  )
  for key, value, allowed in (
      ("beta_schedule", schedule.beta_schedule, BETA_SCHEDULES),
      ("prediction_type", schedule.prediction, PREDICTIONS),
      ("timestep_spacing", schedule.spacing, SPACINGS),
      ("final_sigmas_type", last, ("zero", "sigma_min"))):
    read.check(f"{key}={value!r}", value in allowed, " or ".join(allowed))
  read.check(
      "rescale_betas_zero_snr",
      not schedule.zero_snr or schedule.prediction == "v_prediction",
      "prediction_type v_prediction beside it")
  kind = str(read.values.get("variance_type"))
  read.check(
      f"variance_type={kind!r}", not kind.startswith("learned"), "a fixed one")
  reach = read.get("clip_sample_range", 1.0)
  read.check(
      f"clip_sample_range={reach}", reach == 1 or not schedule.clip_sample,
      "1.0")
  read.fixed({"timestep_type": "discrete"})
  read.finish((*_STEPS, *_OF_THE_REFUSED), "models sampled with DDIM")
  return schedule
