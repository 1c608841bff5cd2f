"""What raters prefer, from their votes."""

import json

import numpy as np
import pytest

from configs import study as study_config
from tav_jax.errors import InputError
from tav_jax.evaluation import study
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


def test_votes_of_another_study_are_refused():
  with pytest.raises(InputError, match="no video of this study"):
    study.preferences(KEY, [vote("a", "w")])


@pytest.mark.parametrize("text", ["", "[]", '{"votes": [{"chosen": "ax"}]}'])
def test_files_that_are_no_votes(tmp_path, text):
  (tmp_path / "study.json").write_text(json.dumps(KEY))
  (tmp_path / "votes.json").write_text(text)
  config = study_config.get_config()
  config.votes = (str(tmp_path / "votes.json"),)
  with pytest.raises(InputError, match=r"votes\.json: cannot be read"):
    study.run(config, tmp_path)


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
