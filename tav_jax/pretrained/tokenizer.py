"""CLIP's tokenizer (arXiv 2103.00020, Sec. 2.4): texts to tokens and back.

A text gives the ids that OpenAI's published code gives, from whichever files:

  1. It is mended (ftfy: quotes, full-width letters, control characters), HTML
     entities are resolved, white space becomes single spaces, letters small.
  2. `_WORDS` cuts words, single digits and runs of other characters. Chinese
     and Japanese have no spaces: what stands between two signs is one word.
  3. A word's bytes are merged in pairs, in the order of the merges; its last
     byte carries `</w>`.
  4. A start token comes before them, an end token after them.

transformers' own classes differ from this in 1, and from version to version.
"""

from collections.abc import Mapping, Sequence
import html
import json
import pathlib
from typing import NamedTuple

import ftfy
import tokenizers
from tokenizers import decoders, models, pre_tokenizers

START, END = "<|startoftext|>", "<|endoftext|>"
_WORDS = tokenizers.Regex(
    r"<\|startoftext\|>|<\|endoftext\|>|(?i:'s|'t|'re|'ve|'m|'ll|'d)"
    r"|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+")
ALPHABET = sorted(pre_tokenizers.ByteLevel.alphabet())
"""The signs that stand for the 256 bytes, as CLIP's vocabulary orders them."""
SUFFIX = "</w>"
SPLIT = pre_tokenizers.Sequence([
    pre_tokenizers.Split(_WORDS, "removed", invert=True),
    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
"""A cleaned text's words, in those signs."""


class Tokens(NamedTuple):
  """What a tokenizer makes of a text, or of a list of texts."""

  input_ids: list


class Tokenizer:
  """A vocabulary with its merges; is called as transformers' tokenizers are.

  Attributes:
    bos_token_id: Id of the start token.
    eos_token_id: Id of the end token.
    pad_token_id: Id of what fills short texts up.
    model_max_length: Most tokens of a text that its text encoder reads.
  """

  def __init__(
      self, vocab: Mapping[str, int], merges: Sequence[tuple[str, str]],
      model_max_length: int = 77, pad_token: str = END,
  ):
    """Of a vocabulary of CLIP's form (`vocabulary` reads and checks it).

    Args:
      vocab: Ids of all bytes, with and without `</w>`, of what merges make,
        and of both special tokens.
      merges: Pairs, those to merge first before others.
      model_max_length: As the attribute.
      pad_token: The token that fills short texts up.
    """
    self._vocab, self._merges = dict(vocab), list(merges)
    self._words = {i: word for word, i in vocab.items()}
    self._bpe = models.BPE(
        vocab=self._vocab, merges=self._merges, end_of_word_suffix=SUFFIX)
    self._pad_token = pad_token
    self.bos_token_id, self.eos_token_id, self.pad_token_id = (
        self._vocab[word] for word in (START, END, pad_token))
    self.model_max_length = model_max_length

  def __len__(self) -> int:
    return len(self._vocab)

  def get_vocab(self) -> dict[str, int]:
    """The ids of all tokens."""
    return dict(self._vocab)

  def __call__(
      self, text: str | Sequence[str], padding: str | bool = False,
      truncation: bool = False, max_length: int | None = None,
  ) -> Tokens:
    """The ids of a text, or a list of ids for each of several texts.

    Args:
      text: One text or several.
      padding: "max_length" to fill up to that length.
      truncation: Whether to cut to that length; the end token stays.
      max_length: `model_max_length` by default.
    """
    if not isinstance(text, str):
      return Tokens([
          self(one, padding, truncation, max_length).input_ids for one in text])
    length = max_length or self.model_max_length
    ids = [self.bos_token_id, *self._encode(text)]
    if truncation:
      ids = ids[:length - 1]
    ids.append(self.eos_token_id)
    if padding == "max_length":
      ids += [self.pad_token_id] * (length - len(ids))
    return Tokens(ids)

  def _encode(self, text: str) -> list[int]:
    special = {START: self.bos_token_id, END: self.eos_token_id}
    ids: list[int] = []
    for word, _ in SPLIT.pre_tokenize_str(clean(text)):
      if word in special:
        ids.append(special[word])
      else:
        ids += [token.id for token in self._bpe.tokenize(word)]
    return ids

  def decode(
      self, ids: Sequence[int], skip_special_tokens: bool = False
  ) -> str:
    """The text of ids, cleaned and with a space after each word."""
    skipped = {self.bos_token_id, self.eos_token_id}
    words = [self._words[i] for i in ids
             if not (skip_special_tokens and i in skipped)]
    return decoders.ByteLevel().decode(words).replace(SUFFIX, " ").strip()

  def save_pretrained(self, directory: str | pathlib.Path) -> None:
    """Writes the files that every version of transformers reads."""
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    config = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": self.model_max_length,
        "bos_token": START, "eos_token": END, "unk_token": END,
        "pad_token": self._pad_token}
    for name, values in (("vocab.json", self._vocab),
                         ("tokenizer_config.json", config)):
      text = json.dumps(values, ensure_ascii=False, indent=2)
      (directory / name).write_text(text + "\n", encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in self._merges)]
    (directory / "merges.txt").write_text(
        "\n".join(lines) + "\n", encoding="utf-8")


def clean(text: str) -> str:
  """Step 1: what CLIP reads of a text."""
  text = html.unescape(html.unescape(ftfy.fix_text(text)))
  return " ".join(text.split()).lower()
