"""Each kind of picture, and folders of them; see docs/files.md."""

import json
import shutil
import struct
import zlib

from conftest import DATA
import numpy as np
from PIL import Image, ImageCms
import pytest
import quarters

from tav_jax.data import datasets, pictures, video
from tav_jax.errors import InputError
from tav_jax.evaluation import systems

CASES = DATA / "cases"
LEVELS = np.arange(256, dtype=np.uint8).reshape(16, 16)
WHITE = (255, 255, 255)


def saved(path, picture, **how):
  """What is seen of a picture that Pillow saves in the format of `path`."""
  if isinstance(picture, np.ndarray):
    picture = Image.fromarray(picture)
  picture.save(path, **how)
  seen = pictures.read(path)
  assert seen.mode == "RGB"
  return np.asarray(seen)


# The Exif standard's eight orientations (2.32, tag 0x0112).
@pytest.mark.parametrize(("orientation", "shown"), list(enumerate((
    "rgby", "gryb", "ybgr", "byrg", "rbgy", "bryg", "ygbr", "gyrb"), 1)))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_pictures_are_upright(tmp_path, suffix, orientation, shown):
  exif = Image.Exif()
  exif[0x0112] = orientation
  seen = saved(tmp_path / f"a.{suffix}", quarters.draw(16, 32), exif=exif)
  assert seen.shape == ((16, 32, 3) if orientation < 5 else (32, 16, 3))
  assert quarters.letters(seen) == shown


@pytest.mark.parametrize(("mode", "colour", "how", "expected"), [
    ("RGBA", (10, 20, 30, 0), {}, WHITE),
    ("RGBA", (10, 20, 30, 128), {}, (132, 137, 142)),
    ("LA", (10, 0), {}, WHITE),
    ("L", 9, {"transparency": 9}, WHITE),
    ("L", 9, {"transparency": 8}, (9, 9, 9)),
    ("RGB", (9, 8, 7), {"transparency": (9, 8, 7)}, WHITE),
    ("P", 3, {"transparency": 3}, WHITE),
    ("P", 3, {"transparency": b"\xff\xff\xff\x80"}, (129, 129, 129)),
    ("P", 3, {}, (3, 3, 3)),
    ("I;16", 900, {"transparency": 900}, WHITE),
    ("I;16", 25700, {"transparency": 900}, (100, 100, 100)),
    ("1", 1, {}, WHITE)])
def test_what_is_transparent_is_white(tmp_path, mode, colour, how, expected):
  picture = Image.new(mode, (4, 3), colour)
  if mode == "P":
    picture.putpalette(np.repeat(np.arange(256, dtype=np.uint8), 3).tobytes())
  seen = saved(tmp_path / "a.png", picture, **how)
  assert (seen == expected).all()


def test_noise_that_is_hidden_stays_hidden():
  for frame in video.read_all(CASES / "rgba"):
    assert quarters.show(frame, (quarters.R, quarters.G, WHITE, WHITE), 0)
    assert (frame[49:] == 255).all()


@pytest.mark.parametrize(("suffix", "values"), [
    ("png", LEVELS.astype(np.uint16) * 257),
    ("tif", LEVELS.astype(np.uint16) * 257),
    ("pgm", LEVELS.astype(np.uint16) * 257),
    ("tif", LEVELS.astype(np.int32) * 257),
    ("tif", LEVELS.astype(np.int32)),
    ("tif", LEVELS.astype(np.float32) / 255),
    ("tif", LEVELS.astype(np.float32))])
def test_deep_greys_are_scaled_not_cut(tmp_path, suffix, values):
  seen = saved(tmp_path / f"a.{suffix}", values)
  np.testing.assert_array_equal(seen, np.repeat(LEVELS[..., None], 3, -1))


