"""Lists as spreadsheets, editors and other systems write them."""

import json
import os
import pathlib
import runpy
import shutil
import unicodedata

from conftest import ROOT
import numpy as np
import pytest

import tav_jax
from tav_jax.data import jsonl, names, spreadsheet, video
from tav_jax.data.datasets import folder
from tav_jax.errors import InputError
from tav_jax.evaluation import systems
from tav_jax.runs import manifest, settings

VIDEO = ROOT / "tav_jax/storybook/videos/man-skiing.mp4"
COLUMNS = ("video", "caption", "prompts")
WANTED = {"video": "cat.mp4", "caption": "a cat", "prompts": "a dog"}


@pytest.fixture
def base():
  return runpy.run_path(ROOT / "configs/storybook.py")["get_config"]()


def rows(tmp_path, content, name="videos.csv"):
  path = tmp_path / name
  path.write_bytes(content if isinstance(content, bytes) else content.encode())
  return [row for _, row in spreadsheet.read(path, COLUMNS)]


@pytest.mark.parametrize("content", [
    # As Excel writes them, and people by hand.
    "video,caption,prompts\r\ncat.mp4,a cat,a dog\r\n\r\n,,\r\n",
    "video;caption;prompts\ncat.mp4;a cat;a dog\n",
    "video, caption, prompts\ncat.mp4, a cat, a dog\n",
    # And others of these kinds.
    "video\tcaption\tprompts\ncat.mp4\ta cat\ta dog",
    'video, caption, prompts\ncat.mp4, "a cat", "a dog"\n',
    '"video";"caption";"prompts"\r\n"cat.mp4";"a cat";"a dog"\r\n',
    "sep=;\r\nvideo;caption;prompts\r\ncat.mp4;a cat;a dog\r\n",
    "\n,,\nVideo,Caption,Prompts\n\ncat.mp4,a cat,a dog\n",
    "video,caption,prompts,,\ncat.mp4,a cat,a dog,,\n,,,,\n",
    "\ufeffvideo,caption,prompts\rcat.mp4,a cat,a dog\r",
    " video\u00a0,caption ,prompts\ncat.mp4 ,a cat\u00a0, a dog \n",
    "video;caption;prompts;a,b\ncat.mp4;a cat;a dog\n",
    "video,caption,prompts\ncat.mp4,a cat,a dog\n".encode("utf-16"),
    b"\xfe\xff" + "video;caption;prompts\ncat.mp4;a cat;a dog".encode(
        "utf-16-be"),
])
def test_tables_of_all_habits_are_read(tmp_path, content):
  assert rows(tmp_path, content) == [WANTED]


def test_unicode_text_of_excel(tmp_path, base):
  path = tmp_path / "videos.TXT"
  path.write_bytes("Video\tCaption\tPrompts\tvideo.stride\r\n"
                   "cat.mp4\ta \u732b\ta dog|a car\t4\r\n".encode("utf-16"))
  (job,) = manifest.read(path, base, tmp_path)
  assert job.settings.video.caption == "a \u732b"
  assert job.settings.video.stride == 4 and job.name == "cat"
  assert job.settings.sampling.prompts == ("a dog", "a car")


def test_fields_may_hold_anything(tmp_path):
  text = 'so "quoted"; a, b | \u2028 \u732b \U0001f408 \'\nnext'
  doubled = text.replace('"', '""')
  content = f'video,caption,prompts\ncat.mp4,"{doubled}",a dog\nx,y,z\n'
  path = tmp_path / "videos.csv"
  path.write_text(content, encoding="utf-8")
  (_, first), (where, _) = spreadsheet.read(path, COLUMNS)
  assert first["caption"] == text and where == f"{path} line 4"


@pytest.mark.parametrize("content,told", [
    ("", "no column 'video'; its first row has nothing"),
    ("file;caption;prompts\n", "no column 'video'; its first row has 'file', "),
    ("video|caption|prompts\n", "no column 'video'; its first row has 'video|"),
    ("video,caption\n", "no column 'prompts'"),
    ("video,caption,prompts,video\n", "columns 1 and 4 are both called 'video"),
    ("video,caption,prompts,a,a\n", "columns 4 and 5 are both called 'a'"),
    ("video,caption,prompts\na,b,c,d\n", "line 2: it has more fields"),
    ("video,caption,prompts,,\na,b,c,,d\n", "line 2: it has more fields"),
    ('video,caption,prompts\n\na,"b,c\nd,e,f\n', "line 3: it cannot be read"),
    ('video,caption,prompts\na,"b"c,d\n', "line 2: it cannot be read"),
    ("video,caption,prompts\ncaf\u00e9.mp4,a,b\n".encode("latin-1"),
     "line 2: it is not UTF-8 (byte 0xe9)"),
    ("video,caption,prompts\n".encode("utf-16-le"), "UTF-16 without a byte"),
    (b"\xff\xfev", "its byte order mark says"),
    (b"PK\3\4...", "save the table as 'CSV UTF-8'"),
])
def test_a_table_that_cannot_be_read_is_told(tmp_path, content, told):
  with pytest.raises(InputError, match=r"videos\.csv") as error:
    rows(tmp_path, content)
  assert told in str(error.value)


