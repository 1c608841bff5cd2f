r"""Whether devices share the work: operations and messages of a run's programs.

  XLA_FLAGS=--xla_force_host_platform_device_count=8 \
      python -m bench.placement --topology=local
  python -m bench.placement --topology=v5e:2x4

Compiles the programs of the embedded model with four prompts for one device and
for all of them, whose share is at least one part of as many. Needs no TPU, but
its compiler (`requirements-tpu.txt`).
"""

import re

from absl import app, flags

from configs import storybook
from tav_jax import startup
from tav_jax.parallel.mesh import make_mesh
from tav_jax.planning import chips, costs, programs
from tav_jax.reports import table
from tav_jax.runs import settings

_TOPOLOGY = flags.DEFINE_string("topology", chips.LOCAL, "As of tav_jax.plan.")
_MESH = flags.DEFINE_list(
    "mesh", ["1", "-1", "1"], "Devices along video, frame and model.")


def main(argv):
  """Compiles and prints."""
  del argv
  startup.set_up()
  devices, _ = chips.devices(_TOPOLOGY.value)
  video, frame, model = map(int, _MESH.value)
  mesh = make_mesh(devices, video=video, frame=frame, model=model)
  alone = make_mesh(devices[:1])
  rows = []
  for (name, one), (_, part) in zip(
      _costs(alone), _costs(mesh), strict=True):
    # Videos are more work, each as much as the one of a device alone.
    share = part.flops / one.flops * mesh.size / mesh.shape["video"]
    rows.append({
        "program": name,
        "one device": f"{one.flops / 1e9:.3f} G",
        f"each of {mesh.size}": f"{part.flops / 1e9:.3f} G",
        "times its share": f"{share:.2f}",
        "messages": ", ".join(
            f"{n} {kind} {part.collectives[kind] / 1e6:.2f} MB"
            for kind, n in sorted(part.messages.items())) or "none"})
  print(table.markdown(rows))


def _costs(mesh) -> list[tuple[str, costs.Costs]]:
  """Costs of each program by its name; the autoencoder's are of a whole clip.
  """
  config = settings.of(storybook.get_config().to_dict())
  platform = mesh.devices.flat[0].platform
  found = []
  for program in programs.of_run(config, mesh, platform):
    cost = costs.of(program.lower(mesh, platform), platform)
    name, *frames = re.split(r" (\d+) frames$", program.name)
    if frames:
      times = config.video.frames / int(frames[0])
      cost = cost._replace(flops=times * cost.flops)
    found.append((name, cost))
  return found


if __name__ == "__main__":
  app.run(main)
