r"""Tune-A-Video on LOVEU-TGVE-2023, or on a part of it.

  python -m tav_jax.evaluate --config=configs/loveu.py --workdir=runs/loveu \
      --config.root=LOVEU-TGVE-2023 --config.shard=0/8

Writes the submission, the scores and a page to look at; the same command goes
on where it was interrupted. Shards may run at once in one workdir; the one that
ends last writes the scores of all of them.

Videos have 32 frames, those of youtube_480p 128, and so have their edits. Where
128 do not fit, --config.run.video.frames=32 takes every fourth of them.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
  config = ConfigDict()
  config.task = "loveu"
  config.root = "LOVEU-TGVE-2023"
  config.shard = "0/1"
  config.clip = "openai/clip-vit-large-patch14"
  config.pick_score = "yuvalkirstain/PickScore_v1"
  config.run = default.get_config()
  with config.run.unlocked():
    config.run.video.frames = 128
    config.run.video.width = config.run.video.height = 480
  return config.lock()
