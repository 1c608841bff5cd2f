"""What an entry point sets up before JAX starts; and the pages about it."""

import importlib.util
import os
import re
import subprocess
import sys
import types

import commands
from conftest import ROOT
import pytest

from configs import default
from tav_jax import startup
from tav_jax.runs.workdir import flatten

PAGES = [
    *ROOT.glob("*.md"), *ROOT.glob("docs/*.md"),
    ROOT / "tav_jax/storybook/MODEL_CARD.md"]
MODULE = re.compile(r"python -m ((?:tav_jax|bench)[\w.]*\w)")

START = """
import os
from tav_jax import startup
startup.set_up()
import jax, jax.numpy as jnp
assert jnp.ones(3).sum() == 3  # A flag that XLA does not know stops it here.
print(os.environ["XLA_FLAGS"] == startup.CPU_FLAGS, jax.default_backend())
"""

REMAT = """
from tav_jax import startup
startup.set_up()
import jax, jax.numpy as jnp
import numpy as np

def gradient(wrap):
  layer = wrap(lambda x, w: x + jnp.tanh(jnp.tanh(x @ w) @ w))

  def loss(weights, x):
    for i in range(len(weights)):
      x = layer(x, weights[i])
    return jnp.sum(x ** 2)

  return jax.jit(jax.grad(loss))

args = jnp.ones((8, 64, 64)) / 64, jnp.ones((4096, 64))
kept, again = (
    gradient(wrap).lower(*args).compile() for wrap in (
        lambda f: f, jax.checkpoint))
np.testing.assert_allclose(kept(*args), again(*args), rtol=1e-5)
print(again.memory_analysis().temp_size_in_bytes
      / kept.memory_analysis().temp_size_in_bytes)
"""


def said_by(script: str, *args: str, **environment) -> str:
  """What a script says, with no other XLA_FLAGS or JAX_PLATFORMS."""
  rest = {k: v for k, v in os.environ.items()
          if k not in ("XLA_FLAGS", "JAX_PLATFORMS")}
  done = subprocess.run(
      [sys.executable, "-c", script, *args], cwd=ROOT, capture_output=True,
      text=True, env=rest | environment)
  assert done.returncode == 0, done.stderr[-3000:]
  return done.stdout.strip()


def test_xla_knows_the_flags_for_the_cpu():
  assert said_by(START, JAX_PLATFORMS="cpu") == "True cpu"


@pytest.mark.parametrize("flags", ["", "--xla_dump_to=somewhere"])
def test_flags_of_the_user_stay(flags, monkeypatch):
  monkeypatch.setenv("XLA_FLAGS", flags)
  startup._set_up_cpu()
  assert os.environ["XLA_FLAGS"] == flags


@pytest.mark.parametrize("version,expected", [
    ((0, 10, 9), startup.CPU_FLAGS), ((0, 11, 0), None)])
def test_flags_are_for_one_version(version, expected, monkeypatch):
  """XLA stops the process at a flag that it does not know."""
  monkeypatch.setenv("XLA_FLAGS", "")  # So that it is put back.
  monkeypatch.delenv("XLA_FLAGS")
  monkeypatch.setattr(startup.jax, "__version_info__", version)
  startup._set_up_cpu()
  assert os.environ.get("XLA_FLAGS") == expected


def test_remat_saves_memory_on_cpu():
  assert float(said_by(REMAT, JAX_PLATFORMS="cpu")) < 0.8


@pytest.mark.parametrize("platforms,tpu,plugin,expected", [
    ("cpu", True, False, True), ("tpu,cpu", False, False, False),
    ("", False, False, True), ("", True, False, False),
    ("", False, True, False)])
def test_cpu_is_known_before_jax_starts(
    platforms, tpu, plugin, expected, monkeypatch):
  config = types.SimpleNamespace(jax_platforms=platforms)
  monkeypatch.setattr(startup, "jax", types.SimpleNamespace(config=config))
  monkeypatch.setattr(startup, "_has_tpu", lambda: tpu)
  monkeypatch.setattr(
      importlib.util, "find_spec", lambda name: "a spec" if plugin else None)
  assert startup.on_cpu() is expected


# In forks, so that what all of them import is imported once.
HELP = """
import os, runpy, sys, traceback
import jax, optax, transformers
from tav_jax.measures import clip_score
from tav_jax.planning import programs
from tav_jax.runs import tuning
from tav_jax.storybook import judge

for name in sys.argv[1:]:
  if not os.fork():
    sys.argv = [name, "--help"]
    try:
      runpy.run_module(name, run_name="__main__", alter_sys=True)
    except SystemExit:
      print(f"started {name}", flush=True)
    except BaseException as error:
      print(f"{name}: {error!r}", flush=True)
    finally:
      os._exit(0)
  os.wait()
"""


@pytest.mark.slow
def test_every_benchmark_starts():
  """Their flags are defined once, whatever they import."""
  names = [
      f"bench.{path.stem}" for path in (ROOT / "bench").iterdir()
      if path.suffix == ".py" or (path / "__main__.py").exists()]
  assert "bench.peer" in names
  said = said_by(HELP, *names, JAX_PLATFORMS="cpu")
  for name in names:
    assert f"started {name}" in said or (
        re.search(
            f"{name}: ModuleNotFoundError.*No module named '(torch|diffusers)'",
            said)), said


def anchors(page) -> set[str]:
  """The anchors that GitHub gives a page's headings."""
  headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
  return {
      re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
      for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
  for link in re.findall(r"\]\(([^)]*)\)", page.read_text()):
    assert not re.search(r"\s", link), "a link goes over two lines"
    if not link.startswith("https://"):
      path, _, anchor = link.partition("#")
      there = page.parent / path if path else page
      assert there.exists(), link
      assert not anchor or anchor in anchors(there), link


# Files that the authors and LOVEU's organisers have published.
THEIRS = ("man-skiing.yaml", "scripts/run_eval.py")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_and_modules_that_a_page_names_exist(page):
  text = page.read_text()
  files = r"(?<![\w/])[\w-]+(?:/[\w-]+)*\.(?:py|sh|txt|yaml)\b"
  for name in set(re.findall(files, text)).difference(THEIRS):
    assert any(
        (folder / name).is_file() for folder in (ROOT, ROOT / "tav_jax")), name
  for name in MODULE.findall(text):
    assert importlib.util.find_spec(name), name


def test_modules_that_docstrings_say_to_run_exist():
  for folder in ("bench", "configs", "launch", "tav_jax"):
    for path in (ROOT / folder).rglob("*.py"):
      for name in MODULE.findall(path.read_text()):
        assert importlib.util.find_spec(name), f"{path}: {name}"


def test_readme_is_short():
  assert len((ROOT / "README.md").read_text().splitlines()) <= 200


def test_page_of_config_keys_has_them_all():
  page = (ROOT / "docs/configuration.md").read_text()
  rows = page.partition("## All keys")[2].partition("\n## ")[0]
  told = [
      key for row in re.findall(r"^\| (`.+?) \|", rows, re.MULTILINE)
      for key in re.findall(r"`([\w.]+)`", row)]
  keys = [key for key, _ in flatten(default.get_config().to_dict())]
  assert sorted(told) == sorted(keys)


def test_bytecode_of_a_command_is_not_that_of_tests(monkeypatch, tmp_path):
  """The package is checked while tests run, with names that only they have."""
  monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path))
  monkeypatch.setattr(sys, "dont_write_bytecode", False)
  commands.run("plan --helpshort")
  assert [file for file in tmp_path.rglob("plan.*.pyc")
          if "jaxtyping" not in file.name] == []
