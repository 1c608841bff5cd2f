"""What the stages of a cascade are given, and what they are trained on."""

import numpy as np
import pytest

from configs import (
  pretrain_imagen_video,
  pretrain_make_a_video,
)
from tav_jax.pretrain import of_stage
from tav_jax.pretraining import (
  conditions,
  interpolation,
  spaces,
  tasks,
)
from tav_jax.pretraining.pictures import Pictures
from tav_jax.sampling.schedule import Schedule


@pytest.fixture
def clip():
  return np.random.default_rng(0).uniform(-1, 1, (6, 4, 4, 3)).astype(
      np.float32)


def test_a_mask_says_which_frames_are_given(clip):
  kind = conditions.Interpolation()
  mask = np.array([True, False, False, True, False, False])
  given, scalars = kind.of(clip, mask)
  assert given.shape == (6, 4, 4, kind.width(3)) and not scalars
  for i in range(6):
    np.testing.assert_array_equal(given[i, ..., :3], clip[i] * mask[i])
    np.testing.assert_array_equal(given[i, ..., 3], mask[i])
  drawn = set()
  for seed in range(300):
    given, _ = kind.draw(clip, np.random.default_rng(seed))
    drawn.add("".join(str(int(m)) for m in given[:, 0, 0, 3]))
  firsts = {"1" * n + "0" * (6 - n) for n in range(1, 6)}
  assert drawn == {"101010", "100100", "100010", "100001"} | (
      firsts) | {m[::-1] for m in firsts}


def test_a_clean_condition_is_the_coarse_clip_itself(clip):
  """Repeated in time; in space, its every square has the mean that it had."""
  schedule, rng = Schedule(), np.random.default_rng(0)
  in_time = conditions.temporal(schedule, 1, 3)
  np.testing.assert_array_equal(
      in_time.bring(in_time.coarsen(clip)), clip[[0, 0, 0, 3, 3, 3]])
  in_space = conditions.spatial(schedule, 1, 2)
  coarse = in_space.coarsen(clip)
  np.testing.assert_allclose(
      coarse[2, 1, 0], clip[2, 2:, :2].mean((0, 1)), rtol=1e-5)
  flat = np.full((1, 2, 2, 3), 0.3, np.float32)
  np.testing.assert_allclose(in_space.bring(flat), 0.3, rtol=1e-6)
  # Half-pixel centres, as XLA's and torch's bilinear have them.
  edge = np.array([0.0, 1.0], np.float32)[None, None, :, None]
  np.testing.assert_allclose(
      in_space.bring(edge)[0, 0, :, 0], [0, 0.25, 0.75, 1], atol=1e-6)
  given, scalars = in_space.of(coarse, 0, rng)
  assert scalars == {"noise_level": 0}
  np.testing.assert_allclose(given, in_space.bring(coarse), atol=0.15)


def test_noise_of_a_condition_has_the_schedules_level(clip):
  schedule = Schedule(num_train_steps=100, beta_schedule="squaredcos_cap_v2")
  kind = conditions.temporal(schedule, 30, 2)
  rng = np.random.default_rng(0)
  abar = schedule.alphas_cumprod[20]
  noisy = np.stack([kind.of(clip[::2], 20, rng)[0] for _ in range(2000)])
  np.testing.assert_allclose(
      noisy.mean(0), abar**0.5 * kind.bring(clip[::2]), atol=0.05)
  np.testing.assert_allclose(noisy.std(0), (1 - abar) ** 0.5, rtol=0.1)
  levels = {int(kind.draw(clip, rng)[1]["noise_level"]) for _ in range(999)}
  assert levels == set(range(30))


def test_stages_fit_onto_each_other():
  """What one makes has the shape that the next is given."""
  config = pretrain_imagen_video.get_config()
  made = []
  for name in config.stages[:3]:
    with config[name].model.unlocked():
      config[name].model.captioned = False
    task = tasks.make(name, of_stage(config, name), 32, 3, None, None)
    random = np.random.default_rng(0)
    video = random.integers(0, 256, (32, 32, 32, 3), np.uint8)
    space = spaces.pixels(32, Pictures({"train": [{"video": video}]}))
    example = task.example(space, {"video": video, "fps": 16}, random)
    frames, size = task.cuts.frames, task.unet.sample_size
    assert example["mean"].shape == (frames, size, size, 3)
    if task.condition:
      assert example["given"].shape == example["mean"].shape
      assert example["scalars"].keys() == {"noise_level"}
      coarse = task.condition.coarsen(example["mean"])
      assert coarse.shape[1:] == made[-1][1:]
    assert task.unet.in_channels == (6 if task.condition else 3)
    made.append(example["mean"].shape)
  assert made == [(8, 16, 16, 3), (16, 16, 16, 3), (4, 32, 32, 3)]


def test_interpolation_in_blocks_that_share_given_frames(monkeypatch):
  """Of clips in even motion, of which a stand-in knows three frames in eight.
  """
  config = pretrain_make_a_video.get_config()
  with config.interpolation.model.unlocked():
    config.interpolation.model.captioned = False
  task = tasks.make(
      "interpolation", of_stage(config, "interpolation"), 1, 1, None, None)
  seen = []

  def sample(self, params, captions, *, frames, seed, fps, given):
    assert len(captions) == len(given) and frames == 8 and self is task
    seen.append(np.stack([one.channels for one in given])[..., 0, 0, :])
    first, last = (seen[0][:, i, None, 0] for i in (0, 6))
    made = first + np.arange(8) / 6 * (last - first)
    return made[..., None, None, None]

  monkeypatch.setattr(tasks.Task, "sample", sample)
  even = np.array([np.arange(6.0), 10 - np.arange(6.0)], np.float32)
  whole = interpolation.interpolate(
      task, {}, ["up", "down"], even[..., None, None, None], 3, 0, 8.0)
  expected = np.arange(16) / 3
  np.testing.assert_allclose(
      whole[..., 0, 0, 0], [expected, 10 - expected], rtol=1e-5)
  # Blocks of frames 0 to 2, 2 to 4 and 3 to 5 of each clip.
  np.testing.assert_array_equal(
      seen[0][..., 1], [[1, 0, 0, 1, 0, 0, 1, 0]] * 6)
  np.testing.assert_array_equal(seen[0][:3, 0, 0], [0, 2, 3])
