"""What raters prefer, from their votes."""

import csv
import html
import json
import re

import markdown_it
import numpy as np
import pytest

from configs import study as study_config
from tav_jax.errors import InputError
from tav_jax.evaluation import study
from tav_jax.reports import table
from tav_jax.runs import results

KEY = {
    f"{system}{prompt}": {
        "system": system, "prompt": prompt, "source": system + prompt}
    for system in "ab" for prompt in "xyz"}


def vote(winner, prompt, question="consistency"):
  loser = "b" if winner == "a" else "a"
  return {
      "question": question, "chosen": winner + prompt, "other": loser + prompt}


def test_shares_and_majorities():
  votes = [vote(w, p) for w, p in ("ax", "ax", "bx", "ay", "by", "bz")]
  rows = {row["system"]: row for row in study.preferences(KEY, votes)}
  assert np.isclose(rows["a"]["votes"].mean, 100 * (2 / 3 + 1 / 2 + 0) / 3)
  assert np.isclose(rows["a"]["majorities"].mean, (100 + 50 + 0) / 3)
  assert np.isclose(rows["a"]["votes"].mean + rows["b"]["votes"].mean, 100)
  assert rows["a"]["prompts"] == "3" and rows["a"]["all votes"] == "6"


def test_prompts_of_one_video_are_one_draw():
  key = {
      name: video | {"source": video["system"] + "1z"[video["prompt"] == "z"]}
      for name, video in KEY.items()}
  votes = [vote(w, p) for w, p in ("ax", "by", "az")]
  row = study.preferences(key, votes)[0]
  assert (row["votes"].mean, row["votes"].n) == (75, 2)
  assert (row["majorities"].mean, row["prompts"]) == (75, "3")


def test_questions_are_counted_apart():
  votes = [vote("a", "x"), vote("b", "x", "faithfulness")]
  rows = study.preferences(KEY, votes)
  assert {(r["question"], r["system"]): r["votes"].mean for r in rows} == {
      ("consistency", "a"): 100, ("consistency", "b"): 0,
      ("faithfulness", "a"): 0, ("faithfulness", "b"): 100}


def counted(tmp_path, key, *files):
  """Runs the count; each file is a text or what becomes JSON."""
  text = lambda x: x if isinstance(x, str) else json.dumps(x)
  (tmp_path / "study.json").write_text(text(key))
  config = study_config.get_config()
  for i, given in enumerate(files):
    (tmp_path / f"{i}.json").write_text(text(given))
  config.votes = tuple(str(tmp_path / f"{i}.json") for i in range(len(files)))
  study.run(config, tmp_path)


@pytest.mark.parametrize("given,told", [
    ("", "0.json: not JSON"), ("[]", "0.json: it has no votes; expected a"),
    ({}, "it has no votes"), ({"votes": []}, "it has no votes"),
    ({"votes": {"question": 1}}, "it has no votes"),
    ({"votes": [vote("a", "x"), 5]}, "0.json: vote 2: 5: expected an object"),
    ({"votes": [{"chosen": "ax"}]}, "vote 1: question=None: expected consis"),
    ({"votes": [vote("a", "x", "beauty")]}, "vote 1: question='beauty'"),
    ({"votes": [vote("a", "x", ["consistency"])]}, "vote 1: question=["),
    ({"votes": [vote("a", "w")]}, "chosen='aw' is no video of this study"),
    ({"votes": [vote("a", "x") | {"other": 5}]}, "vote 1: other=5 is no video"),
    ({"votes": [vote("a", "x") | {"other": "ay"}]}, "of one text by two"),
    ({"votes": [vote("a", "x") | {"other": "by"}]}, "of one text by two"),
    ('{"votes": [NaN]}', "NaN is no number"),
])
def test_votes_that_do_not_count_are_named(tmp_path, given, told):
  with pytest.raises(InputError, match="votes: ") as error:
    counted(tmp_path, KEY, given)
  assert told in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("key,told", [
    ("", "study.json: not JSON"), ([], "it has no videos"),
    ({}, "it has no videos"), ({"ax": 5}, "video 'ax': 5: expected its system"),
    ({"ax": {"system": "a"}}, "video 'ax'"),
    ({"ax": {"system": "a", "prompt": 5}}, "video 'ax'"),
    ({"ax": {"system": "a", "prompt": "x", "source": None}}, "video 'ax'"),
])
def test_a_study_that_is_none(tmp_path, key, told):
  with pytest.raises(InputError, match=r"study\.json") as error:
    counted(tmp_path, key, {"votes": [vote("a", "x")]})
  assert told in str(error.value)


def test_wild_names_in_tables(tmp_path):
  """Formulas are texts in the CSV, marks are texts in the markdown."""
  wild = "=HYPERLINK(\"x\") | `<script>` \n**b** _i_ a_b $x$"
  key = {
      name: video | {"system": {"a": wild, "b": "+1;=2"}[video["system"]]}
      for name, video in KEY.items()}
  counted(tmp_path, key, {"votes": [vote("a", "x"), vote("b", "x")]})
  with (tmp_path / "preferences.csv").open(newline="") as file:
    rows = list(csv.DictReader(file))
  assert {row["system"] for row in rows} == {"'" + wild, "'+1;=2"}
  assert '"\'+1;=2"' in (tmp_path / "preferences.csv").read_text()
  assert json.loads((tmp_path / "preferences.json").read_text())[
      0]["preferred to"] == wild
  lines = (tmp_path / "preferences.md").read_text().splitlines()
  assert len(lines) == 4
  assert "\\| \\`\\<script\\>\\` \\*\\*b\\*\\* \\_i\\_ a_b \\$x\\$ |" in (
      lines[2] + lines[3])
  assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {8}


def test_systems_need_a_prompt_in_common(tmp_path):
  frames = np.zeros((2, 16, 16, 3), np.uint8)
  for name in ("one", "two"):
    results.write(
        tmp_path / name / "samples/step_000001", [(name, frames)], 8.0,
        {"prompts": [name]})
  config = study_config.get_config()
  config.systems = (str(tmp_path / "one"),)
  with pytest.raises(InputError, match="two different folders"):
    study.run(config, tmp_path)
  config.systems = (str(tmp_path / "one"), str(tmp_path / "two"))
  with pytest.raises(InputError, match="no prompt in common"):
    study.run(config, tmp_path)


def test_markdown_shows_texts_as_they_are():
  """As markdown-it, a renderer of GitHub's tables, reads them."""
  texts = [
      "a | b", "\\", "\\|", "`x`", "*x* **y** _z_ a_b __c__", "<b>&amp;</b>",
      "[x](y) ![z](w)", "~~x~~", "# h", "- a", "1. a", "=1+1", "a\\*b", "  a"]
  shown = markdown_it.MarkdownIt("gfm-like", {"linkify": False}).render(
      table.markdown([{"text": text, "n": "1"} for text in texts]))
  cells = re.findall("<td>(.*?)</td>", shown)[::2]
  assert [html.unescape(cell) for cell in cells] == [x.strip() for x in texts]
