r"""The video models that Tune-A-Video stands on, in one table and one page.

  python -m tav_jax.evaluate --config=configs/lineage.py \
      --workdir=runs/lineage --config.systems.make_a_video=

Every system makes clips of the same new captions of the drawn world. `systems`
are workdirs of tav_jax.pretrain, "" for one to leave out; with
`--config.tune_a_video.workdir=DIR`, a workdir of tav_jax.tune is one more row.
Clips that are there already are not made again, so the same command goes on.
docs/lineage.md defines the columns.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
  config = ConfigDict()
  config.task = "lineage"
  config.seed = 0
  config.captions = 64
  config.held_out = False  # Pairs of subject and place that nobody has seen.
  config.shown = 8  # Captions on the page.

  config.systems = ConfigDict()
  config.systems.vdm = "runs/vdm"
  config.systems.vdm_without_pictures = ""
  config.systems.make_a_video = "runs/make-a-video"
  config.systems.imagen_video = "runs/imagen-video"

  # The form that all clips are brought to.
  config.form = ConfigDict()
  config.form.frames = 8
  config.form.fps = 4.0
  config.form.size = 32

  config.image_model = ConfigDict()
  config.image_model.checkpoint = "storybook"  # Or "".
  config.image_model.guidance = 3.0
  config.image_model.steps = 30

  config.tune_a_video = ConfigDict()
  config.tune_a_video.workdir = ""

  # Block after block, by reconstruction guidance and by replacement.
  config.extension = ConfigDict()
  config.extension.system = "vdm"  # Or "".
  config.extension.captions = 16
  config.extension.length = 32
  config.extension.overlap = 4
  config.extension.weight = 9.0

  # A claim, the system that should be better, and the other one.
  config.claims = (
      ("joint training with pictures helps (Video Diffusion Models)",
       "vdm", "vdm_without_pictures"),
      ("clips without captions suffice (Make-A-Video)",
       "make_a_video", "image_model"),
      ("a cascade reaches what its first stage does not (Imagen Video)",
       "imagen_video", "imagen_video, first stage"))

  config.clip = "storybook"
  config.judge = ""
  return config.lock()
