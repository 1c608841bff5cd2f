"""Test files that need a process of their own, with other flags of XLA."""

import os
import re
import subprocess
import sys

from conftest import ROOT


def assert_passes(name: str, flags: str) -> None:
  """Runs tests/NAME.py with `flags` alone, and says what it said on failure."""
  file = ROOT / f"tests/{name}.py"
  done = subprocess.run(
      [sys.executable, "-m", "pytest", "-n", "0", "-rA", str(file)], cwd=ROOT,
      capture_output=True, text=True, env=os.environ | {"XLA_FLAGS": flags})
  told = done.stdout[-20000:] + done.stderr[-3000:]
  assert done.returncode == 0, told
  for test in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE):
    assert f"PASSED tests/{name}.py::{test}" in done.stdout, told
