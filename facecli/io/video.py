"""Videos: frames with their own times in (PyAV), H.264 with the source's times and sound out (imageio-ffmpeg).

What a run writes is cut into *segments*, each whole or not there, so that a killed run goes on at the last finished
one; :func:`assemble_video` joins them without encoding again.
"""

from __future__ import annotations

import contextlib
import heapq
import subprocess
import threading
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import imageio_ffmpeg
import numpy as np

from facecli.errors import InputError, OutputError
from facecli.io.atomic import atomic_write, output_error, temporary_name
from facecli.io.filetypes import check_file, read_head, sniff
from facecli.io.images import on_white

_MP4_SOUND = {"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"}
"""Codecs that players expect in an mp4; other sound becomes AAC."""

_OPEN_CLOCKS = {"mpegts", "mpeg"}
"""Containers whose clock starts anywhere (hours, for a recording); their times are counted from the file's start."""

_FALLBACK_RATE = Fraction(25)
_JUMP = 1.0
"""Seconds: a clock that falls back by more was set anew (files put end to end); by less, a timestamp is off."""

_HD_HEIGHT = 720
"""From this height on, players take BT.709 for colours of which the file says nothing."""


@dataclass(frozen=True)
class VideoFrame:
    """One frame.

    Args:
        index: 0-based, in the order of presentation.
        pts: presentation time in ticks of :attr:`VideoReader.time_base`, strictly increasing.
        time: the same in seconds.
        image: RGB uint8 [H, W, 3], upright.
    """

    index: int
    pts: int
    time: float
    image: np.ndarray


# --- reading ---------------------------------------------------------------------------------------------------------


