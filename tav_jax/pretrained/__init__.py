"""Stable Diffusion checkpoints: reading, the embedded one, and export."""

from tav_jax.pretrained.export import export_unet
from tav_jax.pretrained.load import load_pretrained, load_unet, Pretrained
from tav_jax.pretrained.names import read_torch_names, write_torch_names

__all__ = [
    "Pretrained", "export_unet", "load_pretrained", "load_unet",
    "read_torch_names", "write_torch_names"]
