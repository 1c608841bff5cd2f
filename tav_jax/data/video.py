"""Video files to frames and back, through PyAV (ffmpeg)."""

from collections.abc import Callable, Iterator
import dataclasses
from fractions import Fraction
import functools
import os
import pathlib

import av
import numpy as np
from PIL import Image, ImageOps

from tav_jax.errors import InputError

_FITS = {
    "stretch": lambda image, size: image.resize(size, Image.Resampling.BICUBIC),
    "crop": lambda image, size: ImageOps.fit(
        image, size, Image.Resampling.BICUBIC),
    "pad": lambda image, size: ImageOps.pad(
        image, size, Image.Resampling.BICUBIC),
}


@dataclasses.dataclass(frozen=True)
class Clip:
  """Some frames of a video.

  Attributes:
    frames: `f h w c`, uint8, RGB.
    fps: Frames a second at which the clip plays at the video's own speed.
  """

  frames: np.ndarray
  fps: float


def read(
    path: str | os.PathLike,
    *,
    start: int,
    stride: int,
    frames: int,
    width: int,
    height: int,
    fit: str = "stretch",
) -> Clip:
  """Reads frames `start`, `start + stride`, ... of a video.

  Args:
    path: A file in any format that ffmpeg reads, or a folder of frames.
    start: Index of the first frame.
    stride: Distance between frames.
    frames: Number of frames.
    width: Width to resize to, in pixels.
    height: Height to resize to, in pixels.
    fit: "stretch", "crop" (fill, cut the rest) or "pad" (whole, black bars).

  Raises:
    InputError: If the file cannot be read, has too few frames, or a value is
      out of range.
  """
  for name, value, least in (
      ("start", start, 0), ("stride", stride, 1), ("frames", frames, 1),
      ("width", width, 1), ("height", height, 1)):
    if value < least:
      raise InputError(f"{name}={value}: expected {least} or more")
  if fit not in _FITS:
    raise InputError(f"fit={fit!r}: expected {', '.join(_FITS)}")
  path = pathlib.Path(path).expanduser()
  if not path.exists():
    raise InputError(
        f"path={path}: no such file; expected a video such as an mp4, or "
        "a folder of frames")
  last = start + stride * (frames - 1)
  wanted = range(start, last + 1, stride)
  found = []
  fps, seen, broken = 0.0, 0, None
  try:
    for rate, image in _images(path):
      fps = rate
      if seen in wanted:
        found.append(np.asarray(_FITS[fit](image(), (width, height))))
      seen += 1
      if seen > last:
        break
  except (av.FFmpegError, OSError) as error:
    broken = error  # What was decoded before may be all that is needed.
  if not seen:
    why = getattr(broken, "strerror", None) or broken or "no frames"
    raise InputError(
        f"path={path}: cannot be read as a video ({why}); the file may be cut "
        "short, or not a video")
  if len(found) < frames:
    why = " before it breaks off" if broken else ""
    raise InputError(
        f"path={path}: it has {seen} frames{why}, but frames {start} to "
        f"{last} were asked for; lower start={start}, "
        f"stride={stride} or frames={frames}")
  return Clip(np.stack(found), (fps or 24.0) / stride)


def _images(path: pathlib.Path) -> Iterator[tuple[float, Callable]]:
  """Yields, for every frame, the frame rate and a function that decodes it.

  A frame rate that is not known is 0.
  """
  if path.is_dir():
    files = frame_files(path)
    if not files:
      raise InputError(
          f"path={path}: a folder without frames (.png, .jpg); expected "
          "a video such as an mp4, or a folder of frames")
    for file in files:
      yield 0.0, functools.partial(_open, file)
    return
  with av.open(str(path)) as container:
    if not container.streams.video:
      raise InputError(f"path={path}: it has no video stream")
    fps = float(container.streams.video[0].average_rate or 0)
    for frame in container.decode(video=0):
      yield fps, frame.to_image


def _open(file: pathlib.Path) -> Image.Image:
  return Image.open(file).convert("RGB")


def frame_files(folder: str | os.PathLike) -> list[pathlib.Path]:
  """The pictures in a folder, in the order of their names."""
  return sorted(
      file for file in pathlib.Path(folder).iterdir()
      if file.suffix.lower() in (".jpg", ".jpeg", ".png"))


def read_all(path: str | os.PathLike) -> np.ndarray:
  """All frames of a video file at its own size, `f h w c`, uint8, RGB.

  Raises:
    InputError: If the file cannot be read as a video to its end.
  """
  try:
    with av.open(str(path)) as container:
      frames = [
          frame.to_ndarray(format="rgb24")
          for frame in container.decode(video=0)]
  except (av.FFmpegError, IndexError) as error:
    why = getattr(error, "strerror", None) or "it has no video stream"
    raise InputError(
        f"{path}: cannot be read as a video ({why}); the file may be cut "
        "short, or not a video") from error
  return np.stack(frames)


def to_model(frames: np.ndarray) -> np.ndarray:
  """uint8 pixels to float32 in [-1, 1]."""
  return frames.astype(np.float32) / 127.5 - 1


def to_pixels(video) -> np.ndarray:
  """Pixels, clipped to [-1, 1], to uint8."""
  return np.round(np.clip(np.asarray(video) + 1, 0, 2) * 127.5).astype(np.uint8)


def write_mp4(path: str | os.PathLike, clip: Clip) -> None:
  """Writes H.264, 4:2:0, which every browser plays. Sizes must be even."""
  _, height, width, _ = clip.frames.shape
  with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
    rate = Fraction(clip.fps).limit_denominator(1001)
    stream = container.add_stream("libx264", rate, options={"crf": "15"})
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    for array in clip.frames:
      frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(array), "rgb24")
      container.mux(stream.encode(frame))
    container.mux(stream.encode())


def write_lossless(path: str | os.PathLike, clip: Clip) -> None:
  """Writes FFV1 into a .mkv, from which every pixel is read back exactly."""
  _, height, width, _ = clip.frames.shape
  with av.open(str(path), "w") as container:
    stream = container.add_stream(
        "ffv1", Fraction(clip.fps).limit_denominator(1001))
    stream.width, stream.height, stream.pix_fmt = width, height, "bgr0"
    for array in clip.frames:
      frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(array), "rgb24")
      container.mux(stream.encode(frame.reformat(format="bgr0")))
    container.mux(stream.encode())


def write_gif(path, clip: Clip) -> None:
  """Writes a GIF that repeats without end; `path` may be an open file."""
  first, *others = [
      Image.fromarray(f).quantize(dither=Image.Dither.NONE)
      for f in clip.frames]
  # GIF counts hundredths of a second; rounding the times of the frames, not
  # their durations, keeps the speed.
  times = [
      round(100 * i / clip.fps) * 10 for i in range(len(clip.frames) + 1)]
  first.save(
      path, format="GIF", save_all=True, append_images=others, loop=0,
      duration=np.diff(times).tolist())


def write_frames(directory: str | os.PathLike, clip: Clip) -> None:
  """Writes one PNG a frame, `00000.png` and so on."""
  directory = pathlib.Path(directory)
  directory.mkdir(parents=True, exist_ok=True)
  for i, frame in enumerate(clip.frames):
    Image.fromarray(frame).save(directory / f"{i:05}.png")
