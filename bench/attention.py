r"""Compares kernels of sparse-causal attention for a TPU, without a TPU.

  pip install -r requirements-tpu.txt
  python -m bench.attention

Compiles forward and gradient of `attend` for one v5e chip, for one frame that
sees two, at the sizes that Stable Diffusion v1-4 has at 512x512, in bfloat16:
with "flash", and with "blockwise" in one block, which is plain attention (of a
loop over several blocks, the compiler would count one turn alone). The time is
the longer of two, those of operations and of traffic to the chip's memory at
its peak rates.
"""

from absl import app
import jax
import jax.numpy as jnp
import tqdm

from tav_jax import startup
from tav_jax.models import attention
from tav_jax.parallel import placement
from tav_jax.parallel.mesh import make_mesh
from tav_jax.planning import chips, costs, programs
from tav_jax.reports import table

_HEADS = 8
_LEVELS = ((4096, 40), (1024, 80), (256, 160), (64, 160))  # Positions, width.


def main(argv):
  """Compiles the programs and prints a table."""
  del argv
  startup.set_up()
  devices, chip = chips.devices("v5e:1x1")
  assert chip is not None
  mesh = make_mesh(devices)
  cases = [(*level, kernel) for level in _LEVELS
           for kernel in ("blockwise", "flash")]
  rows = []
  for positions, width, kernel in tqdm.tqdm(cases, desc="compiling"):
    query, keys = (
        jax.ShapeDtypeStruct(
            (1, _HEADS, frames, positions, width), jnp.bfloat16,
            sharding=placement.video_spec(mesh, (1,) * 5)) for frames in (1, 2))
    found = costs.of(programs.Program(
        kernel, jax.jit(_gradients(kernel)), (query, keys, keys, query),
        1).lower(mesh, "tpu"), "tpu")
    seconds, bound = found.roofline(chip)
    rows.append({
        "positions x width": f"{positions} x {width}", "kernel": kernel,
        "temporaries": f"{found.temporaries / 1e6:.1f} MB",
        "operations": f"{found.flops / 1e9:.1f} G",
        "traffic": f"{found.traffic / 1e6:.1f} MB",
        "at peak rates": f"{seconds * 1e6:.0f} us, {bound}"})
  print(table.markdown(rows))


def _gradients(kernel: str):
  """The output, and the gradients of queries, keys and values."""

  def gradients(query, key, value, grad):
    out, pull = jax.vjp(
        lambda q, k, v: attention.KERNELS[kernel](q, k, v, [(0, 1)], 0),
        query, key, value)
    return out, pull(grad)

  return gradients


if __name__ == "__main__":
  app.run(main)
