"""Scheduler configs, against the defaults in diffusers' own sources."""

import ast
import importlib.util
import pathlib

import pytest

from tav_jax.errors import InputError
from tav_jax.pretrained import schedulers


def defaults_of_diffusers(name):
  """Of `__init__` in the source of a class that needs torch to import."""
  folder = pathlib.Path(
      importlib.util.find_spec("diffusers").origin).parent / "schedulers"
  kind, = (
      node for file in folder.glob("scheduling_*.py")
      if f"class {name}(" in file.read_text()
      for node in ast.parse(file.read_text()).body
      if getattr(node, "name", "") == name)
  init, = (node for node in kind.body if getattr(
      node, "name", "") == "__init__")
  names = [arg.arg for arg in init.args.args][-len(init.args.defaults):]
  values = [
      None if isinstance(node, ast.UnaryOp) else ast.literal_eval(node)
      for node in init.args.defaults]
  return dict(zip(names, values, strict=True))


@pytest.mark.oracle
@pytest.mark.parametrize("name", schedulers.DEFAULTS)
def test_defaults_are_each_schedulers_own(name):
  """What a config says with nothing and with all of diffusers' defaults."""
  said = defaults_of_diffusers(name)
  short = schedulers.read_schedule({"_class_name": name}, "")
  assert short == schedulers.read_schedule({"_class_name": name} | said, "")
  for field, key in (
      ("num_train_steps", "num_train_timesteps"), ("beta_start", "beta_start"),
      ("beta_end", "beta_end"), ("beta_schedule", "beta_schedule"),
      ("prediction", "prediction_type"), ("clip_sample", "clip_sample"),
      ("spacing", "timestep_spacing"), ("steps_offset", "steps_offset"),
      ("alpha_to_one", "set_alpha_to_one")):
    if key in said:
      assert getattr(short, field) == said[key]
  if "final_sigmas_type" in said:
    assert short.alpha_to_one


@pytest.mark.parametrize("changes,says", [
    ({"thresholding": True}, "thresholding=True"),
    ({"clip_sample": True, "clip_sample_range": 3.0},
     "clip_sample_range is 3.0"),
    ({"use_karras_sigmas": True}, "use_karras_sigmas=True"),
    ({"variance_type": "learned_range"}, "variance_type is 'learned_range'"),
    ({"timestep_type": "continuous"}, "timestep_type"),
    ({"timestep_spacing": "sideways"}, "timestep_spacing is 'sideways'"),
    ({"rescale_betas_zero_snr": True}, "rescale_betas_zero_snr"),
    ({"no_such_key": 3}, "no_such_key=3"),
    ({"_class_name": "FlowMatchEulerDiscreteScheduler"},
     "_class_name is 'FlowMatchEuler.* flow matching"),
    ({"_class_name": "EDMEulerScheduler"}, "_class_name .* EDM"),
    ({"_class_name": None}, "_class_name is None; expected one of DDIM"),
    ({"num_train_timesteps": 10**9}, "num_train_timesteps is 1000000000; exp"),
    ({"num_train_timesteps": "3"}, "num_train_timesteps is '3'; expected a wh"),
    ({"num_train_timesteps": True}, "num_train_timesteps is True"),
    ({"beta_start": float("nan")}, "beta_start is nan; expected a number from"),
    ({"beta_end": 1e400}, "beta_end is inf"), ({"beta_end": -1}, "beta_end"),
    ({"steps_offset": 1000}, "steps_offset is 1000; expected .* 0 to 999"),
    ({"clip_sample": 0}, "clip_sample is 0; expected true or false"),
    ({"prediction_type": "flow"}, "prediction_type is 'flow'"),
    ({"num_train_timesteps": 1, "rescale_betas_zero_snr": True,
      "prediction_type": "v_prediction"}, "num_train_timesteps is 1; expect"),
    ({"trained_betas": [0.1, 0.2]}, "trained_betas")])
def test_settings_of_a_scheduler_that_are_not_honoured(changes, says):
  config = {"_class_name": "DDIMScheduler", "clip_sample": False}
  schedulers.read_schedule(config | {"clip_sample_range": 3.0}, "x.json")
  with pytest.raises(InputError, match=f"x.json: {says}"):
    schedulers.read_schedule(config | changes, "x.json")
