"""One-shot tuning of image diffusion models for text-to-video generation.

Tune-A-Video (arXiv 2212.11565) in JAX and Flax.
"""

from tav_jax.pretrained import load_pretrained
from tav_jax.version import __version__

__all__ = ["__version__", "load_pretrained"]
