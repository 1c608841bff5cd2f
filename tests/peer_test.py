"""The PyTorch peer of the benchmark computes what this project computes."""

import numpy as np
import pytest

pytest.importorskip("torch")

from bench import random_checkpoint
from bench.peer import ours, theirs, workers
from bench.peer.case import apart, Case


@pytest.fixture(scope="module", params=["tiny1", "tiny2"])
def case(request, tmp_path_factory):
  directory = tmp_path_factory.mktemp("peer") / request.param
  random_checkpoint.write(directory, request.param)
  return Case(str(directory), frames=3, size=16)


@pytest.mark.parametrize(
    "program", ["sampling", "inversion", "encode", "decode"])
def test_results_agree(case, program):
  for found, expected in _results(case, program):
    assert apart(found, expected)[0] < 1e-5


@pytest.mark.slow
def test_a_step_of_tuning_agrees(case):
  *others, weights = _results(case, "tuning")
  for found, expected in others:
    assert apart(found, expected)[0] < 1e-5
  # AdamW's first step has the sign of gradients that are about zero, too.
  assert apart(*weights)[1] < 2e-2


def test_a_process_without_memory_is_said(tmp_path):
  case = Case("storybook", frames=2, size=16)
  worker = workers.Worker("theirs", "decode", case, str(tmp_path))
  assert len(worker.time()) == 2
  worker._process.kill()
  with pytest.raises(SystemExit, match=r"ended with -9.*out of memory"):
    worker.memory()


def _results(case, program):
  both = []
  for framework in (ours, theirs):
    run, result = framework.PROGRAMS[program](case)
    run()
    both.append(result())
  found, expected = both
  assert found.keys() == expected.keys()
  assert all(np.abs(x).max() > 0 for x in expected.values())
  return [(found[name], expected[name]) for name in found]
