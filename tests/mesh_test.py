"""Numbers, operations and messages on eight devices."""

import os

import forked
import pytest


@pytest.mark.slow
def test_eight_devices():
  """Of which XLA is told before JAX starts: see eight_devices.py."""
  forked.assert_passes(
      "eight_devices",
      os.environ["XLA_FLAGS"] + " --xla_force_host_platform_device_count=8")
