"""What goes wrong while a run is going on."""

import contextlib
import errno
import fcntl
import json
import os
import pathlib
import re
import resource
import shlex
import shutil
import signal
import socket

import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np
import pytest

from tav_jax import cli, errors, load_pretrained
from tav_jax.data import atomic, locks
from tav_jax.errors import InputError
from tav_jax.pretrained import files as embedded
from tav_jax.runs import settings
from tav_jax.runs import workdir as workdirs
from tav_jax.runs.job import Job
from tav_jax.training import checkpoint, checksums
from tav_jax.training.checkpoint import Checkpoints
from tav_jax.training.metrics import Metrics
from tav_jax.training.step import State


def state(step: int, value: float = 0.5) -> State:
  rng = np.random.default_rng(step)
  return State(
      {"w": jnp.asarray(rng.normal(size=(64, 64)), jnp.float32)},
      {"mu": jnp.full(3, value)}, jnp.asarray(step), jnp.zeros(2, jnp.uint32))


@pytest.fixture
def saved(tmp_path) -> Checkpoints:
  """Checkpoints of steps 2 and 4."""
  checkpoints = Checkpoints(tmp_path / "it's here/checkpoints")
  for step in (2, 4):
    checkpoints.save(state(step))
  return checkpoints


def files(checkpoints: Checkpoints, step: int) -> list[pathlib.Path]:
  directory = checkpoints._directory / str(step)
  return sorted(p for p in directory.rglob("*") if p.is_file())


# Bytes that have changed.


def test_each_file_with_a_flipped_bit_is_refused_and_named(saved):
  found = files(saved, 4)
  assert len(found) > 8  # orbax's, and the sums.
  for file in found:
    whole = file.read_bytes()
    at = len(whole) // 2
    file.write_bytes(
        whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:])
    with pytest.raises(InputError, match="checkpoints/4 cannot be rest"):
      saved.restore(state(0))
    with pytest.raises(InputError, match="checkpoints/4 cannot be rest"):
      saved.restore_trainable(state(0).trainable)
    file.write_bytes(whole)
  np.testing.assert_array_equal(
      saved.restore(state(0)).trainable["w"], state(4).trainable["w"])


@pytest.mark.parametrize("damaged,then", [
    ([4], "goes on from step 2"), ([2, 4], "goes on anew")])
def test_what_is_advised_lets_the_run_go_on(saved, damaged, then):
  for step in damaged:
    (file, *_) = (
        p for p in files(saved, step) if p.parent.name == "d")
    os.truncate(file, file.stat().st_size - 1)
  with pytest.raises(InputError, match=then) as error:
    saved.restore(state(0))
  command = shlex.split(re.search(r"\((rm -r .*)\) and", str(error.value))[1])
  assert command[:2] == ["rm", "-r"]
  for path in command[2:]:
    shutil.rmtree(path)
  left = [step for step in (2, 4) if step not in damaged]
  assert saved.steps == left
  if left:
    np.testing.assert_array_equal(
        saved.restore(state(0)).trainable["w"], state(2).trainable["w"])


def test_files_that_are_missing_or_new(saved):
  directory = saved._directory / "4"
  extra = directory / "default/extra"
  extra.touch()
  assert checksums.difference(directory) == (
      "default/extra was not there when it was written")
  extra.rename(directory / "default/.DS_Store")
  assert checksums.difference(directory) is None
  (directory / "default/_METADATA").unlink()
  assert "default/_METADATA' is missing" in checksums.difference(directory)


def test_sums_are_those_of_coreutils(saved):
  """The first file's, as `sha256sum` prints it for an empty file."""
  directory = saved._directory / "4"
  shutil.rmtree(directory / "default")
  for file in directory.iterdir():
    file.unlink()
  (directory / "a b").touch()
  checksums.write(directory)
  assert (directory / checksums.NAME).read_text() == (
      "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
      "  a b\n")


def test_a_run_deleted_as_it_saves_is_not_made_anew(saved, monkeypatch):
  write = checkpoint._write

  def deleted(directory, state):
    shutil.rmtree(saved._directory.parent)
    write(directory, state)
  monkeypatch.setattr(checkpoint, "_write", deleted)
  with pytest.raises(InputError, match=r"checkpoints/6.*it was deleted or mov"):
    saved.save(state(6))
  assert saved.steps == []


def test_checkpoints_from_before_there_were_sums_are_read(saved):
  (saved._directory / "4" / checksums.NAME).unlink()
  assert saved.restore(state(0)).step == 4


# What cannot be written.


