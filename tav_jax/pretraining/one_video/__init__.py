"""SinFusion (arXiv 2211.11743): three small networks of a single video.

  projector     makes a frame of the scene from noise, or mends one
  predictor     makes the frame that lies a gap of -3 to 3 after a given one
  interpolator  makes the frame between two
"""

STAGES = ("projector", "predictor", "interpolator")


def trains(config) -> bool:
  """Whether a config of pretraining, or of a workdir, is of these stages."""
  return any(name in STAGES for name in config.get("stages", ()))