class VideoReader:
    """Frames of a video file, each that can be decoded exactly once, in the order of presentation::

        with VideoReader("clip.mp4") as reader:
            for frame in reader: ...
            if reader.problem: ...

    Frames are turned (and mirrored) as the file says, have square pixels, and are laid on white if transparent.

    Args:
        path: the file.

    Raises:
        InputError: it is missing, no video, or not one frame of it can be decoded.
    """

    size: tuple[int, int]
    """(width, height) of the upright frames."""
    average_rate: Fraction
    """Frames a second, over the whole file."""
    time_base: Fraction
    """Seconds of one tick of `VideoFrame.pts`."""
    duration: float | None
    """Seconds, where the file tells."""
    frame_count_hint: int | None
    """How many frames to expect, where the file tells; broken and odd files have another number."""
    has_audio: bool
    problem: str | None
    """After the last frame: what was wrong with the file, in a few words, e.g. that it is cut. None if nothing."""

    def __init__(self, path: str | Path):
        self.path = check_file(path)
        self.problem = None
        self._running: weakref.WeakSet[Iterator[VideoFrame]] = weakref.WeakSet()
        with self._opened() as container:
            stream = self._video_stream(container)
            self.time_base = stream.time_base
            self.average_rate = _rate(container, stream)
            self.duration = _duration(container, stream)
            self.frame_count_hint = _count_hint(container, stream, self.duration, self.average_rate)
            self.has_audio = bool(container.streams.audio)
            first = next(_decoded(container, stream, _Tally()), None)
            if first is None:
                raise InputError(self.path, "has no frame that can be decoded", "copy or download it again")
            self._turn = _Turn.of(first)
            self._stored_size = _square(first.width, first.height, stream.codec_context.sample_aspect_ratio)
            self.size = self._stored_size[::-1] if self._turn.transpose else self._stored_size

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[VideoFrame]:
        return self.frames()

    def frames(self, start: int = 0) -> Iterator[VideoFrame]:
        """All frames from the one with index `start` on. Those before it are decoded, which alone is exact in every
        file, but not converted."""
        frames = self._frames(start)
        self._running.add(frames)
        return frames

    def close(self) -> None:
        """Close the file in all iterations that have not come to their end."""
        for frames in list(self._running):
            with contextlib.suppress(ValueError):  # running in another thread, which closes it at its end
                frames.close()

    @contextlib.contextmanager
    def _opened(self) -> Iterator[av.container.InputContainer]:
        try:
            container = _open_input(self.path)
        except (av.FFmpegError, OSError) as error:
            raise self._unreadable(error) from error
        with container:
            yield container

    def _unreadable(self, error: Exception) -> InputError:
        if isinstance(error, PermissionError):
            return InputError(self.path, "may not be read", "check its permissions")
        content = sniff(read_head(self.path))
        if content.kind == "video":
            return InputError(self.path, f"is {content.words} that is cut or damaged", "copy or download it again")
        return InputError(self.path, f"is not a video but {content.words}", content.mend)

    def _video_stream(self, container: av.container.InputContainer) -> av.VideoStream:
        cover = av.stream.Disposition.attached_pic
        for stream in container.streams.video:
            if not stream.disposition & cover and stream.codec_context is not None:
                stream.thread_type = "AUTO"
                return stream
        what = "holds sound only" if container.streams.audio else "holds no video"
        raise InputError(self.path, what)

    def _frames(self, start: int) -> Iterator[VideoFrame]:
        with self._opened() as container:
            stream = self._video_stream(container)
            clock = _Clock(stream.time_base, self.average_rate, _origin(container))
            tally, index = _Tally(), 0
            for frame in _decoded(container, stream, tally):
                pts = clock(frame)
                if index >= start:
                    yield VideoFrame(index, pts, float(pts * stream.time_base), self._rgb(frame))
                index += 1
            self.problem = self._verdict(container, stream, tally, index)

    def _rgb(self, frame: av.VideoFrame) -> np.ndarray:
        width, height = self._stored_size
        transparent = frame.format.has_palette or any(component.is_alpha for component in frame.format.components)
        said = frame.colorspace in (0, 1, 4, 5, 6, 7, 9, 10)  # ffmpeg's AVCOL_SPC_…: 2 is "unspecified"
        assume_709 = not said and not frame.format.is_rgb and frame.height >= _HD_HEIGHT
        converted = frame.reformat(
            width, height, "rgba" if transparent else "rgb24", src_colorspace="ITU709" if assume_709 else None
        )
        pixels = converted.to_ndarray()
        return self._turn(on_white(pixels) if transparent else pixels)

    def _verdict(
        self, container: av.container.InputContainer, stream: av.VideoStream, tally: _Tally, frames: int
    ) -> str | None:
        missing = _seconds_missing(container, stream, tally)
        step = 1 / float(self.average_rate)
        if missing > max(3 * step, 0.2, 0.005 * (self.duration or 0)) or tally.stopped:
            expected = max(self.frame_count_hint or 0, round(frames + missing / step))
            about = f" of about {expected}" if expected > frames else ""
            return f"ends after {frames}{about} frames: the file is cut"
        if tally.errors:
            return f"is damaged: {tally.errors} frame{'s' * (tally.errors > 1)} can't be decoded"
        return None


@dataclass
class _Tally:
    """What came to light while a file was read.

    Args:
        end: when the last whole packet of any stream ends, in seconds.
        video_end: the same of the video alone.
        packets: whole packets of video.
        errors: packets of video that could not be decoded.
        stopped: the container itself could not be read further.
    """

    end: float = 0.0
    video_end: float = 0.0
    packets: int = 0
    errors: int = 0
    stopped: bool = False

    def add(self, packet: av.Packet, video: bool) -> None:
        start = packet.dts if packet.pts is None else packet.pts
        if start is not None:
            end = float((start + (packet.duration or 0)) * packet.time_base)
            self.end = max(self.end, end)
            self.video_end = max(self.video_end, end) if video else self.video_end
        self.packets += video


def _open_input(path: Path) -> av.container.InputContainer:
    """For reading. Only as a file: names that look like addresses, and playlists that name some, reach no network."""
    return av.open(f"file:{path}", metadata_errors="replace", options={"protocol_whitelist": "file"})