def in_tiff(path, values, photometric=1, sign=1):
  """Writes greys of a type into a TIFF that says so, by TIFF 6.0."""
  bits = 8 * values.itemsize
  entries = [(256, 16), (257, 16), (258, bits), (259, 1), (262, photometric),
             (273, 134), (277, 1), (278, 16), (279, values.nbytes), (339, sign)]
  header = b"II*\0" + struct.pack("<IH", 8, len(entries)) + b"".join(
      struct.pack("<HHII", tag, 4 if tag in (273, 279) else 3, 1, value)
      for tag, value in entries) + bytes(4)
  path.write_bytes(header + values.tobytes())
  return pictures.read(path)


@pytest.mark.parametrize(("values", "photometric", "sign"), [
    (65535 - LEVELS.astype("<u2") * np.uint16(257), 0, 1),
    (LEVELS.astype("<u2") * np.uint16(257), 1, 1),
    (LEVELS.astype("<u4") * np.uint32(16843009), 1, 1),
    (LEVELS.astype("<i4") * 8421504, 1, 2),
    (255 - LEVELS, 0, 1)])
def test_greys_of_tiff_are_as_it_says(tmp_path, values, photometric, sign):
  seen = in_tiff(tmp_path / "a.tif", values, photometric, sign)
  np.testing.assert_array_equal(seen, np.repeat(LEVELS[..., None], 3, -1))


def test_deep_colours_are_scaled_not_cut(tmp_path):
  deep = quarters.draw().astype(np.uint16) * 257
  quarters.encode(tmp_path / "a.mov", [deep], "png", "rgb48be")
  content = (tmp_path / "a.mov").read_bytes()
  start, end = content.find(b"\x89PNG"), content.find(b"IEND") + 8
  (tmp_path / "a.png").write_bytes(content[start:end])
  assert quarters.show(pictures.read(tmp_path / "a.png"), within=0)


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_inks_become_colours(tmp_path, suffix):
  cmyk = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
  np.testing.assert_allclose(
      saved(tmp_path / f"a.{suffix}", cmyk)[4, 4], (255, 0, 0), atol=2)
  lab = Image.new("LAB", (8, 8), (136, 208, 195))  # L* 53, a* 80, b* 67: red.
  np.testing.assert_allclose(
      saved(tmp_path / "lab.tif", lab)[4, 4], (255, 0, 0), atol=12)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
def test_a_colour_profile_is_followed(tmp_path, suffix, caplog):
  """One with the primaries of red and blue in each other's place."""
  profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
  swapped = profile.replace(b"rXYZ", b"qXYZ", 1).replace(
      b"bXYZ", b"rXYZ", 1).replace(b"qXYZ", b"bXYZ", 1).replace(
          "sRGB".encode("utf-16-be"), "xRGB".encode("utf-16-be"))
  quality = {} if suffix in ("png", "tif") else {"quality": 100}
  picture = quarters.draw()[..., ::-1]
  assert quarters.show(saved(
      tmp_path / f"a.{suffix}", picture, icc_profile=swapped, **quality),
      within=6)
  kept = saved(
      tmp_path / f"b.{suffix}", picture[..., ::-1], icc_profile=profile,
      **quality)
  assert quarters.show(kept) and not caplog.records
  saved(tmp_path / f"c.{suffix}", picture, icc_profile=b"broken", **quality)
  assert "colour profile" in caplog.text


def folder_of(tmp_path, frames, suffix="png"):
  for i, frame in enumerate(frames):
    Image.fromarray(frame).save(tmp_path / f"{i}.{suffix}")
  return tmp_path


def read(folder, **how):
  return video.read(folder, **dict(
      start=0, stride=1, frames=2, width=32, height=24) | how)


@pytest.mark.parametrize("suffix", ["webp", "bmp", "tif", "JPEG", "avif"])
def test_folders_of_other_formats(tmp_path, suffix):
  clip = read(folder_of(tmp_path, [quarters.draw()] * 2, suffix))
  assert all(quarters.show(frame, within=8) for frame in clip.frames)


