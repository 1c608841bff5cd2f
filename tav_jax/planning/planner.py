"""A plan of a run: a table of its programs, the total time, what fits."""

import dataclasses
import hashlib
import json
import logging
import math
import os
import pathlib

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from tav_jax.data import atomic
from tav_jax.errors import about, InputError
from tav_jax.parallel.mesh import make_mesh
from tav_jax.planning import chips, costs, programs
from tav_jax.reports import table
from tav_jax.runs import settings

log = logging.getLogger(__name__)

_KEPT = pathlib.Path("~/.cache/tav_jax/plans").expanduser()
_GB = 1e9


class DoesNotFit(Exception):
  """A program needs more memory than the device has; says how much."""


def describe(config: ConfigDict, topology: str, most_frames: bool) -> str:
  """The plan of a config on a topology, as text.

  Args:
    config: A config of `tav_jax.tune`.
    topology: As for `chips.devices`.
    most_frames: Whether to look for the largest number of frames.

  Raises:
    InputError: If the config or the topology is invalid.
  """
  config = settings.of(config.to_dict())
  settings.check_all_but_texts(config)
  devices, chip = chips.devices(topology)
  if most_frames and chip is None:
    raise InputError(
        f"--most_frames --topology={topology}: expected a TPU slice such as "
        "v5e:2x2, whose memory is known")
  with about("mesh."):
    mesh = make_mesh(devices, **vars(config.mesh))
  platform = devices[0].platform
  lines = [
      f"{config.model.checkpoint}, {config.video.frames} frames of "
      f"{config.video.width}x{config.video.height}, on {topology} "
      f"({len(devices)} x {devices[0].device_kind})", ""]
  asked = programs.of_run(config, mesh, platform)
  try:
    lines += _table(
        config, mesh, chip,
        [(program, cost(program, mesh, platform)) for program in asked])
  except DoesNotFit as error:
    arguments = max(program.arguments for program in asked)
    lines += [
        f"It does NOT fit: {error}",
        "Mesh: " + suggest(
            config.video.frames, dict(mesh.shape), math.inf,
            arguments / chip.memory if chip else 0.0)]
  if most_frames:
    lines.append(_most_frames(config, mesh, platform, chip))
  return "\n".join(lines)


def _table(config, mesh, chip, plan) -> list[str]:
  """Lines about programs and their costs."""
  lines = [table.markdown([
      _row(program, cost, chip) for program, cost in plan])]
  if chip is not None:
    total = sum(
        program.times * cost.roofline(chip)[0] for program, cost in plan)
    needed = max(cost.memory for _, cost in plan)
    lines += [
        f"Job: {total / 60:.1f} min at the chip's peak rates, without "
        "compilation and loading; real steps take longer.",
        f"Memory: {needed / _GB:.1f} of {chip.memory / _GB:.0f} GB on each "
        f"device: {'fits' if needed <= chip.memory else 'does NOT fit'}.",
        "Mesh: " + suggest(
            config.video.frames, dict(mesh.shape), needed / chip.memory,
            max(cost.arguments for _, cost in plan) / needed)]
  return lines


