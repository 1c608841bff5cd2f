r"""A user study: pairs of videos, hidden names, two questions.

As in the paper (arXiv 2212.11565, Sec. 4.2), raters see two videos of one text
and say which has the more consistent frames, and which shows the text better.

  WORKDIR/study.html   the page; it gives each rater's votes as a file
  WORKDIR/study.json   what the names stand for; keep it from the raters
  WORKDIR/preferences.{md,csv,json}
"""

from collections import Counter
from collections.abc import Iterable, Mapping
import hashlib
import importlib.resources
import itertools
import json
import logging
import pathlib
import string
from typing import Any

from ml_collections import ConfigDict
import numpy as np

from tav_jax.data import jsonl, names, texts
from tav_jax.errors import about, InputError
from tav_jax.evaluation import systems
from tav_jax.evaluation.scoring import summary
from tav_jax.reports import report, table
from tav_jax.runs import settings

log = logging.getLogger(__name__)

RANGES = (("seed", *settings.SEEDS), ("fps", 0.1, 100))

QUESTIONS = {
    "consistency": "Which video's frames are more consistent with each other?",
    "faithfulness": "Which video shows the text better?",
}


def run(config: ConfigDict, workdir: pathlib.Path) -> None:
  """Writes the page; or, given `votes`, what raters prefer.

  Args:
    config: `systems` (two folders or more, as for `systems.read`), `seed`,
      `fps`, `votes` (files that the page gave).
    workdir: Directory of the page and the results.

  Raises:
    InputError: If there is nothing to compare, or a file of votes is not of
      this study.
  """
  if config.votes:
    key = _read_study(workdir / "study.json")
    rows = preferences(key, _read_votes(config.votes, key))
    table.write(workdir, "preferences", rows)
    log.info("%s", table.markdown(rows))
    return
  videos = _videos(config)
  page = string.Template(
      (importlib.resources.files("tav_jax.evaluation") / "study.html")
      .read_text(encoding="utf-8"))
  shown = {
      name: report.data_url(result.frames(), config.fps)
      for name, (_, result) in videos.items()}
  key = {
      name: {"system": system, "prompt": result.prompt,
             "source": str(result.source or result.path)}
      for name, (system, result) in videos.items()}
  (workdir / "study.json").write_text(json.dumps(key, indent=2) + "\n")
  (workdir / "study.html").write_text(page.substitute(
      videos=_embed(shown), pairs=_embed(_pairs(key)),
      questions=_embed(QUESTIONS)), encoding="utf-8")
  log.info("%s: %d pairs of videos", workdir / "study.html", len(_pairs(key)))


def _videos(config: ConfigDict) -> dict:
  """Every system's results for the prompts that all share, by hidden name."""
  found = {str(path): systems.read(path) for path in config.systems}
  if len(found) < 2:
    raise InputError(
        f"systems={tuple(config.systems)}: expected two different folders of "
        "videos or more")
  prompts = [{r.prompt for r in results} for results in found.values()]
  shared = set.intersection(*prompts)
  if not shared:
    raise InputError(
        f"systems={tuple(config.systems)}: they have no prompt in common; "
        "expected videos of the same prompts")
  left_out = set.union(*prompts) - shared
  if left_out:
    log.warning(
        "%d prompts are left out, which not all systems have", len(left_out))
  name = lambda *what: hashlib.sha256(
      json.dumps([config.seed, *what]).encode()).hexdigest()[:12]
  return {
      name(system, result.prompt): (system, result)
      for system, results in found.items() for result in results
      if result.prompt in shared}


def _pairs(key: Mapping[str, Mapping[str, str]]) -> list[dict]:
  """All pairs of systems for every prompt."""
  by_prompt: dict[str, list[str]] = {}
  for name, video in key.items():
    by_prompt.setdefault(video["prompt"], []).append(name)
  return [
      {"prompt": prompt, "videos": sorted(pair)}
      for prompt, names in by_prompt.items()
      for pair in itertools.combinations(names, 2)]


def _embed(value) -> str:
  """JSON that is safe inside a script element."""
  return json.dumps(value).replace("<", "\\u003c")


