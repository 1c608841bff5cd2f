r"""Compiles a run's programs ahead of time and says what fits, and how fast.

  python -m tav_jax.plan --config=configs/default.py --topology=v5e:2x2

Needs no TPU and no weights: the TPU compiler, which `pip install -r
requirements-tpu.txt` brings, runs on any machine. --topology=local asks this
machine's own devices instead. Results are kept, so that the same plan is there
at once the next time.
"""

import logging
import pathlib

from absl import flags
from ml_collections import ConfigDict

from tav_jax import cli
from tav_jax.planning import planner

log = logging.getLogger("tav_jax.plan")  # Not "__main__".

_TOPOLOGY = flags.DEFINE_string(
    "topology", "v5e:1x1", "A TPU slice, such as v5e:2x2, or local.")
_MOST = flags.DEFINE_bool(
    "most_frames", False, "Also look for the largest number of frames.")


def main(config: ConfigDict, workdir: pathlib.Path) -> None:
  """Prints the plan."""
  del workdir
  print(planner.describe(config, _TOPOLOGY.value, _MOST.value))


if __name__ == "__main__":
  cli.run(main, needs_workdir=False)
