r"""Tune-A-Video, its ablations and its neighbours: one network, other fields.

  python -m tav_jax.tune --config=configs/variants.py:vdm_baseline \
      --workdir=runs/vdm --config.video.path=my.mp4 ...

Each is the default config with the changes that are listed here.
"""

from typing import Any

from ml_collections import ConfigDict

from configs import default

_UNTUNED_IMAGE_MODEL: dict[str, dict[str, Any]] = {
    "model": {"temporal": "none", "trainable": ("attn1/to_q",)},
    "optimizer": {"steps": 0}}

VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    # The method (arXiv 2212.11565).
    "tune_a_video": {},
    # Its ablations: a frame's self-attention sees that frame alone, as in the
    # image model; no tuning; start noise that does not depend on the video.
    "without_sc_attn": {"model": {"spatial": "own"}},
    "without_tuning": {"optimizer": {"steps": 0}},
    "without_inversion": {"sampling": {"start": "random"}},
    # Without inverted noise, which carries the source's structure, attention
    # alone has to hold the frames together.
    "without_sc_attn_and_inversion": {
        "model": {"spatial": "own"}, "sampling": {"start": "random"}},
    # Video Diffusion Models' factorised attention (2204.03458).
    "vdm_baseline": {"model": {"spatial": "own", "temporal": "relative"}},
    # Pseudo-3-D layers, of which only those over time train (2209.14792).
    "make_a_video": {"model": {
        "spatial": "own", "temporal": "relative", "convolution": "pseudo_3d",
        "trainable": (r"\w+_temp",)}},
    # All frames attend to the first and start from one noise (2303.13439, but
    # without its warping of the noise).
    "text2video_zero": _UNTUNED_IMAGE_MODEL | {
        "model": _UNTUNED_IMAGE_MODEL["model"] | {"spatial": "first"},
        "sampling": {"start": "shared"}},
    # What sparse-causal attention does by itself: it replaces self-attention in
    # the image model below.
    "sc_attn_alone": _UNTUNED_IMAGE_MODEL | {
        "model": _UNTUNED_IMAGE_MODEL["model"] | {"spatial": "sparse_causal"},
        "sampling": {"start": "random"}},
    # Every frame by itself, from noise of its own.
    "image_model": _UNTUNED_IMAGE_MODEL | {
        "model": _UNTUNED_IMAGE_MODEL["model"] | {"spatial": "own"},
        "sampling": {"start": "random"}},
}


def get_config(variant: str = "tune_a_video") -> ConfigDict:
  if variant not in VARIANTS:
    raise ValueError(f"{variant!r}: expected one of {', '.join(VARIANTS)}")
  config = default.get_config()
  config.update(VARIANTS[variant])
  return config
