"""Several processes that run one program: who writes, what all agree on."""

import ctypes
import os
from typing import Any

import jax
from jax.experimental import multihost_utils
import numpy as np

from tav_jax.types import Array


def join() -> None:
  """Makes this process one of several; call it before JAX looks for devices.

  JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID say which one it
  is; where they are not set, JAX asks the cluster (TPU pods, GKE, Slurm).
  """
  jax.config.update("jax_cpu_collectives_implementation", "gloo")
  known: dict[str, Any] = {
      name: int(os.environ[variable]) for name, variable in (
          ("num_processes", "JAX_NUM_PROCESSES"),
          ("process_id", "JAX_PROCESS_ID")) if variable in os.environ}
  jax.distributed.initialize(**known)


def is_first() -> bool:
  """Whether this process is the one that writes files."""
  return jax.process_index() == 0


def agree(value: bool) -> bool:
  """The first process's value, returned in all processes."""
  return bool(multihost_utils.broadcast_one_to_all(np.asarray(value)))


def wait() -> None:
  """Returns when all processes have called it."""
  multihost_utils.sync_global_devices("tav_jax")


def to_host(x: Array) -> np.ndarray:
  """The whole array on the host, wherever its parts are."""
  if not isinstance(x, jax.Array) or (
      x.is_fully_addressable or x.is_fully_replicated):
    return np.asarray(x)
  return multihost_utils.process_allgather(x, tiled=True)


def trim_memory() -> None:
  """Gives the process's freed memory back to the system.

  glibc would keep it: after loading Stable Diffusion, a GB.
  """
  libc = ctypes.CDLL(None)
  if hasattr(libc, "malloc_trim"):
    libc.malloc_trim(0)
