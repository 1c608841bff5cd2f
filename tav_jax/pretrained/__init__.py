"""Checkpoints: Stable Diffusion's and CLIP's, the embedded ones, and export."""

from tav_jax.pretrained.clip import export_clip, load_clip, PretrainedCLIP
from tav_jax.pretrained.export import export_unet
from tav_jax.pretrained.load import load_pretrained, Pretrained
from tav_jax.pretrained.names import read_torch_names, write_torch_names
from tav_jax.pretrained.shapes import load_shapes
from tav_jax.pretrained.unet import load_unet

__all__ = [
  "Pretrained",
  "PretrainedCLIP",
  "export_clip",
  "export_unet",
  "load_clip",
  "load_pretrained",
  "load_shapes",
  "load_unet",
  "read_torch_names",
  "write_torch_names",
]
