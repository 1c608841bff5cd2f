"""Texts give the ids of OpenAI's published code, from every form of files."""

import json
import pathlib
import shutil

from conftest import DATA
import pytest
import transformers

import tav_jax
from tav_jax import pretrained
from tav_jax.errors import InputError
from tav_jax.pretrained import files
from tav_jax.pretrained.parts import token_ids
from tav_jax.pretrained.vocabulary import load_tokenizer

pytestmark = pytest.mark.versions
STORYBOOK = files.locate("storybook") / "tokenizer"  # Saved by transformers 4.
NEWEST = DATA / "transformers5_tokenizer"  # By transformers 5.

# What CLIP's `simple_tokenizer.py` (github.com/openai/CLIP, with ftfy 6.3)
# gives for these texts with the storybook's merges.
IDS = {
    "a man is skiing on the snow": [320, 532, 515, 551, 517, 516, 589],
    "A  Panda\t\n IS Dancing ": [320, 596, 515, 554],
    "雪の中でスキーをする男": [
        165, 249, 103, 159, 223, 106, 160, 116, 255, 159, 223, 100, 159, 224,
        117, 159, 224, 255, 159, 225, 120, 159, 224, 240, 159, 223, 247, 159,
        224, 233, 163, 242, 371],
    "一个男人在滑雪，背景是雪山。": [
        160, 116, 222, 160, 116, 103, 163, 242, 115, 160, 118, 118, 161, 250,
        101, 162, 119, 239, 165, 249, 359, 267, 164, 225, 234, 162, 247, 107,
        162, 246, 107, 165, 249, 103, 161, 109, 365, 159, 222, 480],
    "한국어 panda": [169, 243, 250, 166, 113, 255, 168, 244, 368, 596],
    "\U0001f43c is surfing \U0001f3c4\u200d\u2642\ufe0f!!": [
        172, 253, 238, 376, 515, 542, 172, 253, 237, 226, 158, 222, 235, 158,
        247, 224, 171, 116, 237, 0, 256],
    "cafe\u0301 caf\xe9 \xc9CLAIR": [
        66, 64, 69, 127, 358, 66, 64, 69, 127, 358, 127, 102, 66, 75, 64, 72,
        337],
    "it's the rabbit's, they'll don't": [
        583, 6, 338, 516, 585, 6, 338, 267, 83, 71, 68, 344, 6, 75, 331, 67,
        517, 6, 339],
    "he said “hello” – it’s…": [
        514, 82, 64, 72, 323, 257, 71, 555, 75, 334, 257, 158, 222, 497, 583, 6,
        338, 158, 222, 355],
    "1234 9½ ٣": [272, 273, 274, 275, 280, 126, 377, 149, 352],
    "a\x00 \x1b[31mred\x1b[0m\u200b man\ufeff": [
        320, 559, 158, 222, 489, 532],
    "fish &amp; chips &lt;3 &amp;lt;": [
        69, 72, 82, 327, 261, 66, 71, 72, 79, 338, 283, 274, 283],
    "Ａ ｋ，ﾊﾟﾝﾀﾞ": [320, 330, 267, 159, 225, 239, 159, 225, 111, 159, 225, 478],
    "ﬁne ĳ": [69, 512, 324, 72, 329],
    "İSTANBUL ΣΟΦΟΣ": [
        328, 136, 485, 535, 526, 65, 84, 331, 139, 225, 138, 123, 139, 228, 138,
        123, 139, 480],
    "<|endoftext|> a <|STARTOFTEXT|>!": [613, 320, 612, 256],
    "!<|endoftext|>": [
        0, 27, 347, 566, 67, 78, 69, 83, 68, 87, 339, 91, 285],
    "doesn\xc3\xa2\xe2\u201a\xac\xe2\u201e\xa2t": [
        67, 78, 68, 82, 333, 6, 339],
    "a_b-c/d.e #1 @x": [
        320, 318, 321, 268, 322, 270, 323, 269, 324, 258, 272, 287, 343],
    "\ud800 x": [171, 123, 377, 343],
    "": [],
}


@pytest.mark.parametrize("directory", [STORYBOOK, NEWEST], ids=["4", "5"])
def test_ids_are_clips_own(directory):
  tokenizer = load_tokenizer(directory)
  assert tokenizer.model_max_length == 24
  found = tokenizer(list(IDS)).input_ids
  assert dict(zip(IDS, found, strict=True)) == {
      text: [612, *ids, 613] for text, ids in IDS.items()}


def test_what_is_written_loads_in_transformers_and_back(tmp_path):
  """4.57 then writes vocab.json and merges.txt, 5 tokenizer.json alone."""
  ours = load_tokenizer(NEWEST)
  ours.save_pretrained(tmp_path)
  theirs = transformers.CLIPTokenizer.from_pretrained(tmp_path)
  texts = [text for text in IDS if text.isascii() and "&" not in text
           and "|" not in text and text.isprintable()]
  assert theirs(texts).input_ids == ours(texts).input_ids
  padded = dict(padding="max_length", truncation=True, max_length=6)
  assert theirs(texts, **padded).input_ids == ours(texts, **padded).input_ids
  assert theirs.model_max_length == 24
  (tmp_path / "again").mkdir()
  theirs.save_pretrained(tmp_path / "again")
  again = load_tokenizer(tmp_path / "again")
  assert again.get_vocab() == ours.get_vocab()
  assert again(list(IDS)).input_ids == ours(list(IDS)).input_ids