def preferences(
    key: Mapping[str, Mapping[str, str]], votes: Iterable[Mapping]
) -> list[dict]:
  """How often one system is preferred to another.

  Args:
    key: `study.json`.
    votes: One or more, each with `question`, `chosen` and `other`, names of
      videos of one text by two systems.

  Returns:
    A row for each question and pair of systems: the share of votes and of
    prompts won by a majority of raters (a draw is half), in percent, means
    over source videos, and the number of prompts and votes.
  """
  # By question and systems: by prompt: how often each won.
  counts: dict[tuple[str, str, str], dict[str, Counter]] = {}
  for vote in votes:
    chosen, other = key[vote["chosen"]], key[vote["other"]]
    a, b = sorted((chosen["system"], other["system"]))
    prompts = counts.setdefault((vote["question"], a, b), {})
    prompts.setdefault(chosen["prompt"], Counter())[chosen["system"]] += 1
  rows = []
  source = {
      (video["system"], video["prompt"]): video.get("source", video["prompt"])
      for video in key.values()}
  for (question, a, b), prompts in counts.items():
    for first, second in ((a, b), (b, a)):
      shares = {
          prompt: won[first] / won.total() for prompt, won in prompts.items()}
      (means,) = summary([
          {"source": source[a, prompt], "votes": 100 * share,
           "majorities": 50 * (1 + float(np.sign(share - 0.5)))}
          for prompt, share in shares.items()], by=(), unit=("source",))
      rows.append({
          "question": question, "system": first, "preferred to": second,
          **means, "prompts": str(len(prompts)),
          "all votes": str(sum(won.total() for won in prompts.values()))})
  return rows


def _read_study(file: pathlib.Path) -> dict[str, dict[str, str]]:
  """The system that each hidden name stands for, and its video."""
  expected = "the file that was written with the study's page"
  key = jsonl.loads(texts.read(file, expected), str(file), expected)
  if not isinstance(key, dict) or not key:
    raise InputError(f"{file}: it has no videos; expected {expected}")
  for name, video in key.items():
    if not isinstance(video, dict) or not all(
        isinstance(video.get(field, missing), str) for field, missing in (
            ("system", None), ("prompt", None), ("source", ""))):
      raise InputError(
          f"{file}: video {name!r}: {video}: expected its system, prompt and "
          "source, as texts")
  return key


def _read_votes(
    files: Iterable[str], key: Mapping[str, Mapping[str, str]]
) -> list[dict]:
  """The votes of all raters, of the videos of `key`."""
  expected = 'a file that study.html gave, {"votes": [...]}'
  votes = []
  for file in files:
    if list(files).count(file) > 1:
      raise InputError(f"votes: {file}: it is named twice; expected once")
    path = names.at_home(str(file))
    with about("votes: "):
      given = jsonl.loads(texts.read(path, expected), str(path), expected)
      some = given.get("votes") if isinstance(given, dict) else None
      if not isinstance(some, list) or not some:
        raise InputError(f"{path}: it has no votes; expected {expected}")
      for number, vote in enumerate(some, 1):
        with about(f"{path}: vote {number}: "):
          _check(vote, key)
      votes += some
  return votes


def _check(vote: Any, key: Mapping[str, Mapping[str, str]]) -> None:
  """Raises an InputError unless it is a vote on two videos of the study."""
  if not isinstance(vote, dict):
    raise InputError(
        f"{vote!r}: expected an object of question, chosen and other")
  if (question := vote.get("question")) not in list(QUESTIONS):
    raise InputError(
        f"question={question!r}: expected {' or '.join(QUESTIONS)}")
  for field in ("chosen", "other"):
    if vote.get(field) not in list(key):
      raise InputError(
          f"{field}={vote.get(field)!r} is no video of this study; expected "
          "votes given by its study.html")
  chosen, other = key[vote["chosen"]], key[vote["other"]]
  if chosen["prompt"] != other["prompt"] or (
      chosen["system"] == other["system"]):
    raise InputError(
        f"chosen={vote['chosen']!r}, other={vote['other']!r}: expected videos "
        "of one text by two systems")