@pytest.mark.parametrize("content", [
    '\ufeff{"a": "x \u2028 y"}\n', '\n \t\r\n{"a": "x \\u2028 y"}\r\n\n',
    '{"a": "x \u2028 y"}'.encode("utf-16")])
def test_json_lines_of_all_habits_are_read(tmp_path, content):
  path = tmp_path / "rows.jsonl"
  path.write_bytes(content if isinstance(content, bytes) else content.encode())
  assert [row for _, row in jsonl.read(path, "rows")] == [{"a": "x \u2028 y"}]


@pytest.mark.parametrize("line,told", [
    ('{"a": 1},', "line 2: not JSON (a comma at the end; leave it out)"),
    ('{"a": 1,}', "a comma with nothing after it"),
    ('{"a": [1,]}', "a comma with nothing after it"),
    ("[", "a list begins"), ('[{"a": 1},', "a list begins"),
    ('[{"a": 1}]', "line 2: not a JSON object"), ("5", "not a JSON object"),
    ('"a"', "not a JSON object"), ("null", "not a JSON object"),
    ('{"a": NaN}', "NaN is no number in JSON"),
    ('{"a": -Infinity}', "-Infinity is no number"),
    ('{"a": 1e999}', "1e999 is too large"),
    ('{"a": 1, "a": 2}', "'a' is there twice"),
    ('{"a": {"b": 1, "b": 2}}', "'b' is there twice"),
    ('{"a": "\\ud83d"}', "half a character"),
    ('{"a": "x\\u0000"}', "a zero character"),
    ("{'a': 1}", "line 2: not JSON ("), ('{"a": "b', "line 2: not JSON ("),
    ("[" * 100_000, "not JSON ("),
    ('{"a": ' + "9" * 5000 + "}", "not JSON ("),
])
def test_a_line_that_is_no_object_is_told(tmp_path, line, told):
  path = tmp_path / "rows.jsonl"
  path.write_text('{"a": 0}\n' + line + "\n")
  with pytest.raises(InputError, match=r"rows\.jsonl line 2: ") as error:
    list(jsonl.read(path, "rows"))
  assert told in str(error.value) and "\n" not in str(error.value)


def test_prompts_may_be_an_object(tmp_path, base):
  """As the config files of LOVEU-TGVE-2023 have them."""
  path = tmp_path / "videos.jsonl"
  path.write_text(json.dumps({
      "video": "man-skiing.mp4", "caption": "a man is skiing on the snow",
      "prompts": {"style": "a man is skiing on the snow, sketch style",
                  "object": "a panda is skiing | on the snow"}}))
  (job,) = manifest.read(path, base, tmp_path)
  assert job.settings.sampling.prompts == (
      "a man is skiing on the snow, sketch style",
      "a panda is skiing | on the snow")


@pytest.mark.parametrize("video,name", [
    ("my cat (1).mp4", "my cat (1)"), ("a/\u732b.mp4", "\u732b"),
    ("b/cafe\u0301.mp4", "caf\u00e9"), ("v1.2_final-x.mp4", "v1.2_final-x")])
def test_videos_keep_their_names(tmp_path, base, video, name):
  path = tmp_path / "videos.csv"
  path.write_text(
      f"video,caption,prompts\n{video},a cat,a dog |\n", encoding="utf-8")
  (job,) = manifest.read(path, base, tmp_path / "many")
  assert job.name == name and job.workdir == tmp_path / "many" / name
  assert job.settings.sampling.prompts == ("a dog",)


def test_every_reader_of_json_lines_takes_them_alike(tmp_path, base):
  """A byte order mark; U+2028 in a caption; blank lines; CRLF."""
  caption = "a \u2028 car"
  shutil.copy(VIDEO, tmp_path / "2.mp4")
  lines = "\ufeff\n" + json.dumps({
      "file_name": "2.mp4", "text": caption, "video": "2.mp4",
      "caption": caption, "prompts": caption}, ensure_ascii=False) + "\r\n"
  for name in ("metadata.jsonl", "videos.jsonl"):
    (tmp_path / name).write_text(lines, encoding="utf-8", newline="")
  assert [row.caption for row in folder._rows(tmp_path)] == [caption]
  assert [row.prompt for row in systems.read(tmp_path)] == [caption]
  for name in ("file_name", "text"):
    row = {"file_name": "2.mp4", "text": caption} | {name: 5}
    (tmp_path / "metadata.jsonl").write_text(json.dumps(row))
    for read in (folder._rows, systems.read):
      with pytest.raises(InputError, match=r"metadata\.jsonl line 1: "):
        read(tmp_path)
  with pytest.raises(InputError, match="line 2: unknown column 'file_name'"):
    manifest.read(tmp_path / "videos.jsonl", base, tmp_path)


