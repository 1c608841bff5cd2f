"""Names of files and folders that come from texts of users."""

import hashlib
import os
import pathlib
import re
import unicodedata

_RESERVED = set("<>:\"/\\|?*'`$;&!#%{}[]")  # By systems, shells or URLs.
_MOST = 150  # Bytes, of the 255 that a name may have.


def folder(text: str) -> str:
  """A name for a folder: the text itself where every system accepts that.

  It has no separators, control characters or quotes, begins with no dash or
  dot, is short enough for endings to be added, and differs for other texts: one
  that had to be changed ends with a hash of the text. Letters of all scripts
  stay, in composed form (NFC), as do spaces.
  """
  composed = unicodedata.normalize("NFC", text)
  name = "".join(
      c if c.isprintable() and c not in _RESERVED else "-" for c in composed)
  if composed and name.strip(" .-") == composed and (
      len(name.encode()) <= _MOST):
    return name
  digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]
  short = re.sub("--+", "-", name).encode()[:_MOST - 9].decode(errors="ignore")
  return f"{short.strip(' .-')}-{digest}".lstrip("-")


def slug(text: str, most: int = 60) -> str:
  """Small letters of any script, digits and single dashes; may be empty."""
  composed = unicodedata.normalize("NFC", text.lower())
  return re.sub(r"[\W_]+", "-", composed)[:most].strip("-")


def at_home(path: str | os.PathLike[str]) -> pathlib.Path:
  """The path; `~` and `~user` are a home, unless the user is not known."""
  return pathlib.Path(os.path.expanduser(path))


def find(path: pathlib.Path) -> pathlib.Path:
  """The path, or that of a file beside it whose name is composed differently.

  A list made on macOS may name "café" in other code points than the disk.
  """
  if os.path.exists(path):
    return path
  wanted = unicodedata.normalize("NFC", path.name)
  try:
    return next((
        path.with_name(name) for name in os.listdir(path.parent)
        if unicodedata.normalize("NFC", name) == wanted), path)
  except (OSError, ValueError):
    return path
