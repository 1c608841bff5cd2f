"""Parity with the authors' code, as XLA compiles for a run on a CPU."""

import forked
import pytest

from tav_jax import startup


@pytest.mark.slow
def test_parity_under_the_flags_that_runs_have():
  """Those of parity.py, with XLA's own optimization level."""
  forked.assert_passes(
      "parity",
      startup.CPU_FLAGS + " --xla_backend_optimization_level=3")
