r"""How well the embedded model draws what it is asked for.

  python -m tav_jax.evaluate --config=configs/evaluate_storybook.py \
      --workdir=runs/evaluation

Another checkpoint of the storybook world: `--config.model.checkpoint=DIR`, and
its judge, `--config.judge=DIR/judge`.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
  config = ConfigDict()
  config.task = "judge"
  config.seed = 1
  config.prompts = 200
  config.judge = ""
  config.sheet = 48

  config.model = ConfigDict()
  config.model.checkpoint = "storybook"
  config.model.revision = ""

  config.sampling = ConfigDict()
  config.sampling.guidance = 3.0
  config.sampling.steps = 30
  return config.lock()
