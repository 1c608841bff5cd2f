"""Datasets on disk, read at random, without TensorFlow.

A builder describes a dataset; `load(builder)` are its splits by name, each a
sequence of records (dicts of arrays and strings) for `tav_jax.data.batches`. It
writes the dataset unless the builder's `data_dir` holds one made from the same
inputs.
"""

from tav_jax.data.datasets.builder import Builder, load, Records
from tav_jax.data.datasets.folder import CaptionedFolder

__all__ = ["Builder", "CaptionedFolder", "Records", "load"]
