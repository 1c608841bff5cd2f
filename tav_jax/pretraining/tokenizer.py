"""The tokenizer stage: CLIP's byte-pair encoding, learned from captions.

CLIP's rules (arXiv 2103.00020, Sec. 2.4): lower case, words end in `</w>`,
merges stay within a word. The vocabulary is ordered as CLIP's: bytes, bytes
that end a word, merges, then the two special tokens.
"""

from collections.abc import Iterable
import json
import logging
import pathlib
import tempfile

import tokenizers
from tokenizers import models, normalizers, pre_tokenizers, trainers
import transformers

from tav_jax.data import atomic

log = logging.getLogger(__name__)

_START, _END = "<|startoftext|>", "<|endoftext|>"
_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def train(
    directory: pathlib.Path, captions: Iterable[str], vocab_size: int,
    positions: int,
) -> transformers.CLIPTokenizer:
  """Learns a tokenizer and writes it to `directory`, unless one is there.

  Args:
    directory: Directory of `vocab.json`, `merges.txt` and the other files.
    captions: Captions to learn from.
    vocab_size: Most tokens; 514 of them are the bytes and special tokens.
    positions: Most tokens of a text that the text encoder will read.
  """
  if not (directory / "tokenizer_config.json").exists():
    _write(directory, captions, vocab_size, positions)
  tokenizer = transformers.CLIPTokenizer.from_pretrained(directory)
  log.info("tokenizer: %d tokens", len(tokenizer))
  return tokenizer


def _write(directory, captions, vocab_size, positions) -> None:
  split = tokenizers.Regex(_WORDS)
  bpe = tokenizers.Tokenizer(models.BPE(
      unk_token=_END, continuing_subword_prefix="", end_of_word_suffix="</w>"))
  bpe.normalizer = normalizers.Sequence([
      normalizers.NFC(), normalizers.Replace(tokenizers.Regex(r"\s+"), " "),
      normalizers.Lowercase()])
  bpe.pre_tokenizer = pre_tokenizers.Sequence([
      pre_tokenizers.Split(split, "removed", invert=True),
      pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
  alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
  bpe.train_from_iterator(captions, trainers.BpeTrainer(
      vocab_size=vocab_size, end_of_word_suffix="</w>", show_progress=False,
      initial_alphabet=alphabet, min_frequency=2))
  merges = [
      tuple(merge) for merge in json.loads(bpe.to_str())["model"]["merges"]]
  words = alphabet + [letter + "</w>" for letter in alphabet]
  merges = merges[:vocab_size - len(words) - 2]
  words = list(dict.fromkeys(words + ["".join(merge) for merge in merges]))
  words += [_START, _END]
  with (
      tempfile.TemporaryDirectory() as scratch,
      atomic.replacing(directory) as partial):
    vocab = pathlib.Path(scratch) / "vocab.json"
    rules = pathlib.Path(scratch) / "merges.txt"
    vocab.write_text(json.dumps({word: i for i, word in enumerate(words)}))
    rules.write_text("\n".join(
        ["#version: 0.2"] + [" ".join(merge) for merge in merges]) + "\n")
    transformers.CLIPTokenizer(
        str(vocab), str(rules), model_max_length=positions, pad_token=_END,
    ).save_pretrained(partial)
