"""Files and directories appear when they are complete."""

import pathlib

import pytest

from tav_jax.data import atomic


def write(path: pathlib.Path, kind: str, text: str) -> None:
  if kind == "directory":
    path.mkdir()
    path = path / "file"
  path.write_text(text)


def read(path: pathlib.Path, kind: str) -> str:
  return (path / "file" if kind == "directory" else path).read_text()


@pytest.fixture(params=["file", "directory"])
def kind(request):
  return request.param


def test_what_is_there_is_replaced_at_the_end(tmp_path, kind):
  path = tmp_path / "new/here"
  for text in ("first", "second"):
    with atomic.replacing(path) as partial:
      write(partial, kind, text)
      assert path.exists() == (text == "second")
    assert read(path, kind) == text
    assert list(path.parent.iterdir()) == [path]


def test_an_error_leaves_what_was_there(tmp_path, kind):
  path = tmp_path / "here"
  write(path, kind, "first")
  with pytest.raises(OSError, match="full"), atomic.replacing(path) as partial:
    write(partial, kind, "half")
    raise OSError("full")
  assert read(path, kind) == "first"
  with atomic.replacing(path) as partial:  # What is left is no hindrance.
    assert not partial.exists()
    write(partial, kind, "second")
  assert list(tmp_path.iterdir()) == [path] and read(path, kind) == "second"


def test_killed_between_two_directories_none_is_lost(tmp_path, monkeypatch):
  path = tmp_path / "here"
  write(path, "directory", "first")
  with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
    def kill(*args):
      raise KeyboardInterrupt
    patch.setattr(pathlib.Path, "replace", kill)
    with atomic.replacing(path) as partial:
      write(partial, "directory", "second")
  assert not path.exists()
  with pytest.raises(OSError, match="full"), atomic.replacing(path):
    raise OSError("full")
  assert read(path, "directory") == "first"
