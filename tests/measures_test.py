"""Numbers about videos: each formula beside what published code says."""

import dataclasses
import itertools

import numpy as np
import pytest
from skimage import data

from tav_jax.errors import InputError
from tav_jax.measures import (
  clip_score,
  motion,
  optical_flow,
  preservation,
  warping,
)
from tav_jax.pretrained import clip_config
from tav_jax.storybook.world import flow as true_flow
from tav_jax.storybook.world import motion as clips
from tav_jax.storybook.world import scene
from tav_jax.storybook.world.render import render


def small():
  """A source that moves right by a pixel but for a corner, and an edit of it.

  Returns:
    Both, uint8 `3 24 32 3`; and the flow from each frame to the next, once
    rounded and once not.
  """
  y, x = np.indices((24, 40))
  ground = np.stack(
      [(37 * (y // 4) + 91 * (x // 4) * k) % 176 + 40 for k in (1, 2, 3)], -1)
  source = np.stack([ground[:, 4 - i:36 - i] for i in range(3)])
  source[1:, 16:, :6] = 99
  wave = (np.arange(source.size).reshape(source.shape) * 7919) % 41 - 20
  edited = (255 - source + wave).clip(0, 255)
  forth = np.zeros((2, 24, 32, 2), np.float32)
  forth[:, :, 1:, 0] = 1
  turned = forth + np.float32(0.03) * np.stack(
      [wave[1:, ..., 0], wave[1:, ..., 1]], -1)
  return source.astype(np.uint8), edited.astype(np.uint8), forth, turned


# What published code said of `small`, each run with its
# own libraries, PIE-Bench's with torchmetrics.
FF_ALPHA = 22.05878438995215  # EditBoard: calculate_ff_alpha of warped frames.
FF_BETA = 0.09028719387963145  # EditBoard: ff_beta_for_one.
END_POINT_ERROR = 0.45359937278456103  # V2VBench: motion_alignment.py.
FLICKERING = 0.9016901  # VBench: temporal_flickering.py.
LARGEST = 1.6503461220575204  # VBench: DynamicDegree.get_score.
PIE_PSNR, PIE_SSIM = 37.2370491027832, 0.9976303180058798
CONSISTENCY = 0.39271189272403717  # VBench: background_consistency.py.


def test_warping_error_is_editboards():
  source, edited, forth, _ = small()
  obeyed = warping.obeyed(source, -forth)
  np.testing.assert_allclose(
      obeyed.mean(axis=(1, 2)), [0.91666667, 0.98958333])
  found = warping.warping_error(edited, -forth, obeyed)
  np.testing.assert_allclose(found, FF_ALPHA, rtol=1e-6)
  assert warping.warping_error(edited, -forth, obeyed & False) is None
  valid = warping.valid(source, -forth)  # The first column stands still.
  np.testing.assert_array_equal(valid[:, :, 1:], obeyed[:, :, 1:])
  assert obeyed[:, :, 0].any() and not valid[:, :, 0].any()


def test_flow_errors_are_v2vbenchs_and_editboards():
  _, _, forth, turned = small()
  np.testing.assert_allclose(
      motion.flow_error(turned, forth), END_POINT_ERROR, rtol=1e-6)
  np.testing.assert_allclose(
      motion.flow_direction(turned, forth), FF_BETA, rtol=1e-5)
  nowhere = np.zeros(forth.shape[:3], bool)
  assert motion.flow_error(turned, forth, nowhere) is None
  nowhere[0, 3, 4] = True
  apart = np.linalg.norm(turned[0, 3, 4] - forth[0, 3, 4])
  assert np.isclose(motion.flow_error(turned, forth, nowhere), apart)


def test_flicker_and_dynamic_degree_are_vbenchs():
  _, edited, _, turned = small()
  np.testing.assert_allclose(
      motion.flicker(edited), 100 * FLICKERING, rtol=1e-6)
  moves = 6 * 24 / 256  # Of pictures whose shorter side is 24 pixels.
  assert motion.dynamic_degree(turned * (1.01 * moves / LARGEST)) == 100
  assert motion.dynamic_degree(turned * (0.99 * moves / LARGEST)) == 0


def test_a_quarter_of_the_frames_has_to_move():
  """Of 16 frames 4 pairs, of 8 frames 2; at least one."""
  for frames, needed in ((16, 4), (8, 2), (6, 2), (2, 1)):
    flow = np.zeros((frames - 1, 8, 8, 2))
    flow[:needed] = 1
    assert motion.dynamic_degree(flow) == 100
    flow[0] = 0
    assert motion.dynamic_degree(flow) == 0


def test_masked_scores_are_pie_benchs_and_others_are_of_a_pixel():
  source, *_ = small()
  edited = source // 8 * 8
  unedited = np.ones(source.shape[:3], bool)
  unedited[:, 4:20, 10:24] = False
  found = preservation.preservation(edited, source, unedited)
  assert np.isclose(found["masked PSNR"], PIE_PSNR)
  # torchmetrics reflects the picture at its border in another way.
  assert np.isclose(found["masked SSIM"], 100 * PIE_SSIM, atol=0.02)
  again = preservation.preservation(
      np.where(unedited[..., None], edited, 7), source, unedited)
  assert again == found  # Whatever the edit does elsewhere.
  assert preservation.preservation(
      source, source, unedited)["unedited SSIM"] == 100
  error = (edited[unedited].astype(float) - source[unedited]) ** 2
  assert np.isclose(
      found["unedited PSNR"], 10 * np.log10(255**2 / error.mean()))
  few = np.zeros_like(unedited)
  assert set(preservation.preservation(edited, source, few).values()) == {None}


def test_first_and_previous_consistency_is_vbenchs():
  embeds = np.array([[1.0, 0, 0], [1, 1, 0], [-1, 2, 0], [1, 2, 3]])
  embeds /= np.linalg.norm(embeds, axis=1, keepdims=True)
  found = clip_score.first_previous_consistency(embeds)
  assert np.isclose(found, 100 * CONSISTENCY)


def test_an_edit_succeeds_where_its_prompt_beats_the_sources():
  turn = np.deg2rad([0, 44, 45, 46])
  frames = np.stack([np.cos(turn), np.sin(turn)], 1)
  frames[2] = np.sqrt(0.5)  # A tie.
  source, target = np.eye(2)
  assert clip_score.edit_success(frames, target, source) == 25


def test_only_a_frame_that_is_far_too_narrow_is_not_scored():
  small = clip_config.Preprocessing(resize=4, crop=4)
  shape = clip_score.prepare(np.zeros((100, 2, 3), np.uint8), small).shape
  assert shape == (4, 4, 3)
  with pytest.raises(InputError, match="a frame of 2x101 pixels: expected"):
    clip_score.prepare(np.zeros((101, 2, 3), np.uint8), small)


# Flow.


@pytest.mark.parametrize("shift", [1, 2])
def test_estimated_flow_points_to_the_frame_before_in_pixels(shift):
  texture = data.astronaut()[::4, ::4]
  frames = np.stack([
      np.roll(texture, (0, i * shift), axis=(0, 1))[20:84, 20:84]
      for i in range(3)])
  flow = optical_flow.estimate(frames)
  np.testing.assert_allclose(
      np.median(flow, axis=(0, 1, 2)), [-shift, 0], atol=0.1)
  down = optical_flow.estimate(frames.swapaxes(1, 2))
  np.testing.assert_allclose(
      np.median(down, axis=(0, 1, 2)), [0, -shift], atol=0.1)
  fetched = optical_flow.warp(frames, np.full_like(flow, 0) - [shift, 0])
  np.testing.assert_array_equal(
      fetched[:, :, shift:], frames[1:, :, shift:])
  inside = optical_flow.inside(np.full_like(flow, 0) - [shift, 0])
  assert not inside[:, :, :shift].any() and inside[:, :, shift:].all()


def test_large_videos_are_reduced_to_256_pixels():
  assert optical_flow.reduced(
      np.zeros((2, 512, 800, 3), np.uint8)).shape == (2, 256, 400, 3)
  frames, *_ = small()
  assert optical_flow.reduced(frames) is frames


@pytest.fixture(scope="module")
def drawn():
  """Clips of the second edition, their true flow and where it is visible."""
  clips_and_flows = []
  for number in range(4):
    rng = np.random.default_rng([3, number])
    first = dataclasses.replace(
        scene.random_scene(rng, free=number > 1), style="")
    scenes = clips.video(first, 6)
    true = [
        true_flow.flow(now, before)
        for before, now in itertools.pairwise(scenes)]
    clips_and_flows.append((
        np.stack([render(shown) for shown in scenes]),
        np.stack([pair.flow for pair in true]),
        np.stack([pair.visible for pair in true])))
  return clips_and_flows


def test_warping_errors_by_estimated_and_true_flow_agree(drawn):
  """From half to 1.3 times the true one, and a still video does not win."""
  rng = np.random.default_rng(0)
  for frames, flow, visible in drawn:
    estimated = optical_flow.estimate(frames)
    seen = visible & warping.valid(frames, flow)
    trusted = warping.valid(frames, estimated)
    found = {}
    for name, video in (
        ("source", frames), ("still", frames[3:4].repeat(6, axis=0)),
        ("shuffled", frames[[4, 1, 5, 0, 3, 2]]),
        ("noise", rng.integers(0, 256, frames.shape, np.uint8))):
      true = warping.warping_error(video, flow, seen)
      found[name] = warping.warping_error(video, estimated, trusted), true
      assert 0.5 < found[name][0] / true < 1.3, name
    for source, still, shuffled, noise in zip(*found.values(), strict=True):
      assert 10 * source < 1.5 * still < shuffled < noise