def suggest(
    frames: int, sizes: dict[str, int], share: float, arguments: float
) -> str:
  """Advice on the mesh: that this one is right, or which one to use instead.

  Videos on different devices send no messages, split frames send few, split
  parameters many.

  Args:
    frames: Frames of a video.
    sizes: Sizes of the mesh's axes.
    share: Share of a device's memory that the run needs.
    arguments: Share of the needed memory that arguments take, mostly
      parameters.
  """
  say = lambda sizes: ", ".join(f"mesh.{k}={v}" for k, v in sizes.items())
  count = math.prod(sizes.values())
  if share <= 1:
    # The most videos at a time that fit, when each is on fewer devices.
    most = max(
        n for n in range(1, sizes["frame"] + 1)
        if (sizes["frame"] % n == 0 and share * (
            arguments + (1 - arguments) * n) <= 0.9) or n == 1)
    text = f"{say(sizes)} is right for one video"
    if most > 1:
      text += (
          f"; for many ({most} at a time, tav_jax.tune_many) "
          + say({"video": sizes["video"] * most,
                 "frame": sizes["frame"] // most, "model": sizes["model"]}))
    return text + "."
  if arguments > 0.5 and frames % count == 0 and sizes["frame"] % 2 == 0:
    return "try " + say({
        "video": sizes["video"], "frame": sizes["frame"] // 2,
        "model": 2 * sizes["model"]}) + ", which splits the parameters."
  if sizes["video"] > 1 and frames % count == 0:
    return "try " + say({"video": 1, "frame": count, "model": 1}) + "."
  return (
      f"no mesh of {count} devices will do; take a larger slice, or fewer "
      f"frames than {frames}.")


def _row(program, cost, chip) -> dict[str, str]:
  row = {
      "program": program.name, "times": str(program.times),
      "memory": f"{cost.memory / _GB:.2f} GB",
      "of it arguments": f"{cost.arguments / _GB:.2f} GB",
      "operations": f"{cost.flops / 1e12:.2f} T",
      "traffic": f"{cost.traffic / _GB:.1f} GB",
      "messages": ", ".join(
          f"{n} {kind} {cost.collectives[kind] / 1e6:.0f} MB"
          for kind, n in cost.messages.items()) or "-"}
  if chip is not None:
    seconds, bound = cost.roofline(chip)
    row["at peak rates"] = f"{seconds * 1e3:.0f} ms, {bound}"
  return row


def cost(
    program: programs.Program, mesh: Mesh, platform: str
) -> costs.Costs:
  """The costs of a program, compiled unless kept from an earlier plan.

  Raises:
    DoesNotFit: If the compiler reports that memory does not suffice.
  """
  lowered = program.lower(mesh, platform)
  kind = mesh.devices.flat[0].device_kind
  flags = os.environ.get(
      "LIBTPU_INIT_ARGS" if platform == "tpu" else "XLA_FLAGS", "")
  key = hashlib.sha256("\n".join(
      (lowered.as_text(), kind, str(mesh), jax.__version__, flags)).encode())
  kept = _KEPT / f"{key.hexdigest()[:32]}.json"
  if not kept.exists():
    log.info("compiling: %s", program.name)
    found = _compile(lowered, platform)
    with atomic.replacing(kept) as partial:
      partial.write_text(json.dumps(found))
  found = json.loads(kept.read_text())
  if "too_much" in found:
    raise DoesNotFit(f"{program.name}: {found['too_much']}")
  return costs.Costs(**found)


def _compile(lowered: jax.stages.Lowered, platform: str) -> dict:
  """The fields of `Costs`; or `too_much`, the compiler's words on memory."""
  try:
    found = costs.of(lowered, platform)
  except jax.errors.JaxRuntimeError as error:
    if "RESOURCE_EXHAUSTED" not in str(error):
      raise
    # "...: Ran out of memory on HBM, the total ... (27.39G) exceeds ..."
    said = str(error).splitlines()[0].partition("Ran ")[2]
    return {"too_much": said.partition(". HLO")[0] or str(error)}
  log.info("compiled in %.0f s", found.seconds)
  return found._asdict()


def _most_frames(config, mesh, platform, chip) -> str:
  """The largest number of frames whose tuning step fits, by bisection.

  Memory is nearly linear in frames: a line through two numbers of frames tells
  where to look.
  """

  def memory(frames: int) -> float:
    longer = dataclasses.replace(
        config, video=dataclasses.replace(config.video, frames=frames))
    tuning, *_ = programs.of_run(longer, mesh, platform)
    log.info("trying %d frames", frames)
    try:
      return cost(tuning, mesh, platform).memory
    except DoesNotFit:
      return math.inf

  shards = mesh.shape["frame"] * mesh.shape["model"]
  fits, fails = config.video.frames, None
  while (low := memory(fits)) > chip.memory:
    fails, fits = fits, fits // 2 // shards * shards
    if not fits:
      return f"Frames: the tuning step does not fit with {fails}."
  slope = low / fits
  if fails is None:
    double = memory(2 * fits)
    if math.isfinite(double):
      slope = (double - low) / fits
    if double <= chip.memory:
      fits, low = 2 * fits, double
    else:
      fails = 2 * fits
  guess = fits + int((chip.memory - low) / slope)
  for _ in range(6):
    guess = max(guess - guess % shards, fits + shards)
    if fails is not None and guess >= fails:
      break
    if memory(guess) <= chip.memory:
      fits, guess = guess, guess + (
          (fails - guess) // 2 if fails else guess // 16)
    else:
      fails, guess = guess, (fits + guess) // 2
  return f"Frames: the tuning step fits with {fits}" + (
      f" and not with {fails}." if fails else " at least.")