@pytest.mark.parametrize("name", [
    "screen-12:30.mp4", "file:x.mp4", "-y.mp4", "a\nb c.mp4", "%d.mp4",
    "#1?.mp4", "x" * 251 + ".mp4", "\u732b" * 83 + ".mp4", "a'b\"$(x)`.mp4"])
def test_a_file_of_any_name_is_tuned_on(tmp_path, base, monkeypatch, name):
  monkeypatch.chdir(tmp_path)
  shutil.copy(VIDEO, tmp_path / name)
  path = pathlib.Path("videos.jsonl")
  path.write_text(json.dumps({"video": name, "caption": "a", "prompts": "b"}))
  (job,) = manifest.read(path, base, pathlib.Path("many"))
  assert job.workdir.parent == pathlib.Path("many")
  job.workdir.mkdir(parents=True)
  found = video.read(
      job.settings.video.path, start=0, stride=1, frames=2, width=64, height=64)
  expected = video.read_all(VIDEO)[:2]
  np.testing.assert_array_equal(found.frames, expected)


WILD = (
    "../../etc", "..", ".", "", "a/b", "a\\b", "-rf", ".hidden", "a\nb",
    "12:30", "it's", "$(x)", "a" * 251, "\u732b" * 83, "a\u202eb", "ends. ",
    "a\x00b", "\udce9", "<script>", "con?")


def test_folders_of_wild_names_are_safe_and_distinct(tmp_path):
  found = [names.folder(text) for text in WILD]
  assert len({name.casefold() for name in found}) == len(WILD)
  for text, name in zip(WILD, found, strict=True):
    assert name != text and names.folder(name) == name
    assert len(name.encode()) < 200 and name[0] not in "-. "
    (tmp_path / name).mkdir()
    assert (tmp_path / name).resolve().parent == tmp_path.resolve()


@pytest.mark.parametrize("rest,told", [
    ("cat.mp4,a,b,../x\n", "line 2: name '../x': expected the name of a dir"),
    ("a.mp4,a,b,\nb/A.mp4,a,b,\n", "line 3: another video is called 'A' too"),
    ("a.mp4,a,b,x\nb.mp4,a,b,X\n", "line 3: another video is called 'X' too"),
    ("a.mp4,,b,\n", "line 2: no 'caption'"),
])
def test_names_that_will_not_do(tmp_path, base, rest, told):
  path = tmp_path / "videos.csv"
  path.write_text("video,caption,prompts,name\n" + rest)
  with pytest.raises(InputError, match=r"videos\.csv ") as error:
    manifest.read(path, base, tmp_path)
  assert told in str(error.value)


def test_a_file_is_found_whose_name_is_composed_differently(tmp_path):
  there = tmp_path / unicodedata.normalize("NFD", "caf\u00e9.mp4")
  there.touch()
  asked = tmp_path / "caf\u00e9.mp4"
  assert names.find(asked) == there
  assert names.find(tmp_path / "cafe.mp4") == tmp_path / "cafe.mp4"
  long = tmp_path / ("a" * 300)
  assert names.find(long) == long and names.find(pathlib.Path("x\0")).name
  assert names.at_home("~nobody-here/x") == pathlib.Path("~nobody-here/x")
  assert names.at_home("~/x") == pathlib.Path.home() / "x"


@pytest.mark.parametrize("reader", [
    lambda path: video.read(
        path, start=0, stride=1, frames=1, width=8, height=8),
    lambda path: folder.CaptionedFolder(
        folder=path, data_dir="", size=8, frames=1, stride=1),
    video.read_all, tav_jax.load_pretrained])
def test_the_home_of_nobody_is_named(reader):
  with pytest.raises(InputError, match="~nobody-here/x"):
    reader("~nobody-here/x")


def test_a_pipe_is_no_list(tmp_path, base):
  os.mkfifo(tmp_path / "videos.csv")
  with pytest.raises(InputError, match="of another kind; expected a table"):
    manifest.read(tmp_path / "videos.csv", base, tmp_path)


@pytest.mark.parametrize("change", [
    lambda base: base.video.update(caption="a cat \udce9"),
    lambda base: base.sampling.update(prompts=("a", "a \0 cat")),
    lambda base: base.sampling.update(negative_prompt="\ud83d"),
])
def test_texts_that_are_no_unicode(base, change):
  with base.unlocked():
    base.video.caption, base.sampling.prompts = "\u732b", ("\U0001f408 \x1b",)
  settings.check(settings.of(base.to_dict()))
  change(base)
  with pytest.raises(InputError, match="expected Unicode"):
    settings.check(settings.of(base.to_dict()))


def test_slugs_keep_all_scripts():
  assert names.slug("A Dog's bone, 4K!") == "a-dog-s-bone-4k"
  assert names.slug("\u732b\u304c \u6b69\u304f") == "\u732b\u304c-\u6b69\u304f"
  assert names.slug("../../etc/\n") == "etc" and names.slug("\U0001f408") == ""
