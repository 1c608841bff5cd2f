"""A decoded picture as a person sees it.

Upright, in sRGB, eight bits a channel, on white where it is transparent.
"""

from collections.abc import Mapping
import io
import logging
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageOps

log = logging.getLogger(__name__)

_WHITE = (255, 255, 255)
# Tags of TIFF 6.0.
_BITS, _PHOTOMETRIC, _PLANES, _SIGNS = 258, 262, 284, 339


def seen(image: Image.Image) -> Image.Image:
  """A picture as a person sees it: upright RGB, on white.

  Args:
    image: The picture, which is changed: large ones are not copied.
  """
  image.load()
  profile, kept = image.info.get("icc_profile"), image.format
  tags = dict(getattr(image, "tag_v2", {}))
  ImageOps.exif_transpose(image, in_place=True)
  alpha = None
  if image.mode.startswith("I") and "transparency" in image.info:
    opaque = np.asarray(image) != image.info.pop("transparency")
    alpha = Image.fromarray(np.uint8(255) * opaque)
  elif image.has_transparency_data:
    if image.mode != "RGBA":
      image = image.convert("RGBA")
    alpha = image.getchannel("A")
    image = image.convert("RGB")
  image = _in_srgb(_eight_bits(image, kept in ("PNG", "PPM"), tags), profile)
  return image if alpha is None else on_white(image, alpha)


def on_white(image: Image.Image, alpha: Image.Image) -> Image.Image:
  """An RGB picture on white; `alpha` says how much of it hides the white."""
  white = Image.new("RGB", image.size, _WHITE)
  white.paste(image, mask=alpha)
  return white


def _eight_bits(
    image: Image.Image, has_16: bool, tags: Mapping[int, Any]
) -> Image.Image:
  """Greys of 16 or 32 bits and of floating point, scaled to eight bits.

  Args:
    image: Any picture; others are given back.
    has_16: Whether 32 bits hold 16, as of PNG and PPM.
    tags: Those of a TIFF, by number.

  Raises:
    ValueError: If values are not finite, or Pillow would mistake them.
  """
  bits = max(tags.get(_BITS, (8,)))
  if bits > 8 and tags.get(_PLANES) == 2:
    raise ValueError(f"{bits} bits, one channel after the other")
  if not image.mode.startswith(("I", "F")):
    return image
  values = np.asarray(image)
  whites = [255.0, 65535.0, 2.0**31 - 1]
  if image.mode == "F":
    if not np.isfinite(values).all():
      raise ValueError("it has values that are not finite")
    whites.insert(0, 1.0)
  elif image.mode.startswith("I;16") or has_16:
    whites = [65535.0]
  elif bits == 32 and tags.get(_SIGNS, (1,))[0] == 1:
    values, whites[-1] = values.view(np.uint32), 2.0**32 - 1
  # The least of the usual whites that no value exceeds.
  white = next((x for x in whites if values.max() <= x), values.max())
  scaled = values.astype(np.float32)
  scaled *= np.float32(255 / white)
  if tags.get(_PHOTOMETRIC) == 0:  # White is zero.
    np.subtract(255, scaled, out=scaled)
  np.rint(scaled.clip(0, 255, out=scaled), out=scaled)
  return Image.fromarray(scaled.astype(np.uint8))


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
  """RGB in sRGB, by the picture's colour profile if it has one.

  Args:
    image: A picture of eight bits a channel, without transparency.
    profile: An ICC profile. One that cannot be used is said and ignored, as
      browsers ignore it.
  """
  if image.mode not in ("L", "RGB", "CMYK", "LAB"):
    image = image.convert("RGB")
  source: Any = None
  try:
    if profile:
      source = ImageCms.getOpenProfile(io.BytesIO(profile))
      if "srgb" in ImageCms.getProfileDescription(source).lower():
        source = None
    elif image.mode == "LAB":
      source = ImageCms.createProfile("LAB")
    if source:
      changed = ImageCms.buildTransform(
          source, ImageCms.createProfile("sRGB"), image.mode, "RGB")
      return changed.apply(image)
  except (ImageCms.PyCMSError, OSError, ValueError) as error:
    log.warning("a colour profile cannot be used: %s", error)
  return image if image.mode == "RGB" else image.convert("RGB")
