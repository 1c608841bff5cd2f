"""The files of a CLIP tokenizer, in both forms that transformers writes.

Until version 4: `vocab.json` and `merges.txt`. Version 5 writes
`tokenizer.json` alone. `tokenizer_config.json` is beside either. Only words,
merges and lengths are read: the rules are CLIP's, whatever a file says.
"""

from collections.abc import Mapping
import pathlib
from typing import Any

from tav_jax.errors import InputError
from tav_jax.models.clip import CLIPTextConfig
from tav_jax.pretrained import foreign_files, weights
from tav_jax.pretrained.reader import shown
from tav_jax.pretrained.tokenizer import (
  ALPHABET,
  END,
  START,
  SUFFIX,
  Tokenizer,
)

_NEEDED = (
    "expected vocab.json and merges.txt of a CLIP tokenizer there, or "
    "tokenizer.json")
_UNLIMITED = 10**6  # transformers writes 10^30 where it knows no length.

Words = tuple[dict[str, Any], list[tuple[str, str]]]  # Ids, unchecked.


def load_tokenizer(directory: pathlib.Path) -> Tokenizer:
  """The CLIP tokenizer in a directory.

  Raises:
    InputError: If there is none, it is cut or changed, or it is another kind.
  """
  found = {}
  if (directory / "vocab.json").is_file() and (
      directory / "merges.txt").is_file():
    found["vocab.json"] = _two_files(directory)
  if (directory / "tokenizer.json").is_file():
    found["tokenizer.json"] = _one_file(directory / "tokenizer.json")
  if not found:
    raise InputError(f"{directory}: not a CLIP tokenizer; {_NEEDED}")
  (name, (vocab, merges)), *others = found.items()
  for other, words in others:
    if words != (vocab, merges):
      raise InputError(
          f"{directory}: {name} and {other} have different words; expected the "
          "same in both: remove the one that is not the text encoder's")
  source = directory / name
  _check(vocab, merges, source)
  config = directory / "tokenizer_config.json"
  said = weights.read_json(config) if config.is_file() else {}
  special = directory / "special_tokens_map.json"
  said = (weights.read_json(special) if special.is_file() else {}) | said
  pad = _check_special(said, vocab, config)
  return Tokenizer(vocab, merges, _length(said, config), pad)


def _two_files(directory: pathlib.Path) -> Words:
  vocab = weights.read_json(directory / "vocab.json")
  file = directory / "merges.txt"
  foreign_files.refuse_pointer(file)
  try:
    lines = file.read_text(encoding="utf-8").split("\n")
  except (OSError, UnicodeDecodeError) as error:
    raise InputError(f"{file}: not text in UTF-8 ({error})") from error
  pairs = [line.split(" ") for line in lines
           if line.strip() and not line.startswith("#version:")]
  return vocab, _pairs(pairs, file)


def _one_file(file: pathlib.Path) -> Words:
  values = weights.read_json(file)
  model = values.get("model")
  if not isinstance(model, dict) or model.get("end_of_word_suffix") != SUFFIX:
    raise InputError(
        f"{file}: not a CLIP tokenizer; expected a model of byte pairs whose "
        f"end_of_word_suffix is {SUFFIX!r}")
  vocab, merges, added = (
      model.get("vocab"), model.get("merges"), values.get("added_tokens", []))
  if not isinstance(vocab, dict) or not isinstance(merges, list) or (
      not isinstance(added, list)):
    raise InputError(
        f"{file}: vocab or merges are missing; copy or download it again")
  vocab = dict(vocab)
  for token in added:
    content = token.get("content") if isinstance(token, dict) else None
    if not isinstance(content, str):
      raise InputError(
          f"{file}: added_tokens has {shown(token)}; expected an object with "
          "id and content")
    vocab.setdefault(content, token.get("id"))
  return vocab, _pairs(
      [m.split(" ") if isinstance(m, str) else m for m in merges], file)


def _pairs(merges: list, file: pathlib.Path) -> list[tuple[str, str]]:
  for pair in merges:
    if not isinstance(pair, list) or len(pair) != 2 or not all(
        isinstance(word, str) for word in pair):
      raise InputError(
          f"{file}: the merge {shown(pair)} is none; expected two words; copy "
          "or download it again")
  return [(first, second) for first, second in merges]


