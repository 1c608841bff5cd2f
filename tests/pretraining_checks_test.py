"""Configs of pretraining: which are accepted, and why the others are not."""

from ml_collections import ConfigDict
import pytest

from configs import (
  pretrain_ddpm,
  pretrain_imagen_video,
  pretrain_make_a_video,
  pretrain_storybook,
  pretrain_vdm,
)
from tav_jax.errors import InputError
from tav_jax.pretraining import checks

ZERO_SNR = {"diffusion.schedule.zero_snr": True}
V = {"diffusion.schedule.prediction": "v_prediction"}
JUDGE = {"stages": ("judge",)}


def changed(config, changes) -> ConfigDict:
  """The config of a module, with keys changed or added."""
  config = config.get_config()
  with config.unlocked():
    config.update_from_flattened_dict(changes)
  return config


@pytest.mark.parametrize("config,changes", [
    (pretrain_storybook, {}), (pretrain_ddpm, {}), (pretrain_vdm, {}),
    (pretrain_make_a_video, {}), (pretrain_imagen_video, {}),
    (pretrain_ddpm, ZERO_SNR | V | {"diffusion.schedule.spacing": "trailing"}),
    (pretrain_storybook, JUDGE | {"judge.model.strips": 6}),
    (pretrain_storybook, JUDGE | {
        "data.size": 18, "judge.model.strips": 2})])
def test_accepted(tmp_path, config, changes):
  checks.check(changed(config, changes), tmp_path)


@pytest.mark.parametrize("config,changes,says", [
    (pretrain_ddpm, {"diffusion.schedule.spacing": "sideways"},
     "diffusion.schedule.spacing='sideways': expected leading or trailing"),
    (pretrain_ddpm, ZERO_SNR, "prediction='epsilon': expected v_prediction"),
    (pretrain_ddpm, {"diffusion.optimizer.clip_norm": 0.0},
     "diffusion.optimizer.clip_norm=0.0"),
    # A judge has pixels in every strip.
    (pretrain_storybook, JUDGE | {"judge.model.strips": 7},
     "judge.model.strips=7: expected at most 6"),
    (pretrain_storybook, JUDGE | {"data.size": 18, "judge.model.strips": 3},
     "judge.model.strips=3: expected at most 2"),
    # Clips.
    (pretrain_vdm, {"data.frames": 1},
     "data.frames=1: expected 2 or more, for"),
    (pretrain_vdm, {"diffusion.clips.strides": (1, 4)},
     "strides=(1, 4): expected some of 1 to 3, with which 8 frames fit"),
    (pretrain_vdm, {"diffusion.sampling.overlap": 8},
     "sampling.overlap=8: expected 1 to 7"),
    (pretrain_vdm, {"diffusion.clips.frames": 30}, "clips.frames=30: expected"),
    (pretrain_vdm, {"diffusion.model.temporal": "some"},
     "temporal='some': expected full"),
    (pretrain_vdm, {"stages": ("judge", "diffusion")},
     "'judge' learns from pictures"),
    (pretrain_vdm, {"parts": ""}, "'diffusion' needs"),
    # A cascade.
    (pretrain_imagen_video, {"temporal_super_resolution.clips.factor": 3},
     "clips.frames=16: expected a multiple of temporal_super_resolution"),
    (pretrain_imagen_video, {"temporal_super_resolution.clips.images": 2},
     "images=2: expected 0"),
    (pretrain_imagen_video, {"spatial_super_resolution.clips.noise": 0.0},
     "clips.noise=0.0: expected"),
    (pretrain_imagen_video, {"diffusion.clips.size": 12},
     "clips.size=12: expected a divisor of"),
    # Distillation.
    (pretrain_imagen_video, {"distillation.first": 24},
     "distillation.first=24: expected"),
    (pretrain_imagen_video, {"diffusion.schedule.spacing": "leading"},
     "spacing='leading': expected"),
    (pretrain_imagen_video, {"stages": ("distillation",)},
     "'distillation' needs")])
def test_refused(tmp_path, config, changes, says):
  with pytest.raises(InputError) as error:
    checks.check(changed(config, changes), tmp_path)
  assert says in str(error.value)
