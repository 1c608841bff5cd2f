r"""Tune-A-Video, its ablations and its neighbours: one network, other fields.

  python -m tav_jax.tune --config=configs/variants.py:vdm_baseline \
      --workdir=runs/vdm --config.video.path=my.mp4 ...

Each is the default config but for what its function below changes.
"""

from ml_collections import ConfigDict

from configs import default


def tune_a_video(config: ConfigDict) -> None:
  """The method (arXiv 2212.11565)."""


def without_sc_attn(config: ConfigDict) -> None:
  """Self-attention sees its own frame alone, as in the image model."""
  config.model.spatial = "own"


def without_tuning(config: ConfigDict) -> None:
  """The inflated image model as it is."""
  config.optimizer.steps = 0


def without_inversion(config: ConfigDict) -> None:
  """From noise that knows nothing of the video."""
  config.sampling.start = "random"


def vdm_baseline(config: ConfigDict) -> None:
  """Video Diffusion Models' factorised attention (arXiv 2204.03458)."""
  config.model.spatial = "own"
  config.model.temporal = "relative"


def make_a_video(config: ConfigDict) -> None:
  """Pseudo-3-D layers, of which only those over time train (2209.14792)."""
  config.model.spatial = "own"
  config.model.temporal = "relative"
  config.model.convolution = "pseudo_3d"
  config.model.trainable = (r"\w+_temp",)


def text2video_zero(config: ConfigDict) -> None:
  """All frames attend to the first, from one noise (2303.13439, no motion)."""
  config.model.spatial = "first"
  config.model.temporal = "none"
  config.model.trainable = ("attn1/to_q",)
  config.optimizer.steps = 0
  config.sampling.start = "shared"


def image_model(config: ConfigDict) -> None:
  """Every frame on its own, from noise of its own."""
  config.model.spatial = "own"
  config.model.temporal = "none"
  config.model.trainable = ("attn1/to_q",)
  config.optimizer.steps = 0
  config.sampling.start = "random"


VARIANTS = {
    change.__name__: change for change in (
        tune_a_video, without_sc_attn, without_tuning, without_inversion,
        vdm_baseline, make_a_video, text2video_zero, image_model)}


def get_config(variant: str = "tune_a_video") -> ConfigDict:
  if variant not in VARIANTS:
    raise ValueError(f"{variant!r}: expected one of {', '.join(VARIANTS)}")
  config = default.get_config()
  VARIANTS[variant](config)
  return config
