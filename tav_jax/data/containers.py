"""Video files, opened and decoded by FFmpeg (PyAV)."""

from collections.abc import Iterable, Iterator
import contextlib
import functools
import pathlib
from typing import Any, cast

import av
from av.sidedata.sidedata import SideData, Type
from av.stream import Disposition
from av.video.stream import VideoStream
from PIL import Image

from tav_jax.data import colours
from tav_jax.data.frames import Frame, rate, Source
from tav_jax.errors import InputError

# Of a frame, in the highest levels of H.264, H.265 and AV1.
_MOST_PIXELS = 8192 * 4352
_TIMED = 20_000  # So many frames at most tell the rate.
_NOT_VIDEO = (
    Disposition.attached_pic | Disposition.timed_thumbnails |
    Disposition.dependent)
_TEXT_ART = ("tty", "bin", "xbin", "adf", "idf", "ansi")
_HEIC = ("heic", "heix", "heim", "heis", "mif1")  # Pictures, in tiles.
# FFmpeg's own decoders of these leave out what is transparent.
_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


@contextlib.contextmanager
def opened(path: pathlib.Path) -> Iterator[Source]:
  """Opens a video file, whose name may hold any character.

  Raises:
    InputError: If it is no video file, or declares an absurd size.
    av.FFmpegError, OSError: If it cannot be read, now or as frames are read.
  """
  times, last = _times(path)
  with _container(path) as container:
    stream = _stream(path, container)
    declared = [
        float(x or 0) for x in (
            stream.average_rate, stream.guessed_rate, stream.base_rate)]
    yield Source(
        _frames(path, container, stream), *rate(times, last, declared))


@contextlib.contextmanager
def _container(path: pathlib.Path) -> Iterator[av.container.InputContainer]:
  # "file:" keeps "12:30.mp4" from being a protocol; the list keeps a playlist
  # from opening anything but files.
  with av.open(
      f"file:{path}", options={"protocol_whitelist": "file"},
      metadata_errors="replace") as container:
    yield container


def _stream(
    path: pathlib.Path, container: av.container.InputContainer
) -> VideoStream:
  """The video stream that a player shows: no cover; the default one."""
  streams = [
      stream for stream in container.streams.video
      if not stream.disposition & _NOT_VIDEO]
  if not streams or container.format.name in _TEXT_ART:
    raise InputError(f"{path}: it has no video stream")
  if container.metadata.get("major_brand", "") in _HEIC:
    raise InputError(
        f"{path}: HEIC is not read; convert it to a jpg or a png")
  defaults = [s for s in streams if s.disposition & Disposition.default]
  stream = (defaults or streams)[0]
  if stream.codec_context.codec_tag in ("dvh1", "dvhe"):
    raise InputError(
        f"{path}: Dolby Vision without a base layer that others can show; "
        "expected SDR, HDR10 or HLG")
  check_size(stream.codec_context.width, stream.codec_context.height, path)
  return stream


def check_size(width: int, height: int, path: pathlib.Path) -> None:
  """Raises an InputError if frames are absurdly large."""
  if width * height > _MOST_PIXELS:
    raise InputError(
        f"{path}: its frames have {width}x{height} pixels; expected "
        f"{_MOST_PIXELS:,} or fewer")


def _times(path: pathlib.Path) -> tuple[list[float], float]:
  """When frames are shown, without decoding them; how long the last one is."""
  found = []
  with _container(path) as container:
    stream = _stream(path, container)
    base = float(stream.time_base or 0)
    with contextlib.suppress(av.FFmpegError, OSError):
      for packet in container.demux(stream):
        stamp = packet.dts if packet.pts is None else packet.pts
        if stamp is None or packet.is_discard:
          continue
        found.append((stamp * base, (packet.duration or 0) * base))
        if len(found) == _TIMED:
          break
  found.sort()
  return [time for time, _ in found], found[-1][1] if found else 0.0


def _frames(
    path: pathlib.Path, container: av.container.InputContainer,
    stream: VideoStream,
) -> Iterator[Frame]:
  convert = colours.Colours()
  shape = float(stream.sample_aspect_ratio or 1)
  decoded = _deinterlaced(_decoded(container, stream))
  for frame in decoded:
    check_size(frame.width, frame.height, path)
    display = next((
        bytes(data) for data in cast(Iterable[SideData], frame.side_data)
        if data.type is Type.DISPLAYMATRIX), None)
    turned = colours.turns(display) in colours.QUARTER_TURNS
    base = float(frame.time_base or stream.time_base or 0)
    yield Frame(
        functools.partial(_image, convert, frame, display),
        1 / shape if turned else shape,
        None if frame.pts is None else frame.pts * base,
        (frame.duration or 0) * base)


def _image(
    convert: colours.Colours, frame: av.VideoFrame, display: bytes | None
) -> Image.Image:
  return colours.turn(convert(frame), display)


def _decoded(
    container: av.container.InputContainer, stream: VideoStream
) -> Iterator[av.VideoFrame]:
  context: Any = stream.codec_context
  tags = {key.lower(): value for key, value in stream.metadata.items()}
  if tags.get("alpha_mode") == "1" and context.name in _WITH_ALPHA:
    given = context.extradata
    context = av.CodecContext.create(_WITH_ALPHA[context.name], "r")
    context.extradata = given
  context.options = {"max_pixels": str(_MOST_PIXELS)}
  last = None
  try:
    for packet in container.demux(stream):
      if not packet.size and packet.dts is not None:
        frames = [last] if last else []  # Nothing stands for the same again.
      else:
        frames = context.decode(packet)
      for last in frames:
        yield last
  except av.FFmpegError:
    yield from context.decode(None)  # What it held back until now.
    raise


def _deinterlaced(frames: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
  """Whole frames of frames that are fields, as players make them."""
  graph = None
  for frame in frames:
    if graph is None and not frame.interlaced_frame:
      yield frame
      continue
    if graph is None:
      graph = av.filter.Graph()
      source = graph.add_buffer(
          width=frame.width, height=frame.height, format=frame.format,
          time_base=frame.time_base)
      graph.link_nodes(
          source, graph.add("bwdif", "mode=send_frame:deint=interlaced"),
          graph.add("buffersink")).configure()
    graph.push(frame)
    yield from _pulled(graph)
  if graph is not None:
    graph.push(None)
    yield from _pulled(graph)


def _pulled(graph: av.filter.Graph) -> Iterator[av.VideoFrame]:
  with contextlib.suppress(BlockingIOError, EOFError):
    while True:
      yield graph.vpull()
