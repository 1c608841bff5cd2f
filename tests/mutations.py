"""Seeded damage to files: bytes, lengths in headers, values of JSON."""

from collections.abc import Callable
import json
import random
import re
import struct
from typing import Any
import zlib

import msgpack
import yaml

_EXTREMES = (
    0, 1, 2, 127, 128, 255, 256, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000,
    0xFFFFFFFF, 10**9, 2**40, 2**63 - 1, 2**63, 2**64 - 1)
# Values of JSON where another was expected; texts of JSON, and of none.
_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 3, 10**6, 10**9, 2**31, 2**63, 10**30,
    10**400, 0.0, -0.5, 0.1, 1.0, 1e-320, 1e308, "", " ", "3", "nan", "-1",
    "true", "a" * 100_000, "\u732b", "a\u2028b\n\x1b", "../../x", "/dev/zero",
    "-", "=1+1", [], {}, [[]], [{}], {"a": 1}, {"": None}, [None], ["a", 1],
    list(range(50_000)), {str(i): i for i in range(20_000)},
    {"a": {"a": {"a": {"a": {}}}}})
_TEXTS = (
    "NaN", "-Infinity", "1e999", "-1e999", "9" * 5000, "0x10", "1_000", "01",
    "[" * 100_000, "[" * 500 + "]" * 500, '{"a":' * 50_000,
    '{"a":' * 300 + "1" + "}" * 300, '"\\ud800"', '"\\u0000"', "'a'", "tru",
    "", '{"a": 1, "a": 2}', '"unclosed', "/* x */ 1", "1 2", "\x00")
_MARKS = (
    '"', "'", ",", ";", "\t", "\n", "\r", "\r\n", "\x00", "\ufeff", "\u2028",
    "|", "=", ":", ": ", "- ", "#", "{", "}", "[", "]", "*a ", "&a ", "!!int ",
    "!!python/name:os.system ", "<<: ", "%", "---\n", "? ", "> ", "| ", "@",
    ".inf", "1e999", "2020-01-01", "12:30:45", "~", "\\", "sep=,\n", "0" * 5000,
    "x" * 200_000, "[" * 3000, "{a: " * 3000, "- " * 3000, ",,,,", '""',
    "\ud7ff", "\U0001f408", "\x85", "\x1a")

Mutator = Callable[[bytes, random.Random], bytes]


def mutate(whole: bytes, suffix: str, rng: random.Random) -> bytes:
  """A file's bytes after one to three mutations fit for its format."""
  ways = _OF_FORMAT.get(suffix, ())
  for _ in range(rng.choice((1, 1, 1, 2, 3))):
    # Most damage must keep the format's frame, to come further than its front.
    way = rng.choice(ways) if ways and rng.random() < 0.7 else rng.choice(_ANY)
    try:
      whole = way(whole, rng)
    except (ValueError, KeyError, RecursionError, yaml.YAMLError,
            struct.error, TypeError, IndexError, OverflowError):
      whole = rng.choice(_ANY)(whole, rng)  # It was mutated too much to parse.
  return whole


# Bytes.


def _flip(whole: bytes, rng: random.Random) -> bytes:
  found = bytearray(whole or b"\0")
  for _ in range(rng.choice((1, 1, 2, 8, 64))):
    found[rng.randrange(len(found))] ^= 1 << rng.randrange(8)
  return bytes(found)


def _chunk(whole: bytes, rng: random.Random) -> tuple[int, int]:
  at = rng.randrange(len(whole) + 1)
  return at, min(len(whole), at + rng.choice((1, 4, 16, 256, len(whole))))


def _cut(whole: bytes, rng: random.Random) -> bytes:
  at = rng.randrange(len(whole) + 1)
  return whole[at:] if rng.random() < 0.1 else whole[:at]


def _delete(whole: bytes, rng: random.Random) -> bytes:
  at, end = _chunk(whole, rng)
  return whole[:at] + whole[end:]


def _double(whole: bytes, rng: random.Random) -> bytes:
  at, end = _chunk(whole, rng)
  return whole[:at] + whole[at:end] * rng.choice((2, 3, 50)) + whole[end:]


def _insert(whole: bytes, rng: random.Random) -> bytes:
  at, end = _chunk(whole, rng)
  new = rng.choice((rng.randbytes(rng.choice((1, 7, 300))), b"\0" * 40,
                    b"\xff" * 40, whole[rng.randrange(len(whole) + 1):]))
  return whole[:at] + new + whole[rng.choice((at, end)):]


def _field(whole: bytes, rng: random.Random) -> bytes:
  """A number in a header says something else."""
  size = rng.choice((1, 2, 4, 4, 8))
  names = list(re.finditer(rb"[A-Za-z]{4}", whole))
  places = [rng.randrange(len(whole) + 1), rng.randrange(min(len(whole), 64)+1)]
  if names:  # Boxes of mp4, chunks of PNG and WebP.
    places.append(rng.choice(names).start() - 4 + 2 * rng.randrange(40))
  at = max(0, rng.choice(places))
  value = rng.choice(_EXTREMES) % 256**size
  new = value.to_bytes(size, rng.choice(("little", "big")))
  return whole[:at] + new + whole[at + size:]


_ANY: tuple[Mutator, ...] = (_flip, _cut, _delete, _double, _insert, _field)


# JSON and other texts.