def _decoded(container: av.container.InputContainer, stream: av.VideoStream, tally: _Tally) -> Iterator[av.VideoFrame]:
    """All frames of `stream` that can be decoded, in order. Errors are tallied and don't end it."""
    decoder, began = stream.codec_context, False
    packets = container.demux()
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            break
        except (av.FFmpegError, OSError):
            tally.stopped = True
            break
        if packet.size == 0 or packet.is_corrupt:  # flushing comes below; of a cut packet half a picture would be left
            continue
        tally.add(packet, packet.stream is stream or packet.stream_index == stream.index)
        if packet.stream_index != stream.index:
            continue
        try:
            frames = decoder.decode(packet)
        except av.FFmpegError:
            tally.errors += began  # what precedes the first key frame of a recording can't be decoded, nor is it missed
            continue
        began = began or bool(frames)
        yield from frames
    yield from _flushed(decoder, tally)


def _flushed(decoder: av.VideoCodecContext, tally: _Tally) -> Iterator[av.VideoFrame]:
    """The frames that the decoder's threads still hold; an error in one of them must not lose the others."""
    for _ in range(1024):
        try:
            frames = decoder.decode(None)
        except (EOFError, av.error.EOFError):
            return
        except av.FFmpegError:
            tally.errors += 1
            continue
        if not frames:
            return
        yield from frames


class _Clock:
    """Frames' timestamps, repaired where they are missing, equal or run backwards: always one tick on, at least."""

    def __init__(self, time_base: Fraction, rate: Fraction, origin: Fraction):
        self._step = max(1, round(1 / (rate * time_base)))
        self._jump = round(_JUMP / time_base)
        self._shift = -round(origin / time_base)
        self._last: int | None = None

    def __call__(self, frame: av.VideoFrame) -> int:
        raw = frame.dts if frame.pts is None else frame.pts
        if self._last is None:
            self._last = 0 if raw is None else raw + self._shift
            return self._last
        if raw is None:
            pts = self._last + self._step
        else:
            pts = raw + self._shift
            if pts < self._last - self._jump:
                self._shift += self._last + self._step - pts
                pts = self._last + self._step
        self._last = max(pts, self._last + 1)
        return self._last


@dataclass(frozen=True)
class _Turn:
    """One of the eight ways to lay a picture: swap its axes, then flip them."""

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @classmethod
    def of(cls, frame: av.VideoFrame) -> _Turn:
        """From the frame's display matrix (3×3, row vectors: x' = a x + c y, y' = b x + d y)."""
        for data in frame.side_data:
            if "DISPLAYMATRIX" in str(data.type):
                a, b, _, c, d = np.frombuffer(bytes(data)[:20], "<i4").astype(np.int64).tolist()
                if abs(b) + abs(c) > abs(a) + abs(d):
                    return cls(True, c < 0, b < 0)
                return cls(False, a < 0, d < 0)
        return cls()

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """[H, W, 3] -> the same turned, contiguous."""
        if self.transpose:
            pixels = pixels.transpose(1, 0, 2)
        if self.flip_x:
            pixels = pixels[:, ::-1]
        if self.flip_y:
            pixels = pixels[::-1]
        return np.ascontiguousarray(pixels)


def _square(width: int, height: int, aspect: Fraction | None) -> tuple[int, int]:
    """The size with square pixels, for pixels that are `aspect` times as wide as high (a face must not be stretched).
    Within a percent it is the rounding of some converter."""
    if not aspect or not 0.2 < aspect < 5 or abs(aspect - 1) < 0.01:
        return width, height
    return max(1, round(width * aspect)), height


def _origin(container: av.container.InputContainer) -> Fraction:
    """The time, in seconds, that counts as the start of the file's clock."""
    if container.format.name in _OPEN_CLOCKS and container.start_time is not None:
        return Fraction(container.start_time, av.time_base)
    return Fraction(0)


