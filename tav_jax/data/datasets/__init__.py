"""Datasets on disk, read at random, without TensorFlow.

A builder describes a dataset; `sources(prepare(builder))` are its splits by
name, each a sequence of records (dicts of arrays and strings) for
`tav_jax.data.batches`. `prepare` writes the dataset unless the builder's
`data_dir` holds one made from the same inputs.
"""

from tav_jax.data.datasets.builder import Builder, prepare, Records, sources
from tav_jax.data.datasets.folder import CaptionedFolder

__all__ = ["Builder", "CaptionedFolder", "Records", "prepare", "sources"]