def _marks(whole: bytes, rng: random.Random) -> bytes:
  text = whole.decode()
  at = rng.randrange(len(text) + 1)
  mark = rng.choice(_MARKS)
  if rng.random() < 0.2:
    old = rng.choice((",", "\n", '"', " ", ":"))
    return text.replace(old, mark).encode()
  return (text[:at] + mark + text[at + rng.randrange(2):]).encode()


def _coded(whole: bytes, rng: random.Random) -> bytes:
  return whole.decode().encode(rng.choice(
      ("utf-8-sig", "utf-16", "utf-16-le", "utf-32", "utf-7")))


def _json(whole: bytes, rng: random.Random) -> bytes:
  return _dumps(_changed(json.loads(whole), rng), rng)


def _json_line(whole: bytes, rng: random.Random) -> bytes:
  lines = whole.split(b"\n")
  at = rng.choice([i for i, line in enumerate(lines) if line.strip()])
  return b"\n".join([
      *lines[:at], _json(lines[at], rng), *lines[at + 1:]])


def _yaml(whole: bytes, rng: random.Random) -> bytes:
  # JSON is YAML, but for texts of many lines.
  return _dumps(_changed(yaml.safe_load(whole), rng), rng)


def _dumps(value: Any, rng: random.Random) -> bytes:
  text = json.dumps(value, ensure_ascii=rng.random() < 0.5)
  return re.sub(
      r'"raw (\d+)"', lambda found: _TEXTS[int(found[1])], text).encode()


def _changed(value: Any, rng: random.Random) -> Any:
  """A copy in which one value, somewhere, is another."""
  if isinstance(value, dict | list) and value and rng.random() < 0.93:
    items = dict(value) if isinstance(value, dict) else list(value)
    key = rng.choice(
        list(items) if isinstance(items, dict) else range(len(items)))
    if rng.random() < 0.12:
      kept = items.pop(key)
      if isinstance(items, dict) and rng.random() < 0.5:
        items[rng.choice(("", "x", f"{key}x", "_" + key, "a.b", "\n", "\u732b"))
              ] = kept
      elif isinstance(items, list) and rng.random() < 0.7:
        items += [kept] * rng.choice((1, 2, 1000))
    else:
      items[key] = _changed(items[key], rng)
    return items
  way = rng.random()
  if way < 0.45:
    return rng.choice(_VALUES)
  if way < 0.6:
    return f"raw {rng.randrange(len(_TEXTS))}"
  if way < 0.75 and type(value) in (int, float):
    return rng.choice((
        -value, value + 1, value * 2, value * 1000, float(value), value // 2))
  return rng.choice((
      [value], {"a": value}, [value, value], str(value), repr(value) * 2))


# Archives.


def _safetensors(whole: bytes, rng: random.Random) -> bytes:
  (length,) = struct.unpack("<Q", whole[:8])
  header, data = whole[8:8 + length], whole[8 + length:]
  if rng.random() < 0.3:
    length = rng.choice((*_EXTREMES, length - 1, length + 1, len(whole)))
    return struct.pack("<Q", length) + header + data
  header = (_json if rng.random() < 0.8 else _field)(header, rng)
  return struct.pack("<Q", len(header)) + header + data


def _msgpack(whole: bytes, rng: random.Random) -> bytes:
  def within(code: int, data: bytes):  # An array: its shape, type and bytes.
    if rng.random() < 0.3:
      data = msgpack.packb(_changed(msgpack.unpackb(data), rng))
    return msgpack.ExtType(rng.choice((code, code, code, 2, 99)), data)

  tree = msgpack.unpackb(whole, ext_hook=within, strict_map_key=False)
  return msgpack.packb(
      _changed(tree, rng) if rng.random() < 0.5 else tree)


def _png(whole: bytes, rng: random.Random) -> bytes:
  """Chunks that say their sum, whatever is in them."""
  at, chunks = 8, []
  while at < len(whole):
    (length,) = struct.unpack(">I", whole[at:at + 4])
    chunks.append((whole[at + 4:at + 8], whole[at + 8:at + 8 + length]))
    at += 12 + length
  i = rng.choice((0, rng.randrange(len(chunks))))
  name, data = chunks[i]
  if rng.random() < 0.2:
    chunks.insert(rng.randrange(len(chunks) + 1), (name, data))
  else:
    chunks[i] = (name, rng.choice(_ANY)(data, rng))
  return whole[:8] + b"".join(
      struct.pack(">I", len(data)) + name + data
      + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks)


_TEXT = (_marks, _marks, _marks, _coded)
_OF_FORMAT: dict[str, tuple[Mutator, ...]] = {
    ".json": (_json, _json, _json, _json, _marks),
    ".jsonl": (_json_line, _json_line, _json_line, *_TEXT),
    ".yaml": (_yaml, _yaml, _marks, _marks, _marks),
    ".csv": _TEXT, ".tsv": _TEXT, ".txt": _TEXT,
    ".safetensors": (_safetensors,),
    ".msgpack": (_msgpack,),
    ".png": (_png, _field), ".gif": (_field,), ".tiff": (_field,),
    ".mp4": (_field,), ".mkv": (_field, _flip), ".webp": (_field,),
    ".webm": (_field, _flip), ".jpg": (_field, _flip), ".bmp": (_field,),
    ".avi": (_field,)}
