"""What an entry point sets up before JAX starts."""

import importlib.util
import os
import subprocess
import sys
import types

from conftest import ROOT
import pytest

from tav_jax import cli

SCRIPT = """
import os
from tav_jax import cli
cli.set_up()
import jax, jax.numpy as jnp
assert jnp.ones(3).sum() == 3  # A flag that XLA does not know stops it here.
print(os.environ["XLA_FLAGS"] == cli._CPU_FLAGS, jax.default_backend())
"""


def on(**environment) -> str:
  """What the script says, with no other XLA_FLAGS or JAX_PLATFORMS."""
  rest = {k: v for k, v in os.environ.items()
          if k not in ("XLA_FLAGS", "JAX_PLATFORMS")}
  done = subprocess.run(
      [sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True,
      env=rest | environment)
  assert done.returncode == 0, done.stderr[-3000:]
  return done.stdout.strip()


@pytest.mark.parametrize("flags,own", [
    ({}, "True"),
    ({"XLA_FLAGS": ""}, "False"),
    ({"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}, "False")])
def test_flags_for_the_cpu_unless_the_user_has_some(flags, own):
  assert on(JAX_PLATFORMS="cpu", **flags) == f"{own} cpu"


@pytest.mark.parametrize("platforms,tpu,plugin,expected", [
    ("cpu", True, False, True), ("tpu,cpu", False, False, False),
    ("", False, False, True), ("", True, False, False),
    ("", False, True, False)])
def test_cpu_is_known_before_jax_starts(
    platforms, tpu, plugin, expected, monkeypatch):
  config = types.SimpleNamespace(jax_platforms=platforms)
  monkeypatch.setattr(cli, "jax", types.SimpleNamespace(config=config))
  monkeypatch.setattr(cli, "_has_tpu", lambda: tpu)
  monkeypatch.setattr(
      importlib.util, "find_spec", lambda name: "a spec" if plugin else None)
  assert cli._on_cpu() is expected