def _rate(container: av.container.InputContainer, stream: av.VideoStream) -> Fraction:
    """An AVI's tick may be far shorter than a frame, the ticks between being empty: its average rate is of ticks."""
    average, guessed = stream.average_rate, stream.guessed_rate
    rate = guessed if container.format.name == "avi" and guessed else average or guessed
    return rate if rate and 0 < rate <= 1000 else guessed if guessed and 0 < guessed <= 1000 else _FALLBACK_RATE


def _duration(container: av.container.InputContainer, stream: av.VideoStream) -> float | None:
    """Of the video, in seconds: as its stream says, or Matroska's tag "00:00:02.000000000", or the container."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    tag = stream.metadata.get("DURATION", "")
    with contextlib.suppress(ValueError):
        hours, minutes, seconds = tag.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    return container.duration / av.time_base if container.duration else None


def _count_hint(
    container: av.container.InputContainer, stream: av.VideoStream, duration: float | None, rate: Fraction
) -> int | None:
    if stream.frames and container.format.name != "avi":
        return stream.frames
    if stream.frames:
        return max(1, round(stream.frames * stream.time_base * rate))
    return max(1, round(duration * rate)) if duration else None


def _seconds_missing(container: av.container.InputContainer, stream: av.VideoStream, tally: _Tally) -> float:
    """How much earlier the packets end than the container's header says."""
    if container.format.name == "avi":  # the header counts ticks; durations are of what is really there
        return float(stream.frames * stream.time_base) - tally.video_end if stream.frames else 0.0
    if stream.frames and tally.packets >= stream.frames:
        return 0.0
    if not container.duration:
        return 0.0
    start = 0 if "matroska" in container.format.name else container.start_time or 0  # there, it is the end's time
    return (container.duration + start) / av.time_base - tally.end


# --- writing ---------------------------------------------------------------------------------------------------------