def test_frames_are_in_the_order_of_their_numbers(tmp_path):
  """Frame i is grey of level 20 i."""
  for file in (CASES / "unpadded").iterdir():
    shutil.copy(file, tmp_path)
  for hidden in ("._frame_0.png", ".DS_Store", "Thumbs.db", "notes.txt"):
    (tmp_path / hidden).write_bytes(b"hidden")
  (tmp_path / "frame_3.png.d.png").mkdir()
  files = video.frame_files(tmp_path)
  assert [f.name for f in files] == [f"frame_{i}.png" for i in range(12)]
  levels = video.read_all(tmp_path)[:, 48, 64, 0]
  assert levels.tolist() == list(range(0, 240, 20))


def test_a_folder_has_the_rate_that_is_given(tmp_path):
  folder = folder_of(tmp_path, [quarters.draw()] * 4)
  assert read(folder, stride=2).fps == 12
  assert read(folder, stride=2, fps=30.0).fps == 15


def test_frames_that_do_not_belong_are_named(tmp_path):
  with pytest.raises(InputError, match=r"onebroken/0002\.png: the file is emp"):
    read(CASES / "onebroken", stride=2)
  assert len(read(CASES / "onebroken").frames) == 2
  folder = folder_of(tmp_path, [quarters.draw(), quarters.draw(96, 130)])
  for reader in (read, systems.frames):
    with pytest.raises(InputError, match=r"1\.png: 130x96 .* 128x96"):
      reader(folder)
  content = (folder / "0.png").read_bytes()
  (folder / "1.png").write_bytes(content[:len(content) // 2])
  with pytest.raises(InputError, match=r"1\.png: cannot be read as a picture"):
    read(folder)
  with pytest.raises(InputError, match=r"fps=9\.0: .*times of its own"):
    read(folder / "0.png", fps=9.0)


def test_animated_pictures_are_videos():
  frames = video.read_all(CASES / "a.webp")
  with Image.open(CASES / "a.webp") as webp:
    for i, frame in enumerate(frames):
      webp.seek(i)
      np.testing.assert_array_equal(frame, webp.convert("RGB"))
  assert len(frames) == 6 and read(CASES / "a.webp").fps == 10


def test_pictures_one_after_the_other_are_a_video(tmp_path):
  Image.fromarray(quarters.draw()).save(tmp_path / "a.jpg", quality=95)
  (tmp_path / "a.mjpeg").write_bytes(3 * (tmp_path / "a.jpg").read_bytes())
  frames = video.read_all(tmp_path / "a.mjpeg")
  assert len(frames) == 3 and quarters.show(frames[2], within=5)
  assert len(video.read_all(tmp_path / "a.jpg")) == 1


def test_datasets_read_what_is_seen(tmp_path):
  """Pictures lie on white, and an animated WebP is a clip."""
  for name, file in (("pictures", "rgba/0000.png"), ("clips", "a.webp")):
    folder = tmp_path / name
    folder.mkdir()
    shutil.copy(CASES / file, folder)
    (folder / "metadata.jsonl").write_text(json.dumps({
        "file_name": file.split("/")[-1], "text": "a cat"}))
    source = datasets.load(datasets.CaptionedFolder(
        folder=folder, data_dir=tmp_path / "data", size=96, frames=3,
        stride=2))["train"]
    if name == "pictures":
      assert quarters.show(
          source[0]["image"], (quarters.R, quarters.G, WHITE, WHITE), 0)
    else:
      np.testing.assert_array_equal(
          source[0]["video"], video.read_all(CASES / "a.webp")[:5:2, :, 16:112])


@pytest.mark.parametrize("size", [(12_000, 10_000), (1 << 16, 1 << 16)])
def test_sizes_are_checked_before_pictures_are_decoded(tmp_path, size):
  header = b"IHDR" + struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0)
  (tmp_path / "a.png").write_bytes(
      b"\x89PNG\r\n\x1a\n\0\0\0\x0d" + header
      + struct.pack(">I", zlib.crc32(header)) + b"\0\0\0\x0aIDAT")
  with pytest.raises(InputError, match=r"a\.png: .*pixels.*; expected 89,478"):
    pictures.read(tmp_path / "a.png")
