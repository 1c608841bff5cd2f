r"""Time and memory of this project beside the same method in PyTorch.

  pip install torch diffusers==0.35.2 transformers==4.57.6
  python -m bench.peer --checkpoint=storybook
  python -m bench.random_checkpoint --size=sd1 --out=runs/sd1
  python -m bench.peer --checkpoint=runs/sd1 --frames=8 --size=256

The peer (torch_unet.py, theirs.py) has diffusers' modules and
`scaled_dot_product_attention`. Both have the same weights, inputs, noise,
timestep and number of threads; activations are recomputed in both or in none.
Each framework has a process of its own for each program, and the two take turns
at single runs; times are medians. CPU time is the sum over all threads, which
other processes on the machine change less. Memory is the process's peak. After
them, in turns too, come PyTorch in bfloat16, and models other than the embedded
one with `model.memory=fit`, which rounds frozen weights to bfloat16.

The first results of both, in float32, are compared: the largest difference over
the largest value, and the norm of the difference over the norm. For sampling
and inversion, the results are what a step adds to the latents; the gradient is
compared after clipping. Where it is nearly zero, rounding decides the sign of
AdamW's first step, which shows in the largest difference of the weights.
"""

import dataclasses
import os
import pathlib
import statistics
import tempfile

from absl import app, flags

from bench.peer.case import apart, Case
from bench.peer.workers import Worker

PROGRAMS = {
    "tuning": "tuning step",
    "tuning_run": "ten tuning steps, as a run takes them",
    "sampling": "sampling step with guidance",
    "sampling_run": "ten sampling steps, as a run takes them",
    "inversion": "inversion step",
    "encode": "encoding the clip",
    "decode": "decoding the clip",
    "job": "whole job",
}

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", "storybook", "A diffusers directory, or storybook.")
_FRAMES = flags.DEFINE_integer("frames", 8, "Frames of the clip.")
_SIZE = flags.DEFINE_integer("size", 64, "Its height and width, pixels.")
_PROGRAMS = flags.DEFINE_multi_enum(
    "program", None, list(PROGRAMS), "Only these programs.")
_ROUNDS = flags.DEFINE_integer("rounds", 7, "Timed runs of each.")
_FIT = "tav_jax, model.memory=fit"
_HALF = "PyTorch bfloat16"


def measure(program: str, case: Case, cache: str) -> dict:
  """All numbers of one program."""
  pair = {"PyTorch": ("theirs", case), "tav_jax": ("ours", case)}
  first, results = {}, {}
  for kind, (framework, of) in pair.items():  # With nothing in JAX's cache.
    worker = Worker(framework, program, of, cache)
    first[kind], results[kind] = worker.start, worker.result()
    worker.stop()
  others = {}
  if not case.embedded:
    others[_FIT] = ("ours", dataclasses.replace(case, memory="fit"))
  if program != "job" and _has_bfloat16():
    others[_HALF] = ("theirs", dataclasses.replace(case, dtype="bfloat16"))
  # Two at a time: four would need 27 GiB for Stable Diffusion v1-4.
  numbers = (
      in_turns(program, pair, cache) | in_turns(program, others, cache))
  of_all = lambda what: {k: v[what] for k, v in numbers.items() if what in v}
  return {
      "seconds": of_all("seconds"), "memory": of_all("memory"),
      "first": first["tav_jax"], "again": of_all("start"),
      "flags": numbers["tav_jax"]["flags"],
      "apart": {
          name: apart(x, results["PyTorch"][name])
          for name, x in results["tav_jax"].items()}}


def in_turns(
    program: str, cases: dict[str, tuple[str, Case]], cache: str
) -> dict[str, dict]:
  """Start, memory, flags and median times of each case, which take turns.

  The whole job runs once: its time is the start's.
  """
  workers = {
      kind: Worker(framework, program, case, cache)
      for kind, (framework, case) in cases.items()}
  seconds: dict[str, list[tuple[float, float]]] = {kind: [] for kind in cases}
  for _ in range(0 if program == "job" else _ROUNDS.value):
    for kind, worker in workers.items():
      seconds[kind].append(worker.time())
  numbers = {}
  for kind, worker in workers.items():
    numbers[kind] = {
        "start": worker.start, "memory": worker.memory(),
        "flags": worker.flags()}
    if seconds[kind]:
      numbers[kind]["seconds"] = tuple(
          map(statistics.median, zip(*seconds[kind], strict=True)))
    worker.stop()
  return numbers


def _has_bfloat16() -> bool:
  """Whether PyTorch has bfloat16 kernels for this CPU, not just a fallback."""
  return "avx512bw" in pathlib.Path("/proc/cpuinfo").read_text()


def table(header: str, rows: list[list[str]]) -> None:
  """Prints a markdown table and an empty line."""
  print(f"| {header} |")
  print("|", " | ".join("---" for _ in header.split("|")), "|")
  for row in rows:
    print("|", " | ".join(row), "|")
  print()


def report(found: dict[str, dict]) -> None:
  """Prints all tables."""
  speed, memory, start, equal = [], [], [], []
  for program, numbers in found.items():
    name, seconds = PROGRAMS[program], numbers["seconds"]
    for what, i in (("", 0), (", CPU time", 1)):
      if seconds:
        speed.append([
            name + what, *_row({k: v[i] for k, v in seconds.items()})])
    memory.append([name, *_row(numbers["memory"])])
    again = numbers["again"]
    start.append([
        name, f"{again['PyTorch']:.1f}", f"{numbers['first']:.1f}",
        f"{again['tav_jax']:.1f}"])
    equal += [
        [f"{name}: {what}", *(f"{x:.1e}" for x in differences)]
        for what, differences in numbers["apart"].items()]
  columns = f"PyTorch | tav_jax | PyTorch / tav_jax | {_FIT} | {_HALF}"
  table(f"seconds of one run | {columns}", speed)
  table(f"memory, GiB | {columns}", memory)
  table(
      "seconds from process start to first result | PyTorch | tav_jax, "
      "compiling | tav_jax, compiled before", start)
  table("first results | largest difference | norm of difference", equal)


def _row(x: dict[str, float]) -> list[str]:
  seen = lambda kind: f"{x[kind]:.3g}" if kind in x else "-"
  return [
      seen("PyTorch"), seen("tav_jax"),
      f"{x['PyTorch'] / x['tav_jax']:.2f}", seen(_FIT), seen(_HALF)]


def main(argv) -> None:
  """Measures and prints."""
  del argv
  case = Case(_CHECKPOINT.value, _FRAMES.value, _SIZE.value)
  chosen = _PROGRAMS.value or [
      name for name in PROGRAMS
      if case.embedded or name not in ("tuning_run", "sampling_run", "job")]
  with tempfile.TemporaryDirectory() as cache:
    found = {name: measure(name, case, cache) for name in chosen}
  print(f"\n{case.checkpoint}: {case.frames} frames of "
        f"{case.size}x{case.size}, {len(os.sched_getaffinity(0))} "
        f"threads, XLA_FLAGS: {found[chosen[0]]['flags']}, "
        f"medians of {_ROUNDS.value} rounds\n")
  report(found)


if __name__ == "__main__":
  app.run(main)