@pytest.fixture
def small_files():
  """No file may become larger than 4 KB: the system refuses as a full disk."""
  before = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
  yield
  resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_save_that_is_refused_leaves_the_last_one(saved, request):
  request.getfixturevalue("small_files")
  with pytest.raises(
      InputError, match=r"checkpoints/6: File too large; raise the limit.*"
      r"ulimit -f.*; the checkpoint of step 4 is kept"):
    saved.save(state(6))
  assert sorted(p.name for p in saved._directory.iterdir()) == ["2", "4"]
  assert saved.restore(state(0)).step == 4


def test_metrics_that_cannot_be_written_raise(tmp_path, small_files):
  """And do not hang, as a thread of tensorboardX's would."""
  metrics = Metrics(tmp_path, 0)
  with pytest.raises(OSError, match="File too large"):
    for step in range(1000):
      metrics.scalars(step, {"loss": 0.5})
      metrics.flush()


def test_metrics_of_a_deleted_workdir_raise(tmp_path):
  metrics = Metrics(tmp_path / "run", 0)
  shutil.rmtree(tmp_path / "run")
  (tmp_path / "run").mkdir()
  with pytest.raises(FileNotFoundError):
    metrics.scalars(1, {"loss": 0.5})


@pytest.mark.parametrize("error,told", [
    (OSError(errno.ENOSPC, "x", "a/b"), "a/b: No space left .*; free some sp"),
    (OSError(errno.EROFS, "x"), "here: Read-only file system; make it writ"),
    (ValueError("RESOURCE_EXHAUSTED: to file 14 [os_error_code='28']"),
     "here: No space left"),  # tensorstore's.
    (RuntimeError("I/O error: File too large (os error 27)"),
     "here: File too large.*ulimit -f")])  # safetensors'.
def test_what_the_system_refused_is_one_line(error, told):
  found = str(errors.from_system(error, "here"))
  assert re.match(told, found) and "\n" not in found
  assert errors.from_system(ValueError("no"), "here") is None
  assert errors.from_system(ConnectionError("no"), "here") is None


def test_a_look_that_is_repeated_is_logged_once(tmp_path):
  metrics = Metrics(tmp_path, 0)
  metrics.scalars(3, {"loss": 0.5})
  metrics.scalars(3, {"psnr": 9.0})
  again = Metrics(tmp_path, 3)  # Killed before the look was done.
  again.scalars(3, {"psnr": 9.0})
  again.scalars(3, {"accuracy": 0.1})
  again.scalars(4, {"psnr": 9.1})
  lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
  assert lines == [
      '{"step": 3, "loss": 0.5}', '{"step": 3, "psnr": 9.0}',
      '{"step": 3, "accuracy": 0.1}', '{"step": 4, "psnr": 9.1}']


# Numbers that are not finite.


@pytest.mark.parametrize("step", [0, 6])
def test_nan_is_never_saved(saved, step):
  before = saved.steps
  with pytest.raises(InputError, match=f"NaN or infinite after step {step}"):
    saved.save(state(step, float("nan")))
  assert saved.steps == before


# Two processes.


def other_process(directory, **content):
  """Another holder of the lock; the kernel does not ask whose it is."""
  file = (directory / locks.NAME).open("a+")
  fcntl.flock(file, fcntl.LOCK_EX)
  json.dump(content, file)
  file.flush()
  return file


def test_a_workdir_in_use_names_the_process(tmp_path):
  with other_process(tmp_path, pid=71, host="tpu-3", command="tune"), \
      pytest.raises(InputError) as error:
    workdirs.lock(tmp_path)
  assert str(error.value).startswith(
      f"--workdir={tmp_path}: in use by process 71 on tpu-3 (tune); wait until "
      "it ends, end it (kill 71) or name another directory")


def test_a_process_that_was_killed_is_told_of(tmp_path, caplog, monkeypatch):
  host = socket.gethostname()
  monkeypatch.setattr(locks, "_out_of_memory", lambda: 5)
  other_process(tmp_path, pid=71, host=host, out_of_memory=4).close()
  workdirs.lock(tmp_path).release()
  assert "process 71" in caplog.text and "was killed" in caplog.text
  assert "has killed 1 process(es) here for lack of memory" in caplog.text
  caplog.clear()
  workdirs.lock(tmp_path).release()  # That one ended by itself.
  assert not caplog.text and not list(tmp_path.iterdir())


def test_a_file_system_without_locks_is_told_of(tmp_path, caplog, monkeypatch):
  def refuse(*_):
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
  monkeypatch.setattr(fcntl, "flock", refuse)
  workdirs.lock(tmp_path).release()
  assert "this file system has no locks" in caplog.text


