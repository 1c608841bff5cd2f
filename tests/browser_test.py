"""The pages in a real browser: headless Chromium, if it is installed."""

import json
import shutil
import time

import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from tav_jax.evaluation import scoring, study
from tav_jax.reports import report
from tav_jax.runs import results

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not shutil.which("chromedriver"),
        reason="Debian's packages: chromium chromium-driver")]

_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
    "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--window-size=1200,900")


@pytest.fixture(scope="module")
def browser():
  options = webdriver.ChromeOptions()
  for flag in _FLAGS:
    options.add_argument(flag)
  options.binary_location = shutil.which("chromium")
  options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
  driver = webdriver.Chrome(
      options, webdriver.ChromeService(shutil.which("chromedriver")))
  yield driver
  driver.quit()


def open_page(browser, path):
  browser.get(path.as_uri())


def wait_for(browser, script, seconds=20):
  """Until a script gives something true, which is returned."""
  end = time.monotonic() + seconds
  while not (value := browser.execute_script(script)):
    assert time.monotonic() < end, script
    time.sleep(0.05)
  return value


def check_is_alone(browser):
  """Nothing was fetched, nothing complained."""
  assert browser.execute_script(
      "return performance.getEntriesByType('resource')"
      ".map(x => x.name).filter(x => !x.startsWith('data:'))") == []
  assert browser.get_log("browser") == []


def frames(seed):
  shape = (16, 32, 32, 3)
  return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@pytest.fixture
def page(tmp_path):
  rows = [
      {"system": system, "source": str(i), "score": value + i,
       "other": None if i else 1.0}
      for system, value in (("ours", 2.0), ("<theirs>", 1.0)) for i in range(3)]
  entries = [
      report.Entry(f"a <b> {i}", [
          report.show(name, frames(i), 8.0, {"score": 1.0})
          for name in ("ours", "<theirs>", "more")]) for i in range(12)]
  apart = scoring.differences(
      [row | {"prompt": str(i % 3)} for i, row in enumerate(rows)],
      ("prompt",))
  summary = lambda rows: scoring.summary(rows, ("system",), ("source",))
  report.write(
      tmp_path / "report.html", "A & B", summary(rows), summary(apart), entries)
  return tmp_path / "report.html"


def test_videos_of_the_report_play_in_step(browser, page):
  open_page(browser, page)
  seen = "[...document.querySelectorAll('video')].filter(v => !v.paused)"
  wait_for(browser, f"return {seen}.filter(v => v.currentTime > .3).length > 2")
  time.sleep(1)  # The clock looks after them every quarter of a second.
  times = browser.execute_script(f"return {seen}.map(v => v.currentTime)")
  apart = np.abs(np.subtract.outer(times, times))
  assert np.minimum(apart, 2 - apart).max() < 0.2  # Two seconds go around.
  assert len(times) < 36  # Those far below wait.
  assert browser.execute_script(
      f"return {seen}.every(v => v.videoWidth == 32 && v.width == 160)")
  check_is_alone(browser)

  browser.find_element(By.ID, "play").click()
  assert browser.execute_script(f"return {seen}.length") == 0


def test_the_report_shows_names_and_scores_as_they_are(browser, page):
  open_page(browser, page)
  text = browser.find_element(By.TAG_NAME, "body").text
  for shown in ("A & B", "a <b> 11", "<theirs>", "2.00\n[1.00, 3.00]",
                "-1.00\n[-1.00, -1.00]"):
    assert shown in text
  plots = browser.find_element(By.TAG_NAME, "svg")
  assert "other" in plots.text and plots.size["width"] > 300


@pytest.fixture
def systems(tmp_path):
  prompts = ["one", "two <b>", "three"]
  for i, name in enumerate(("ours", "theirs")):
    results.write(
        tmp_path / name / "samples/step_000001",
        [(prompt, frames(i)) for prompt in prompts], 8.0,
        {"prompts": prompts})
  return tmp_path


def configuration(systems, **changes):
  from configs import study as study_config
  config = study_config.get_config()
  config.systems = (str(systems / "ours"), str(systems / "theirs"))
  config.update(changes)
  return config


def test_a_rater_votes_and_votes_are_counted(browser, systems):
  study.run(configuration(systems), systems)
  key = json.loads((systems / "study.json").read_text())
  page = (systems / "study.html").read_text()
  assert "ours" not in page and "theirs" not in page
  open_page(browser, systems / "study.html")
  prompts = set()
  for _ in range(3):
    wait_for(browser, "return [...document.querySelectorAll('video')]"
                      ".every(v => v.currentTime > 0 && !v.paused)")
    prompts.add(browser.find_element(By.ID, "prompt").text)
    following = browser.find_element(By.ID, "next")
    assert not following.is_enabled()
    sources = browser.execute_script(
        "return [...document.querySelectorAll('video')].map(v => "
        "Object.keys(VIDEOS).find(k => VIDEOS[k] == v.src))")
    sides = [key[name]["system"].endswith("ours") for name in sources]
    ours = sides.index(True)
    # Ours is the consistent one, theirs the faithful one.
    for question, side in (("consistency", ours), ("faithfulness", 1 - ours)):
      browser.find_element(
          By.CSS_SELECTOR, f"[name={question}][value='{side}']").click()
    following.click()
  assert prompts == {"one", "two <b>", "three"}
  check_is_alone(browser)
  votes = browser.execute_async_script(
      "const [done] = arguments; fetch(document.getElementById('save').href)"
      ".then(x => x.text()).then(done)")
  (systems / "votes.json").write_text(votes)
  study.run(configuration(
      systems, votes=(str(systems / "votes.json"),)), systems)
  rows = json.loads((systems / "preferences.json").read_text())
  assert len(rows) == 4
  for row in rows:
    wins = row["system"].endswith("ours") == (row["question"] == "consistency")
    assert row["votes"][0] == row["majorities"][0] == (100 if wins else 0)
    assert row["all votes"] == row["prompts"] == "3"