def test_texts_that_are_too_long_end_with_the_end():
  tokenizer = load_tokenizer(STORYBOOK)
  ids, cut = token_ids(tokenizer, 5, ["a man is skiing", "a man", ""])
  assert ids.tolist() == [
      [612, 320, 532, 515, 613], [612, 320, 532, 613, 613],
      [612, 613, 613, 613, 613]]
  assert cut == ["skiing", "", ""]


def test_another_word_may_fill_up(tmp_path):
  """Stable Diffusion 2 fills up with the first word of the vocabulary."""
  copy = shutil.copytree(NEWEST, tmp_path / "copy")
  change(copy / "tokenizer_config.json", lambda x: x.update(pad_token="!"))
  ids, _ = token_ids(load_tokenizer(copy), 4, ["!"])
  assert ids.tolist() == [[612, 256, 613, 0]]


def change(file: pathlib.Path, how):
  values = json.loads(file.read_text())
  how(values)
  file.write_text(json.dumps(values))


def vocab(how):
  return lambda x: how(x["model"]["vocab"])


@pytest.mark.parametrize("file,how,says", [
    ("tokenizer.json", vocab(lambda x: x.update({"<cat>": 614})),
     "1 words come from no merge, such as '<cat>'.*textual inversion"),
    ("tokenizer.json", vocab(lambda x: x.update({"a</w>": 999})),
     "ids of 614 words are not 0 to 613"),
    ("tokenizer.json", vocab(lambda x: x.update({"a</w>": "3"})), "ids of"),
    ("tokenizer.json", vocab(lambda x: x.pop("skiing</w>")), "ids of 613"),
    ("tokenizer.json", lambda x: x["model"]["merges"].append(["a", "q"]),
     "the merge 'a' with 'q' needs the word 'aq'"),
    ("tokenizer.json", lambda x: x["model"]["merges"].append(7), "merge 7"),
    ("tokenizer.json", lambda x: x["model"].update(end_of_word_suffix=None),
     "not a CLIP tokenizer"),
    ("tokenizer.json", lambda x: x.update(model=None), "not a CLIP tokenizer"),
    ("tokenizer.json", lambda x: x["model"].update(vocab=[]), "missing"),
    ("tokenizer.json", lambda x: x["added_tokens"].append(3), "has 3; exp"),
    ("tokenizer_config.json", lambda x: x.update(bos_token="<s>"),
     r"bos_token is '<s>'; expected '<\|startoftext\|>'"),
    ("tokenizer_config.json", lambda x: x.update(pad_token="[PAD]"),
     r"pad_token is '\[PAD\]'"),
    ("tokenizer_config.json", lambda x: x.update(pad_token=["a"]), "pad_token"),
    ("tokenizer_config.json", lambda x: x.update(model_max_length="24"),
     "model_max_length is '24'; expected a whole number"),
    ("tokenizer_config.json", lambda x: x.update(tokenizer_class="T5Tokenizer"),
     "tokenizer_class is 'T5Tokenizer'; expected 'CLIPTokenizer'")])
def test_other_tokenizers_are_refused(tmp_path, file, how, says):
  copy = shutil.copytree(NEWEST, tmp_path / "copy")
  change(copy / file, how)
  with pytest.raises(InputError, match=rf"copy.*{says}") as error:
    load_tokenizer(copy)
  assert "\n" not in str(error.value)


def test_two_forms_that_differ_are_refused(tmp_path):
  copy = shutil.copytree(NEWEST, tmp_path / "copy", dirs_exist_ok=True)
  for name in ("vocab.json", "merges.txt"):
    shutil.copy(STORYBOOK / name, copy)
  load_tokenizer(copy)
  lines = (copy / "merges.txt").read_text().split("\n")
  lines[3], lines[4] = lines[4], lines[3]
  (copy / "merges.txt").write_text("\n".join(lines))
  with pytest.raises(InputError, match=r"vocab.json and tokenizer.json have"):
    load_tokenizer(copy)


def without_weights(tmp_path, changes: dict) -> pathlib.Path:
  """The embedded checkpoint with another text encoder, without weights."""
  copy = shutil.copytree(
      files.locate("storybook"), tmp_path / "copy",
      ignore=shutil.ignore_patterns("*.safetensors", "clip"))
  change(copy / "text_encoder/config.json", lambda x: x.update(changes))
  return copy


@pytest.mark.parametrize("changes,says", [
    ({"vocab_size": 613}, "614 words, .* embeddings for 613"),
    ({"eos_token_id": 612}, "eos_token_id is 613, .*text encoder's is 612"),
    ({"bos_token_id": 5}, "bos_token_id is 612, .* is 5"),
    # What transformers writes where nothing was said: before 4.30, and since.
    ({"eos_token_id": 2}, "unet: no weights"),
    ({"bos_token_id": 49406}, "unet: no weights")])
def test_words_without_embeddings_are_refused_before_anything_is_read(
    tmp_path, changes, says):
  copy = without_weights(tmp_path, changes)
  with pytest.raises(InputError, match=says):
    tav_jax.load_pretrained(copy)


def test_a_clips_words_too(tmp_path):
  copy = shutil.copytree(
      files.locate("storybook") / "clip", tmp_path / "clip",
      ignore=shutil.ignore_patterns("*.safetensors"))
  change(copy / "config.json", lambda x: x["text_config"].update(
      vocab_size=600))
  with pytest.raises(InputError, match=r"614 words, .* for 600"):
    pretrained.load_clip(copy)
