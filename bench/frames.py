r"""What frames cost: the tuning step of clips of several lengths, compiled.

  python -m bench.random_checkpoint --size=sd1 --out=runs/sd1
  python -m bench.frames --checkpoint=runs/sd1 --topology=v6e:1x1

Prints operations, traffic and memory of Stable Diffusion's step at 512x512, and
how many times those of the shortest clip each is, beside how many times its
frames. Needs no TPU, but a TPU's compiler (`requirements-tpu.txt`).
"""

from absl import app, flags

from configs import default
from tav_jax import startup
from tav_jax.parallel.mesh import make_mesh
from tav_jax.planning import chips, planner, programs
from tav_jax.reports import table
from tav_jax.runs import settings

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "A diffusers directory.", required=True)
_FRAMES = flags.DEFINE_multi_integer(
    "frames", [8, 16, 32, 64], "Frames of the clips, fewest first.")
_TOPOLOGY = flags.DEFINE_string("topology", "v6e:1x1", "As for tav_jax.plan.")


def main(argv):
  """Compiles the programs and prints a table."""
  del argv
  startup.set_up()
  devices, _ = chips.devices(_TOPOLOGY.value)
  platform, rows, least = devices[0].platform, [], None
  for frames in _FRAMES.value:
    config = default.get_config()
    config.model.checkpoint = _CHECKPOINT.value
    config.video.frames = frames
    mesh = make_mesh(devices, **config.mesh)
    tuning, *_ = programs.of_run(
        settings.of(config.to_dict()), mesh, platform)
    cost = planner.cost(tuning, mesh, platform)
    least = least or (frames, cost)
    times = lambda what, of=cost, least=least[1]: (
        f"({getattr(of, what) / getattr(least, what):.2f}x)")
    rows.append({
        "frames": f"{frames} ({frames / least[0]:.0f}x)",
        "operations": f"{cost.flops / 1e12:.1f} T {times('flops')}",
        "traffic": f"{cost.traffic / 1e9:.0f} GB {times('traffic')}",
        "temporaries":
            f"{cost.temporaries / 1e9:.2f} GB {times('temporaries')}"})
    print(table.markdown(rows), flush=True)


if __name__ == "__main__":
  app.run(main)