def test_a_workdir_deleted_or_moved_is_told_of(tmp_path):
  lock = locks.Lock(tmp_path)
  lock.check()
  shutil.move(tmp_path, tmp_path.with_name("elsewhere"))
  for make in (lambda: None, tmp_path.mkdir, (tmp_path / locks.NAME).touch):
    make()
    with pytest.raises(InputError, match="was deleted, moved or"):
      lock.check()
  lock.release()


# The end of a process.


@pytest.fixture
def guarded(monkeypatch, capsys):
  """Runs a function as an entry point; gives its exit code and what it says."""
  monkeypatch.setattr(cli.startup, "set_up", lambda: None)
  for flag in ("_MULTI_HOST", "_WORKDIR"):
    monkeypatch.setattr(cli, flag, type("", (), {"value": ""}))
  before = [(x, signal.getsignal(x)) for x in (signal.SIGTERM, signal.SIGINT)]
  # A shell's background jobs, such as these tests may be, ignore SIGINT.
  signal.signal(signal.SIGINT, signal.default_int_handler)

  def run(main):
    with pytest.raises(SystemExit) as error:
      cli._guard(lambda *_: main(), ConfigDict())
    return error.value.code, capsys.readouterr().err

  yield run
  for number, handler in before:
    signal.signal(number, handler)


@pytest.mark.parametrize("number,code,told", [
    (signal.SIGINT, 130, "interrupted; the same command resumes\n"),
    (signal.SIGTERM, 143, "ended by SIGTERM; the same command resumes\n")])
def test_signals_end_with_a_line(guarded, number, code, told):
  def main():
    os.kill(os.getpid(), number)
    for _ in range(1000):
      pass
  assert guarded(main) == (code, told)


def test_little_memory_is_named(guarded):
  code, told = guarded(lambda: np.empty(1 << 60, np.uint8))
  assert code == 2 and told.startswith("error: out of this machine's memory")
  assert told.count("\n") == 1


def test_a_closed_pipe_ends_quietly(guarded, monkeypatch):
  """That of our own output, and no other."""
  read, write = os.pipe()
  kept = os.dup(2)
  os.close(read)
  try:
    with pytest.raises(BrokenPipeError):
      os.write(write, b"x")

    def main():
      os.dup2(write, 2)
      os.write(2, b"x")
    assert guarded(main) == (141, "")
  finally:
    os.dup2(kept, 2)


def test_pipes_and_folders_for_files_do_not_hang(tmp_path):
  os.mkfifo(tmp_path / "config.json")
  with pytest.raises(InputError, match=r"config.json cannot be read \(not a f"):
    workdirs.read_config(tmp_path)
  os.mkfifo(tmp_path / "metrics.jsonl")
  with pytest.raises(InputError, match=r"metrics.jsonl: expected a file"):
    Metrics(tmp_path, 0)
  os.mkfifo(tmp_path / "checkpoints")
  with pytest.raises(InputError, match="its checkpoints is a file"):
    workdirs.check(tmp_path, {})


def test_a_deleted_directory_is_whole_or_gone(tmp_path, monkeypatch):
  path = tmp_path / "2"
  path.mkdir()
  (path / "file").touch()
  with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
    def kill(*_):
      raise KeyboardInterrupt
    patch.setattr(shutil, "rmtree", kill)
    atomic.delete(path)
  assert not path.exists()


@pytest.mark.parametrize("name", [
    "model_index.json", "unet/diffusion_pytorch_model.safetensors",
    "vae/config.json"])
def test_pipes_in_a_checkpoint_do_not_hang(tmp_path, name):
  """The embedded one, by links, but for one file."""
  copy = tmp_path / "copy"
  shutil.copytree(
      embedded.locate("storybook"), copy, copy_function=os.symlink)
  (copy / name).unlink()
  os.mkfifo(copy / name)
  signal.setitimer(signal.ITIMER_REAL, 300)  # Ends the tests, if it hangs.
  try:
    load_pretrained(copy)
  except InputError as error:
    assert "\n" not in str(error)
    assert pathlib.PurePath(name).parts[0] in str(error)
  else:
    assert name == "model_index.json"  # Nothing reads it.
  finally:
    signal.setitimer(signal.ITIMER_REAL, 0)


@pytest.mark.parametrize("alone", [True, False])
def test_a_job_that_fails_is_told_of_once(tmp_path, caplog, alone):
  job = Job("cat", settings.Settings(), tmp_path, alone=alone)
  ends = pytest.raises(InputError) if alone else contextlib.nullcontext()
  with ends, job.may_fail():
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a/b")
  assert bool(caplog.text) is not alone
  assert alone or "cat: a/b: No space left" in caplog.text
  assert alone or isinstance(job.error, InputError)