class SegmentWriter:
    """Frames to a piece of H.264 video (an mp4 of its own, without B-frames), whole or not there.

    An odd width or height, which H.264's common form can't have, is made even by repeating the last column or row.

    Args:
        path: of the segment; made by :meth:`close`.
        size: (width, height) of the frames.
        fps: the nominal rate; :func:`assemble_video` gives each frame its true time.
        crf: x264's constant rate factor, 0 (lossless) .. 51; 18 is hard to tell from the original.

    Raises:
        OutputError: the place can't be written to, the disk is full, or the encoder failed; from any method.
    """

    def __init__(self, path: str | Path, size: tuple[int, int], fps: Fraction | float, *, crf: float = 18):
        self.path, self.size, self.frame_count = Path(path), size, 0
        self._temporary = temporary_name(self.path)
        self._errors: list[bytes] = []
        width, height = size
        self._even = (width + width % 2, height + height % 2)
        rate = Fraction(fps).limit_denominator(100_000)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._temporary.touch()  # a folder that can't be written to shows now, not at the first full buffer
        except OSError as error:
            raise output_error(self.path, error) from error
        # A session of its own: Ctrl-C is for us, who then close or abort. Signals as we have them (SIGXFSZ ignored), so
        # that a file limit comes back as an error with words.
        self._process = subprocess.Popen(
            [
                *_ffmpeg(), "-f", "rawvideo", "-pix_fmt", "rgb24", "-video_size", "{}x{}".format(*self._even),
                "-framerate", str(rate), "-i", "pipe:0",
                "-vf", "scale=out_color_matrix=bt709:out_range=tv", "-pix_fmt", "yuv420p",
                "-c:v", "libx264", "-preset", "veryfast", "-crf", str(crf), "-bf", "0", "-fps_mode", "passthrough",
                "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv",
                "-f", "mp4", f"file:{self._temporary}",
            ],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            start_new_session=True, restore_signals=False,
        )  # fmt: skip
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def __enter__(self) -> SegmentWriter:
        return self

    def __exit__(self, exception_type: type | None, *rest: object) -> None:
        if exception_type is None:
            self.close()
        else:
            self.abort()

    def _listen(self) -> None:
        for line in self._process.stderr:
            self._errors = [*self._errors[-20:], line]

    def write(self, image: np.ndarray) -> None:
        """Add a frame, RGB uint8 [H, W, 3] of the writer's size."""
        width, height = self.size
        if image.shape != (height, width, 3) or image.dtype != np.uint8:
            raise ValueError(f"a frame is {image.dtype} {image.shape}, not uint8 {(height, width, 3)}")
        if self._even != self.size:
            image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        try:
            self._process.stdin.write(np.ascontiguousarray(image).data)
        except OSError as error:
            raise self._failed() from error
        self.frame_count += 1

    def close(self) -> None:
        """Finish the segment and put it in its place."""
        if self._process.returncode is not None:
            return
        try:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
            self._process.wait()
            if self._process.returncode or _count_packets(self._temporary) != self.frame_count:
                raise self._failed()
            self._temporary.replace(self.path)
        except OSError as error:
            raise output_error(self.path, error) from error
        finally:
            self._clean_up()

    def abort(self) -> None:
        """End without a segment."""
        if self._process.returncode is None:
            self._process.kill()
        self._clean_up()

    def _failed(self) -> OutputError:
        """The one line for an encoder that gave up."""
        if self._process.returncode is None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
            self._process.wait()
        self._clean_up()
        return _ffmpeg_error(self.path, self._process.returncode, b"".join(self._errors))

    def _clean_up(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self._listener.join()
        self._process.stderr.close()
        self._temporary.unlink(missing_ok=True)


def _ffmpeg() -> list[str]:
    """imageio-ffmpeg's program (never one that happens to be on the PATH), quiet but for errors."""
    return [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-hide_banner", "-loglevel", "error"]


_FULL = (
    "No space left on device",
    "File too large",
    "Disk quota exceeded",
    "Read-only file system",
    "Permission denied",
)


def _ffmpeg_error(path: Path, code: int, errors: bytes) -> OutputError:
    text = errors.decode(errors="replace")
    for reason in _FULL:
        if reason in text:
            return OutputError(f"{path}: can't be written: {reason} (make room or choose another place with -o)")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    reason = f"was stopped by signal {-code}" if code < 0 else lines[-1] if lines else f"ended with code {code}"
    return OutputError(f"{path}: can't be written: the video encoder says: {reason}")


def _count_packets(path: Path) -> int:
    try:
        with _open_input(path) as container:
            return sum(packet.size > 0 for packet in container.demux(video=0))
    except (av.FFmpegError, IndexError):
        return 0


def assemble_video(
    path: str | Path,
    segments: Sequence[str | Path],
    pts: Sequence[int],
    time_base: Fraction,
    *,
    audio_from: str | Path | None = None,
) -> str | None:
    """Join `segments` to an mp4 without encoding them again, each frame with its own time, and give it sound.

    Args:
        path: of the mp4; whole or not there.
        segments: what :class:`SegmentWriter` wrote, all of one size.
        pts: strictly increasing, one for each frame of all segments, in ticks of `time_base`
            (`VideoFrame.pts` and `VideoReader.time_base` of the source).
        audio_from: the file whose sound is wanted: copied as it is where mp4 can hold its codec, else made AAC.

    Returns:
        What is wrong with the sound, in a few words, or None.

    Raises:
        OutputError: the place can't be written to, or the segments don't go together.
    """
    path, segments = Path(path), [Path(segment) for segment in segments]
    if list(pts) != sorted(set(pts)):
        raise ValueError("pts must be strictly increasing")
    problem = None
    with atomic_write(path) as temporary, contextlib.ExitStack() as stack:
        audio = None
        if audio_from is not None:
            audio, problem = _audio(Path(audio_from), path, stack)
        try:
            _mux(path, temporary, segments, pts, time_base, audio)
        except av.FFmpegError as error:
            raise OSError(error.errno, error.strerror) from error
    return problem


def _mux(
    path: Path,
    temporary: Path,
    segments: Sequence[Path],
    pts: Sequence[int],
    time_base: Fraction,
    audio: av.container.InputContainer | None,
) -> None:
    pts, timescale = _in_ticks(pts, time_base)
    options = {
        "movflags": "faststart",
        "video_track_timescale": str(timescale),
        "movie_timescale": str(timescale),  # offsets of streams are rounded to it: by default to milliseconds
    }
    with av.open(f"file:{temporary}", "w", format="mp4", options=options) as output, _open_input(segments[0]) as first:
        video = output.add_stream_from_template(first.streams.video[0])
        video.time_base = Fraction(1, timescale)
        header = first.streams.video[0].codec_context.extradata
        tracks = [_video_packets(path, segments, pts, video, header)]
        if audio is not None:
            copies = {stream.index: output.add_stream_from_template(stream) for stream in audio.streams.audio}
            tracks.append(_audio_packets(audio, copies))
        for _, packet in heapq.merge(*tracks, key=lambda timed: timed[0]):
            output.mux(packet)


def _in_ticks(pts: Sequence[int], time_base: Fraction) -> tuple[list[int], int]:
    """`pts` in ticks of 1/timescale, and that timescale: exact unless mp4's 32 bits can't hold the durations."""
    if time_base.denominator <= 10_000_000:
        return [value * time_base.numerator for value in pts], time_base.denominator
    return [round(value * time_base * 1_000_000) for value in pts], 1_000_000


def _video_packets(
    path: Path, segments: Sequence[Path], pts: Sequence[int], stream: av.VideoStream, header: bytes | None
) -> Iterator[tuple[float, av.Packet]]:
    """(time, packet) of all segments' frames, retimed. Without B-frames they are stored in their order."""
    number = 0
    for segment in segments:
        with _open_input(segment) as container:
            source = container.streams.video[0]
            if source.codec_context.extradata != header:
                raise OutputError(f"{path}: its parts were encoded differently (--overwrite makes it anew)")
            for packet in container.demux(source):
                if packet.size == 0:
                    continue
                if number >= len(pts):
                    raise OutputError(f"{path}: its parts hold more than {len(pts)} frames (--overwrite makes it anew)")
                packet.time_base = stream.time_base
                packet.pts = packet.dts = pts[number]
                following = pts[number + 1] if number + 1 < len(pts) else None
                packet.duration = _last_duration(pts, stream) if following is None else following - pts[number]
                packet.stream = stream
                number += 1
                yield float(packet.dts * packet.time_base), packet
    if number != len(pts):
        raise OutputError(f"{path}: its parts hold {number} frames of {len(pts)} (--overwrite makes it anew)")


def _last_duration(pts: Sequence[int], stream: av.VideoStream) -> int:
    """A last frame stays as long as the one before it."""
    return pts[-1] - pts[-2] if len(pts) > 1 else max(1, round(1 / (_FALLBACK_RATE * stream.time_base)))


def _audio_packets(container: av.container.InputContainer, copies: dict[int, Any]) -> Iterator[tuple[float, av.Packet]]:
    """(time, packet) of all sound in `container`, as far as it can be read."""
    origin = _origin(container)
    last: dict[int, int] = {}
    packets = container.demux(*container.streams.audio)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.FFmpegError, OSError):  # of a cut file, what is there
            return
        dts = packet.pts if packet.dts is None else packet.dts
        if packet.size == 0 or packet.is_corrupt or dts is None:
            continue
        index, shift = packet.stream_index, round(origin / packet.time_base)
        if dts - shift <= last.get(index, dts - shift - 1):
            continue  # a clock that runs backwards: a muxer refuses it
        packet.pts = (dts if packet.pts is None else packet.pts) - shift
        packet.dts = last[index] = dts - shift
        time = float(packet.dts * packet.time_base)
        packet.stream = copies[index]
        yield time, packet


def _audio(
    source: Path, path: Path, stack: contextlib.ExitStack
) -> tuple[av.container.InputContainer | None, str | None]:
    """The sound of `source` in a container from which it can be copied into an mp4, or None and why."""
    try:
        container = stack.enter_context(_open_input(source))
    except (av.FFmpegError, OSError):
        return None, "its sound can't be read"
    streams = container.streams.audio
    if not streams:
        return None, None
    if all(_sound_codec(stream) in _MP4_SOUND for stream in streams):
        return container, None
    encoded = temporary_name(path.with_suffix(".m4a"))
    stack.callback(encoded.unlink, missing_ok=True)
    if not _encode_sound(source, path, encoded):
        return None, "its sound can't be decoded"
    return stack.enter_context(_open_input(encoded)), None


def _sound_codec(stream: av.AudioStream) -> str:
    """The codec's own name, not that of the decoder (``mp3float``)."""
    context = stream.codec_context
    return "" if context is None else context.codec.canonical_name


def _encode_sound(source: Path, path: Path, encoded: Path) -> bool:
    """All sound of `source` as AAC in `encoded`, on the source's clock; False if there is nothing to be decoded."""
    done = subprocess.run(
        [*_ffmpeg(), "-copyts", "-i", f"file:{source}", "-map", "0:a", "-c:a", "aac", "-b:a", "192k",
         "-f", "mp4", f"file:{encoded}"],
        stdin=subprocess.DEVNULL, capture_output=True, restore_signals=False,
    )  # fmt: skip
    if done.returncode and any(reason in done.stderr.decode(errors="replace") for reason in _FULL):
        raise _ffmpeg_error(path, done.returncode, done.stderr)
    return done.returncode == 0 and encoded.exists() and encoded.stat().st_size > 0


class VideoWriter:
    """A video in one go: a segment and its assembling. Whole or not there::

        with VideoReader("in.mp4") as reader, VideoWriter("out.mp4", reader.size, reader) as writer:
            for frame in reader:
                writer.write(draw(frame.image), frame.pts)

    Args:
        path: of the mp4.
        size: (width, height) of the frames.
        source: gives times and sound; None for a constant rate and silence.
        fps: the rate without a source.
        crf: as for :class:`SegmentWriter`.
    """

    def __init__(
        self,
        path: str | Path,
        size: tuple[int, int],
        source: VideoReader | None = None,
        *,
        fps: Fraction | float = 25,
        crf: float = 18,
    ):
        self.path, self._source = Path(path), source
        rate = source.average_rate if source else Fraction(fps).limit_denominator(100_000)
        self._time_base = source.time_base if source else 1 / rate
        self._pts: list[int] = []
        self._segment = SegmentWriter(temporary_name(self.path.with_suffix(".mp4")), size, rate, crf=crf)
        self.problem: str | None = None

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, exception_type: type | None, *rest: object) -> None:
        if exception_type is None:
            self.close()
        else:
            self._segment.abort()

    def write(self, image: np.ndarray, pts: int | None = None) -> None:
        """Add a frame, RGB uint8 [H, W, 3]; `pts` in ticks of the source's time base, needed with a source."""
        if (pts is None) != (self._source is None):
            raise ValueError("pts belongs to a source")
        self._segment.write(image)
        self._pts.append(len(self._pts) if pts is None else pts)

    def close(self) -> None:
        """Finish the file; `problem` says what is wrong with the sound, if anything."""
        try:
            self._segment.close()
            sound = self._source.path if self._source and self._source.has_audio else None
            self.problem = assemble_video(self.path, [self._segment.path], self._pts, self._time_base, audio_from=sound)
        finally:
            self._segment.path.unlink(missing_ok=True)
