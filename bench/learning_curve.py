r"""Plots what more training gives: the judge's accuracy over pictures seen.

  python -m bench.learning_curve --workdir=runs/pretrain --out=docs/learning.png

Reads what the diffusion stage logged at every look at its samples. Prints the
last accuracies as a table.
"""

import json
import pathlib

from absl import app, flags
import matplotlib
import matplotlib.pyplot as plt

from tav_jax.reports import table
from tav_jax.storybook.world.scene import GROUPS

_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Directory of the pretraining.", required=True)
_OUT = flags.DEFINE_string("out", None, "Picture to write.", required=True)
_SPLITS = {"test": "pairs seen in training", "held_out": "pairs never seen"}


def read(stage: pathlib.Path) -> list[dict]:
  """Looks at samples, each as pictures seen and `split/group` accuracies."""
  config = json.loads((stage / "config.json").read_text())
  size = config["optimizer"]["batch_size"]
  # By step; each kind of caption is logged on a line of its own.
  looks: dict[int, dict] = {}
  for line in (stage / "metrics.jsonl").read_text().splitlines():
    row = json.loads(line)
    if any(key.endswith("/subject") for key in row):
      look = looks.setdefault(row["step"], {"pictures": size * row["step"]})
      look.update(row)
  return list(looks.values())


def main(argv) -> None:
  """Draws the curves and prints where they end."""
  del argv
  matplotlib.use("agg")
  looks = read(pathlib.Path(_WORKDIR.value) / "diffusion")
  if not looks:
    raise app.UsageError(
        f"--workdir={_WORKDIR.value}: its diffusion stage has not looked at "
        "samples with a judge yet; train longer, with the stage 'judge'")
  figure, axes = plt.subplots(
      1, 2, sharey=True, figsize=(9, 3.4), layout="constrained")
  for ax, (split, title) in zip(axes, _SPLITS.items(), strict=True):
    for group in GROUPS:
      ax.plot([look["pictures"] / 1000 for look in looks],
              [100 * look[f"{split}/{group}"] for look in looks], label=group)
    ax.set(title=title, xlabel="thousand pictures seen", ylim=(0, 101))
    ax.grid(alpha=0.3)
  axes[0].set_ylabel("samples that show what was asked, %")
  axes[1].legend(loc="lower right")
  figure.savefig(_OUT.value, dpi=120)
  last = looks[-1]
  print(f"{last['pictures']} pictures seen")
  print(table.markdown([
      {"captions": title} | {g: last[f"{split}/{g}"] for g in GROUPS}
      for split, title in _SPLITS.items()]))


if __name__ == "__main__":
  app.run(main)
