r"""Four edits of each of the four embedded videos, on one sheet.

  python -m bench.edits --out=runs/edits [--checkpoint=storybook]

Tunes on each video as `configs/storybook.py` does and renders a change of
subject, of place, of clothing and of style. Writes `sheet.gif`, `sheet.png`
and `edits.json` with the judge's scores: the share of each edit's frames that
show each group, such as the subject, as asked. Goes on where it was
interrupted.
"""

import json
import pathlib

from absl import app, flags
from PIL import Image

from configs import storybook
from tav_jax import startup
from tav_jax.data import video
from tav_jax.pretrained import files
from tav_jax.reports import sheet
from tav_jax.runs import tuning
from tav_jax.storybook import judge
from tav_jax.storybook.world.scene import caption, GROUPS, labels, Scene

_OUT = flags.DEFINE_string("out", None, "Directory to write.", required=True)
_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", "storybook", "Checkpoint to tune.")

_VIDEOS = pathlib.Path("tav_jax/storybook/videos")
_EDITS = {
    "man-skiing": (
        Scene("man", verb="skiing", place="on the snow"),
        {"subject": "panda"}, {"place": "on the moon"},
        {"wearing": "red hat"}, {"style": "sketch style"}),
    "rabbit-jumping": (
        Scene("rabbit", verb="jumping", place="on the grass"),
        {"subject": "robot"}, {"place": "in the city"},
        {"wearing": "sunglasses"}, {"style": "neon style"}),
    "penguin-surfing": (
        Scene("penguin", verb="surfing", place="on the beach"),
        {"subject": "rabbit"}, {"place": "under the sea"},
        {"colour": "red"}, {"style": "sketch style"}),
    "robot-dancing": (
        Scene("robot", verb="dancing", place="in the city"),
        {"subject": "woman"}, {"place": "on the grass"},
        {"wearing": "yellow hat"}, {"style": "neon style"}),
}


def edits(name: str) -> tuple[Scene, list[Scene]]:
  """The source of an embedded video and its edits.

  The scenes give captions and labels; they are not drawn.
  """
  source, *changes = _EDITS[name]
  return source, [
      Scene(**(vars(source) | change)) for change in changes]


def main(argv) -> None:
  """Tunes, renders and writes the sheet."""
  del argv
  startup.set_up()
  out = pathlib.Path(_OUT.value)
  referee = judge.load(files.locate(files.STORYBOOK) / "judge")
  cells, scores = [], []
  for name in _EDITS:
    source, changed = edits(name)
    config = storybook.get_config()
    config.model.checkpoint = _CHECKPOINT.value
    config.video.path = str(_VIDEOS / f"{name}.mp4")
    config.video.caption = caption(source)
    config.sampling.prompts = tuple(caption(scene) for scene in changed)
    tuning.run(config, out / name)
    samples = out / name / f"samples/step_{config.optimizer.steps:06}"
    record = json.loads((samples / "record.json").read_text())
    shown = {
        entry["label"]: video.read_all(
            samples / "frames" / entry["file"].removesuffix(".mp4"))
        for entry in record["files"]}
    cells.append((f"source: {caption(source)}", shown["source"]))
    for scene in changed:
      pictures = shown[caption(scene)]
      cells.append((caption(scene), pictures))
      scores.append({"source": name, "prompt": caption(scene)} |
                    referee.accuracy(pictures, [labels(scene)] * len(pictures)))
  together = video.Clip(sheet.moving(cells, across=5), 8)
  video.write_gif(out / "sheet.gif", together)
  Image.fromarray(together.frames[len(together.frames) // 2]).save(
      out / "sheet.png")
  (out / "edits.json").write_text(json.dumps(scores, indent=2) + "\n")
  for row in scores:
    print(row["prompt"], *(f"{g} {100 * row[g]:.0f} %" for g in GROUPS))


if __name__ == "__main__":
  app.run(main)
