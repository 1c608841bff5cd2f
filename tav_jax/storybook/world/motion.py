"""The scenes of a clip: what moves, and how far."""

import dataclasses
import math

from tav_jax.storybook.world.scene import Scene


def video(scene: Scene, frames: int = 16) -> list[Scene]:
  """The scenes of a clip in which the subject does what its verb says.

  Position, phase, scroll and zoom of each are the clip's true motion.

  Args:
    scene: The first scene, except that the subject moves around its `x`.
    frames: Number of scenes.
  """
  times = [i / max(frames - 1, 1) for i in range(frames)]
  return [
      _moved(
          _PATHS[scene.verb](scene, t), pan=scene.pan_by * t,
          zoom=scene.zoom_by * t)
      for t in times]


def _skiing(s: Scene, t: float) -> Scene:
  return _moved(
      s, x=0.14 * s.facing * (t - 0.5), y=0.03 * (t - 0.5),
      pan=0.3 * s.facing * t, phase=2 * t)


def _surfing(s: Scene, t: float) -> Scene:
  return _moved(
      s, x=0.12 * s.facing * (t - 0.5), y=0.01 * math.sin(4 * math.pi * t),
      pan=0.3 * s.facing * t, phase=2 * t)


def _jumping(s: Scene, t: float) -> Scene:
  return _moved(
      s, x=0.08 * s.facing * (t - 0.5), pan=0.06 * s.facing * t, phase=2 * t)


def _dancing(s: Scene, t: float) -> Scene:
  return _moved(s, x=0.04 * math.sin(2 * math.pi * t), phase=2 * t)


def _running(s: Scene, t: float) -> Scene:
  return _moved(
      s, x=0.1 * s.facing * (t - 0.5), pan=0.6 * s.facing * t, phase=4 * t)


def _moved(scene: Scene, **by: float) -> Scene:
  return dataclasses.replace(
      scene, **{name: getattr(scene, name) + d for name, d in by.items()})


_PATHS = {
    "skiing": _skiing,
    "surfing": _surfing,
    "jumping": _jumping,
    "dancing": _dancing,
    "running": _running,
}