def _check(vocab: Mapping, merges: list, source: pathlib.Path) -> None:
  """Whether these are words and merges of CLIP's form, and all of them."""
  ids = list(vocab.values())
  if any(type(i) is not int for i in ids) or sorted(ids) != list(
      range(len(ids))):
    raise InputError(
        f"{source}: the ids of {len(ids)} words are not 0 to {len(ids) - 1}; "
        "copy or download it again")
  base = [letter + end for end in ("", SUFFIX) for letter in ALPHABET]
  for word in (*base, START, END):
    if word not in vocab:
      raise InputError(
          f"{source}: has no {word!r}; expected the words of a CLIP tokenizer: "
          f"all bytes, with and without {SUFFIX!r}, {START!r} and {END!r}")
  made = {*base, START, END}
  for first, second in merges:
    for word in (first, second, first + second):
      if word not in vocab:
        raise InputError(
            f"{source}: the merge {first!r} with {second!r} needs the word "
            f"{word!r}, which is not there; copy or download both files again")
    made.add(first + second)
  more = sorted(vocab.keys() - made)
  if more:
    raise InputError(
        f"{source}: {len(more)} words come from no merge, such as {more[0]!r}; "
        "expected CLIP's words alone: a tokenizer with added words (textual "
        "inversion) cannot be read, and one that was cut is to be copied again")


def _check_special(said: Mapping, vocab: Mapping, file: pathlib.Path) -> str:
  """The padding token, if the others are CLIP's."""
  kind = said.get("tokenizer_class", "CLIPTokenizer")
  if kind not in ("CLIPTokenizer", "CLIPTokenizerFast"):
    raise InputError(
        f"{file}: tokenizer_class is {shown(kind)}; expected 'CLIPTokenizer'")
  special = {
      key: value.get("content") if isinstance(value, dict) else value
      for key, value in said.items() if key.endswith("_token")}
  for key, usual in (("bos_token", START), ("eos_token", END)):
    value = special.get(key) or usual
    if value != usual:
      raise InputError(f"{file}: {key} is {shown(value)}; expected {usual!r}")
  pad = special.get("pad_token") or END
  if not isinstance(pad, str) or pad not in vocab:
    raise InputError(
        f"{file}: pad_token is {shown(pad)}; expected a word of the tokenizer")
  return pad


def _length(said: Mapping, file: pathlib.Path) -> int:
  length = said.get("model_max_length", 77)
  if isinstance(length, float) and length.is_integer():
    length = int(length)
  if type(length) is not int or length < 2:
    raise InputError(
        f"{file}: model_max_length is {shown(length)}; expected a whole number "
        "of tokens, 2 or more")
  return length if length < _UNLIMITED else 77


def check_text(
    tokenizer: Tokenizer, config: CLIPTextConfig, said: Mapping[str, Any],
    source: pathlib.Path,
) -> None:
  """Checks that a text encoder has the tokenizer's words and special tokens.

  Args:
    tokenizer: The tokenizer.
    config: The text encoder's config.
    said: The file of that config, of which the ids of special tokens count.
    source: Where the tokenizer is, for the error message.

  Raises:
    InputError: If it has not.
  """
  if len(tokenizer) > config.vocab_size:
    raise InputError(
        f"{source}: {len(tokenizer)} words, and the text encoder has "
        f"embeddings for {config.vocab_size}; expected the tokenizer that the "
        "text encoder was trained with")
  for key, there, wrong, usual in (
      ("bos_token_id", tokenizer.bos_token_id, 0, 49406),
      ("eos_token_id", tokenizer.eos_token_id, 2, 49407)):
    value = said.get(key)
    # Files of transformers before 4.30 say 0 and 2, whatever the words are;
    # later ones, where nothing was said, the ids of OpenAI's words.
    unsaid = value in (None, wrong) or (
        value == usual and usual >= config.vocab_size)
    if value != there and not unsaid:
      raise InputError(
          f"{source}: its {key} is {there}, and the text encoder's is "
          f"{shown(value)}; expected the tokenizer that the text encoder was "
          "trained with")
