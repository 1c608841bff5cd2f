r"""What each memory setting is worth, from programs compiled ahead of time.

  python -m bench.random_checkpoint --size=sd1 --out=runs/sd1
  python -m bench.memory --checkpoint=runs/sd1 --frames=8 --size=256
  python -m bench.memory --checkpoint=runs/sd1 --topology=v5e:1x1

Changes one setting at a time from its default. Prints the bytes of weights and
optimizer, of the compiler's temporaries in the tuning step, and of those in the
autoencoder's programs.
"""

from typing import Any

from absl import app, flags
from ml_collections import ConfigDict

from configs import default
from tav_jax import startup
from tav_jax.parallel.mesh import make_mesh
from tav_jax.planning import chips, planner, programs
from tav_jax.reports import table
from tav_jax.runs import settings

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "A diffusers directory.", required=True)
_FRAMES = flags.DEFINE_integer("frames", 24, "Frames of the clip.")
_SIZE = flags.DEFINE_integer("size", 512, "Its height and width, pixels.")
_TOPOLOGY = flags.DEFINE_string(
    "topology", chips.LOCAL, "As for tav_jax.plan.")
_GB = 1e9

SETTINGS: tuple[dict[str, Any], ...] = (
    {},
    {"remat": False},
    {"attention_block": 0},
    {"attention_block": 64},
    {"memory": "fit"},
)


def main(argv):
  """Compiles the programs and prints a table."""
  del argv
  startup.set_up()
  devices, _ = chips.devices(_TOPOLOGY.value)
  platform = devices[0].platform
  rows = []
  for changed in SETTINGS:
    config = _config(changed)
    mesh = make_mesh(devices, **config.mesh)
    row = {"setting": ", ".join(
        f"model.{k}={v}" for k, v in changed.items()) or "defaults"}
    chosen = settings.of(config.to_dict())
    for program in programs.of_run(chosen, mesh, platform):
      kind = program.name.split()[0]
      if kind in ("tuning", "encoding", "decoding"):
        row |= _cells(kind, program, mesh, platform)
    rows.append(row)
    print(table.markdown(rows), flush=True)


def _config(changed: dict) -> ConfigDict:
  config = default.get_config()
  config.model.checkpoint = _CHECKPOINT.value
  config.video.frames = _FRAMES.value
  config.video.width = config.video.height = _SIZE.value
  config.sampling.prompts = ("a cat",)
  config.model.update(changed)
  return config


def _cells(kind, program, mesh, platform) -> dict[str, str]:
  names = ["weights and optimizer"] * (kind == "tuning") + [
      f"{kind}: temporaries"]
  try:
    found = planner.cost(program, mesh, platform)
  except planner.DoesNotFit:
    return dict.fromkeys(names, "does not fit")
  sizes = (found.arguments, found.temporaries)[-len(names):]
  return {
      name: f"{size / _GB:.2f} GB"
      for name, size in zip(names, sizes, strict=True)}


if __name__ == "__main__":
  app.run(main)
