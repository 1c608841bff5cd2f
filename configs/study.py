r"""A user study of two systems or more, and what its raters prefer.

  python -m tav_jax.evaluate --config=configs/study.py --workdir=runs/study \
      --config.systems="('runs/ours', 'runs/theirs')"

writes runs/study/study.html. Send it to raters; with the files they return:

  python -m tav_jax.evaluate --config=configs/study.py --workdir=runs/study \
      --config.votes="('votes-a.json', 'votes-b.json')"
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
  config = ConfigDict()
  config.task = "study"
  config.seed = 0
  config.systems = ()
  config.fps = 8.0
  config.votes = ()
  return config.lock()
