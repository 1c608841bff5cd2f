"""The tokenizer stage: CLIP's byte-pair encoding, learned from captions.

CLIP's rules (arXiv 2103.00020, Sec. 2.4): lower case, words end in `</w>`,
merges stay within a word. The vocabulary is ordered as CLIP's: bytes, bytes
that end a word, merges, then the two special tokens.
"""

from collections.abc import Iterable
import json
import logging
import pathlib

import tokenizers
from tokenizers import models, trainers

from tav_jax.data import atomic
from tav_jax.pretrained import vocabulary
from tav_jax.pretrained.tokenizer import (
  ALPHABET,
  clean,
  END,
  SPLIT,
  START,
  SUFFIX,
  Tokenizer,
)

log = logging.getLogger(__name__)


def train(
    directory: pathlib.Path, captions: Iterable[str], vocab_size: int,
    positions: int,
) -> Tokenizer:
  """Learns a tokenizer and writes it to `directory`, unless one is there.

  Args:
    directory: Directory of `vocab.json`, `merges.txt` and the other files.
    captions: Captions to learn from.
    vocab_size: Most tokens; 514 of them are the bytes and special tokens.
    positions: Most tokens of a text that the text encoder will read.
  """
  if not (directory / "tokenizer_config.json").exists():
    _write(directory, captions, vocab_size, positions)
  tokenizer = vocabulary.load_tokenizer(directory)
  log.info("tokenizer: %d tokens", len(tokenizer))
  return tokenizer


def _write(directory, captions, vocab_size, positions) -> None:
  bpe = tokenizers.Tokenizer(models.BPE(
      unk_token=END, continuing_subword_prefix="", end_of_word_suffix=SUFFIX))
  bpe.pre_tokenizer = SPLIT
  bpe.train_from_iterator(map(clean, captions), trainers.BpeTrainer(
      vocab_size=vocab_size, end_of_word_suffix=SUFFIX, show_progress=False,
      initial_alphabet=ALPHABET, min_frequency=2))
  merges = [
      tuple(merge) for merge in json.loads(bpe.to_str())["model"]["merges"]]
  words = ALPHABET + [letter + SUFFIX for letter in ALPHABET]
  merges = merges[:vocab_size - len(words) - 2]
  words = list(dict.fromkeys(words + ["".join(merge) for merge in merges]))
  vocab = {word: i for i, word in enumerate([*words, START, END])}
  with atomic.replacing(directory) as partial:
    Tokenizer(vocab, merges, positions).save_pretrained(partial)
