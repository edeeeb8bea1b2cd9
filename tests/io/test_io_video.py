"""Each frame once, at its own time, upright; written videos keep the source's times and sound, or are not there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facecli.errors import InputError, OutputError
from facecli.io.video import SegmentWriter, VideoReader, VideoWriter, _Clock, assemble_video

DAFOE = Path(__file__).parents[3] / "shared" / "data" / "media" / "dafoe.mp4"
BITS = 6


def numbered(index: int, width: int = 96, height: int = 64) -> np.ndarray:
    """A picture that says its number in six bars, under a stripe: red on the left, blue on the right."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 3, : width // 2] = 220, 20, 20
    image[: height // 3, width // 2 :] = 20, 20, 220
    for bit in range(BITS):
        image[height // 3 :, bit * width // BITS : (bit + 1) * width // BITS] = 255 * (index >> bit & 1)
    return image


def number(image: np.ndarray) -> int:
    height, width = image.shape[:2]
    bars = [image[height * 2 // 3, int((bit + 0.5) * width / BITS)].mean() > 127 for bit in range(BITS)]
    return sum(int(bar) << bit for bit, bar in enumerate(bars))


def is_upright(image: np.ndarray) -> bool:
    height, width = image.shape[:2]
    left, right = image[height // 6, width // 4].astype(int), image[height // 6, width * 3 // 4].astype(int)
    return left[0] > 150 > 100 > left[2] and right[2] > 150 > 100 > right[0]


def encode(
    path: Path, times: list[int], time_base=Fraction(1, 1000), *, size=(96, 64), codec="libx264", pix_fmt="yuv420p",
    options=None, sound=None, sound_start=0, rate=25, show=numbered, **stream_options,
) -> Path:  # fmt: skip
    """A video with PyAV (not with what is tested): numbered frames at `times`, and a tone."""
    with av.open(str(path), "w") as output:
        video = output.add_stream(codec, rate=rate, options=options or {})
        video.width, video.height, video.pix_fmt = *size, pix_fmt
        video.time_base = video.codec_context.time_base = time_base
        for name, value in stream_options.items():
            setattr(video.codec_context, name, value)
        tone = output.add_stream(sound, rate=48000) if sound else None
        for index, pts in enumerate(times):
            frame = av.VideoFrame.from_ndarray(show(index, *size), format="rgba" if show is not numbered else "rgb24")
            frame = frame.reformat(format=pix_fmt)
            frame.pts, frame.time_base = pts, time_base
            output.mux(video.encode(frame))
        output.mux(video.encode())
        if tone:
            seconds = float((times[-1] - times[0]) * time_base) + 0.04
            for start in range(0, int(seconds * 48000), 1024):
                wave = np.sin(np.arange(start, start + 1024) * 0.05) * 0.3
                frame = av.AudioFrame.from_ndarray(
                    np.tile((wave * 32767).astype(np.int16), 2)[None], format="s16", layout="stereo"
                )
                frame.sample_rate, frame.pts, frame.time_base = 48000, start + sound_start, Fraction(1, 48000)
                output.mux(tone.encode(frame))
            output.mux(tone.encode())
    return path


def ffmpeg(*arguments: object) -> None:
    """imageio-ffmpeg's program, for what PyAV can't write."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True)


CFR = list(range(0, 1600, 40))
VFR = [i * 60 if i < 20 else 1200 + (i - 20) * 20 for i in range(40)]


def packets(path: Path, kind: str) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(**{kind: 0}) if packet.size]


def read(path: Path, start: int = 0) -> tuple[VideoReader, list]:
    with VideoReader(path) as reader:
        return reader, list(reader.frames(start))


def rewrite(source: Path, target: Path, cuts: list[int] = ()) -> Path:
    """Read and write again, in segments that end before the frames `cuts`."""
    with VideoReader(source) as reader:
        frames = list(reader)
        bounds = [0, *cuts, len(frames)]
        segments = []
        for number_, (begin, end) in enumerate(pairwise(bounds)):
            segments.append(target.with_name(f"{target.stem}-{number_}.mp4"))
            with SegmentWriter(segments[-1], reader.size, reader.average_rate) as writer:
                for frame in frames[begin:end]:
                    writer.write(frame.image)
        sound = source if reader.has_audio else None
        assert assemble_video(target, segments, [f.pts for f in frames], reader.time_base, audio_from=sound) is None
        return target


def assert_same_frames(source: Path, target: Path) -> None:
    """As many frames, the same pictures, and times within one tick of the source's time base."""
    (first, before), (second, after) = read(source), read(target)
    assert len(before) == len(after) and second.problem is None
    for a, b in zip(before, after, strict=True):
        assert number(a.image) == number(b.image)
        assert abs(a.pts * first.time_base - b.pts * second.time_base) <= first.time_base


# --- reading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("times", [CFR, VFR, [t + 500 for t in VFR]], ids=["constant", "variable", "late"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".webm"])
def test_every_frame_once_at_its_own_time(tmp_path, times, suffix):
    """With B-frames, whose packets are not in the order of presentation."""
    codec = {"codec": "libvpx-vp9", "options": {"cpu-used": "8"}} if suffix == ".webm" else {"options": {"bf": "2"}}
    reader, frames = read(encode(tmp_path / f"v{suffix}", times, **codec))
    assert [number(frame.image) for frame in frames] == list(range(40))
    assert [frame.index for frame in frames] == list(range(40))
    assert [round(frame.time * 1000) for frame in frames] == times
    assert all(frame.time == float(frame.pts * reader.time_base) for frame in frames)
    assert reader.size == (96, 64) and reader.problem is None and not reader.has_audio
    assert abs((reader.frame_count_hint or 40) - 40) <= 15
    assert all(is_upright(frame.image) and frame.image.flags.c_contiguous for frame in frames)


def test_facts_before_the_first_frame(tmp_path):
    with VideoReader(encode(tmp_path / "v.mp4", CFR, sound="aac")) as reader:
        assert (reader.size, reader.frame_count_hint, reader.has_audio) == ((96, 64), 40, True)
        assert reader.average_rate == 25 and abs(reader.duration - 1.6) < 0.01


def test_starting_in_the_middle(tmp_path):
    path = encode(tmp_path / "v.mp4", VFR, options={"bf": "3"})
    _, whole = read(path)
    for start in (0, 1, 17, 39, 40, 99):
        _, part = read(path, start)
        assert [(f.index, f.pts, number(f.image)) for f in part] == [
            (f.index, f.pts, number(f.image)) for f in whole[start:]
        ]


def test_a_reader_can_be_read_again_and_closes(tmp_path):
    path = encode(tmp_path / "v.mp4", CFR)
    open_files = Path("/proc/self/fd")
    opened = len(list(open_files.iterdir())) if open_files.exists() else None
    with VideoReader(path) as reader:
        first, second = iter(reader), iter(reader)
        assert [next(first).index, next(first).index, next(second).index] == [0, 1, 0]
    assert list(first) == [] and list(second) == []
    if opened is not None:
        assert len(list(open_files.iterdir())) <= opened


@pytest.mark.parametrize("turn", [0, 90, 180, 270, "hflip", "vflip"])
def test_rotation_and_mirroring_are_applied(tmp_path, turn):
    """The picture is stored turned, and the display matrix turns it back. ffmpeg's own player rule is the judge."""
    plain = encode(tmp_path / "plain.mp4", CFR[:3])
    turned = tmp_path / "turned.mp4"
    option = ["-display_rotation", turn] if isinstance(turn, int) else [f"-display_{turn}"]
    ffmpeg(*option, "-i", plain, "-c", "copy", turned)
    reader, frames = read(turned)
    raw = subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-i", str(turned), "-frames:v", "1", "-f", "rawvideo",
         "-pix_fmt", "rgb24", "-"], capture_output=True, check=True,
    ).stdout  # fmt: skip
    width, height = reader.size
    assert (width, height) == ((64, 96) if turn in (90, 270) else (96, 64))
    expected = np.frombuffer(raw, np.uint8).reshape(height, width, 3).astype(int)
    assert np.abs(frames[0].image - expected).mean() < 3


@pytest.mark.parametrize("size", [(95, 63), (33, 64), (2, 2)])
def test_odd_sizes(tmp_path, size):
    path = encode(tmp_path / "v.mkv", CFR[:4], size=size, codec="ffv1", pix_fmt="bgr0")
    reader, frames = read(path)
    assert reader.size == size
    for frame in frames:
        np.testing.assert_array_equal(frame.image, numbered(frame.index, *size))


def test_ten_bits(tmp_path):
    _, frames = read(encode(tmp_path / "v.mkv", CFR, pix_fmt="yuv420p10le", codec="libx264"))
    assert [number(frame.image) for frame in frames] == list(range(40)) and is_upright(frames[0].image)


def test_transparent_video_lies_on_white(tmp_path):
    def cut_out(index, width, height):
        image = np.zeros((height, width, 4), np.uint8)
        image[:, : width // 2] = 200, 30, 30, 255
        return image

    path = encode(tmp_path / "v.mov", CFR[:2], codec="qtrle", pix_fmt="argb", show=cut_out)
    _, frames = read(path)
    assert frames[0].image[5, 5].tolist() == [200, 30, 30]
    assert frames[0].image[5, -5].tolist() == [255, 255, 255]


def test_pixels_that_are_not_square(tmp_path):
    path = tmp_path / "dv.mp4"
    ffmpeg("-i", encode(tmp_path / "v.mp4", CFR[:3]), "-vf", "setsar=4/3", path)
    reader, frames = read(path)
    assert reader.size == (128, 64) and frames[0].image.shape == (64, 128, 3)
    assert [number(frame.image) for frame in frames] == [0, 1, 2]


@pytest.mark.parametrize("matrix, said", [("bt709", True), ("smpte170m", True), ("bt709", False)])
def test_colours_follow_the_matrix(tmp_path, matrix, said):
    """HD without a word about its colours is BT.709, as players take it."""
    size = (96, 64) if said else (1280, 720)
    picture = tmp_path / "still.mkv"
    encode(picture, [0, 40], size=size, codec="ffv1", pix_fmt="bgr0")
    path = tmp_path / "v.mp4"
    flags = ["-colorspace", matrix] if said else []
    ffmpeg("-i", picture, "-vf", f"scale=out_color_matrix={matrix}", "-pix_fmt", "yuv444p", "-qp", "0", *flags, path)
    _, frames = read(path)
    assert np.abs(frames[1].image.astype(int) - numbered(1, *size)).mean() < 2


@settings(max_examples=200, deadline=None)
@given(st.lists(st.none() | st.integers(-100, 100_000), min_size=1, max_size=30))
def test_repaired_times_strictly_increase(raw):
    class Frame:
        dts = None

        def __init__(self, pts):
            self.pts = pts

    clock = _Clock(Fraction(1, 1000), Fraction(25), Fraction(0))
    times = [clock(Frame(pts)) for pts in raw]
    assert all(b > a for a, b in pairwise(times))
    if None not in raw and raw == sorted(set(raw)):
        assert times == raw


def test_missing_equal_and_restarting_times():
    class Frame:
        dts = None

        def __init__(self, pts):
            self.pts = pts

    def repaired(*raw):
        clock = _Clock(Fraction(1, 1000), Fraction(25), Fraction(0))
        return [clock(Frame(pts)) for pts in raw]

    assert repaired(0, None, 80, 80, 120) == [0, 40, 80, 81, 120]
    assert repaired(None, None, None) == [0, 40, 80]
    assert repaired(0, 40, 5000, 0, 40) == [0, 40, 5000, 5040, 5080]  # two files put end to end


def test_a_transport_streams_clock_starts_with_the_file(tmp_path):
    path = tmp_path / "v.ts"
    ffmpeg("-i", encode(tmp_path / "v.mp4", CFR, sound="aac"), "-c", "copy", "-output_ts_offset", "3600", path)
    _, frames = read(path)
    assert len(frames) == 40 and frames[0].time < 0.2
    assert abs(frames[-1].time - frames[0].time - 1.56) < 0.002


def test_cover_art_is_no_video(tmp_path):
    song, cover = tmp_path / "song.m4a", tmp_path / "cover.png"
    ffmpeg("-f", "lavfi", "-i", "sine=d=0.5", "-f", "lavfi", "-i", "color=red:s=64x64:d=0.04", "-map", "0", "-map", "1",
           "-c:v", "mjpeg", "-disposition:v", "attached_pic", song)  # fmt: skip
    assert not cover.exists()
    with pytest.raises(InputError, match="holds sound only"):
        VideoReader(song)


# --- broken files ----------------------------------------------------------------------------------------------------


def cut(path: Path, kept: float) -> Path:
    short = path.with_name(f"cut{path.suffix}")
    short.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    return short


def busy(path: Path, *, sound: str | None = None, **options) -> Path:
    """A video whose frames all weigh about the same, so that a cut in the middle of the file is one in its time."""
    with av.open(str(path), "w", options={"movflags": "faststart"}) as output:
        video = output.add_stream("libx264", rate=25, options={"bf": "2", "g": "10", **options})
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        noise = np.random.default_rng(0).integers(0, 60, (64, 96, 3), np.uint8)
        for index in range(50):
            image = np.clip(numbered(index) * 0.7 + np.roll(noise, index * 7, 1), 0, 255).astype(np.uint8)
            output.mux(video.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        output.mux(video.encode())
    if sound:
        with_sound = path.with_name(f"sound{path.suffix}")
        ffmpeg("-i", path, "-f", "lavfi", "-i", "sine=d=2", "-c:v", "copy", "-c:a", sound, "-movflags", "faststart",
               with_sound)  # fmt: skip
        return with_sound
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
@pytest.mark.parametrize("sound", [None, "aac"])
def test_a_video_cut_in_the_middle(tmp_path, suffix, sound):
    """All frames that are there come, in order, and then the word that the file is cut."""
    if suffix == ".avi":
        whole = tmp_path / "v.avi"
        ffmpeg("-i", busy(tmp_path / "v.mp4", sound=sound), "-c:v", "mjpeg", "-c:a", "pcm_s16le", whole)
    else:
        whole = busy(tmp_path / f"v{suffix}", sound=sound)
    assert read(whole)[0].problem is None
    reader, frames = read(cut(whole, 0.6))
    assert 15 < len(frames) < 45
    assert [number(frame.image) for frame in frames] == list(range(len(frames)))
    assert reader.problem.startswith(f"ends after {len(frames)} of about ")
    about = int(reader.problem.split("about ")[1].split()[0])
    assert abs(about - 50) <= 2 and reader.problem.endswith("frames: the file is cut")


def test_damage_in_the_middle_loses_only_what_is_damaged(tmp_path):
    path = busy(tmp_path / "v.mp4", bf="0", g="5")
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    for index in (7, 23):
        place, size = places[index]
        content[place : place + size] = b"\xff" * size
    path.write_bytes(content)
    reader, frames = read(path)
    assert len(frames) == 48
    assert [round(frame.time * 25) for frame in frames] == [i for i in range(50) if i not in (7, 23)]
    assert reader.problem == "is damaged: 2 frames can't be decoded"


def test_trimmed_without_encoding_is_not_cut(tmp_path):
    """Phones trim by an edit list: fewer frames than the track's table, and nothing is missing."""
    path = tmp_path / "trimmed.mp4"
    ffmpeg("-ss", "0.52", "-i", busy(tmp_path / "v.mp4", sound="aac"), "-t", "1.0", "-c", "copy", path)
    reader, frames = read(path)
    assert reader.problem is None and 20 <= len(frames) <= 40


def test_sound_that_outlasts_the_pictures_is_no_cut(tmp_path):
    path = tmp_path / "long.mp4"
    ffmpeg("-i", busy(tmp_path / "v.mp4"), "-f", "lavfi", "-i", "sine=d=6", "-c:v", "copy", "-c:a", "aac", path)
    reader, frames = read(path)
    assert reader.problem is None and len(frames) == 50


@pytest.mark.parametrize("content, words", [
    (None, "no such file"), (b"", "is empty"), (b"<!doctype html><title>x", "a web page"),
    (b"hello there", "not a video but a text file"), (b"\0\0\0\x18ftypisom\0\0\0\0isomiso2" + bytes(99), "MP4 video"),
    (bytes(3000), "nothing but zeros"), (b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n/etc/passwd\n", "clip.mp4"),
])  # fmt: skip
def test_what_is_no_video(tmp_path, content, words):
    path = tmp_path / "clip.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        VideoReader(path)
    assert words in str(caught.value) and str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_an_index_without_frames(tmp_path):
    """Cut before the first frame."""
    path = busy(tmp_path / "v.mp4")
    with av.open(str(path)) as container:
        first = next(container.demux(video=0)).pos
    path.write_bytes(path.read_bytes()[: first + 10])
    with pytest.raises(InputError, match="has no frame that can be decoded"):
        VideoReader(path)


def test_sound_alone(tmp_path):
    ffmpeg("-f", "lavfi", "-i", "sine=d=0.2", tmp_path / "a.mp4")
    with pytest.raises(InputError, match="holds sound only"):
        VideoReader(tmp_path / "a.mp4")


def test_names_that_look_like_addresses_or_options(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("concat:a|b.mp4", "-v.mp4", "%03d.mp4", "Ünï 顔.mp4"):
        encode(tmp_path / "plain.mp4", CFR[:3]).rename(name)
        assert len(read(Path(name))[1]) == 3
        rewrite(Path(name), Path(f"{name}.out.mp4"))
        assert len(read(Path(f"{name}.out.mp4"))[1]) == 3


# --- writing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("times", [CFR, VFR, [t + 500 for t in VFR], VFR[:1]], ids=["const", "variable", "late", "one"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_written_videos_keep_count_and_times(tmp_path, times, suffix):
    source = encode(tmp_path / f"in{suffix}", times, options={"bf": "2"})
    assert_same_frames(source, rewrite(source, tmp_path / "out.mp4", [13, 14] if len(times) > 14 else []))
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


@pytest.mark.parametrize(
    "codec, suffix", [("aac", ".mp4"), ("aac", ".mkv"), ("libmp3lame", ".mkv"), ("libopus", ".mkv"), ("ac3", ".mov")]
)
def test_sound_is_copied_packet_by_packet(tmp_path, codec, suffix):
    source = encode(tmp_path / f"in{suffix}", VFR, sound=codec)
    target = rewrite(source, tmp_path / "out.mp4", [9])
    assert_same_frames(source, target)
    assert packets(source, "audio") == packets(target, "audio")


@pytest.mark.parametrize("codec, suffix", [
    ("pcm_s16le", ".mkv"), ("pcm_s16le", ".mov"), ("pcm_s16le", ".avi"), ("libvorbis", ".mkv"),
])  # fmt: skip
def test_other_sound_becomes_aac(tmp_path, codec, suffix):
    if suffix == ".avi":
        source = tmp_path / "in.avi"
        ffmpeg("-i", encode(tmp_path / "in.mkv", CFR, sound=codec), "-c:v", "mjpeg", "-c:a", "copy", source)
    elif codec == "libvorbis":
        source = tmp_path / "in.mkv"
        ffmpeg("-i", encode(tmp_path / "pcm.mkv", CFR, sound="pcm_s16le"), "-c:v", "copy", "-c:a", codec, source)
    else:
        source = encode(tmp_path / f"in{suffix}", CFR, sound=codec)
    target = rewrite(source, tmp_path / "out.mp4")
    assert_same_frames(source, target)
    with av.open(str(target)) as container:
        sound = container.streams.audio[0]
        assert sound.codec_context.name == "aac"
        heard = sum(frame.samples for frame in container.decode(sound)) / sound.rate
    assert abs(heard - 1.6) < 0.1
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".m4a"]


def audible_from(path: Path) -> float:
    """When the first loud sample is heard, in seconds."""
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            wave = frame.to_ndarray().astype(float)
            loud = np.abs(wave).max(0) > (0.1 if "flt" in frame.format.name else 3000)
            if loud.any():
                index = int(np.argmax(loud)) // (1 if frame.format.is_planar else len(frame.layout.channels))
                return frame.time + index / frame.rate
    raise AssertionError("silence")


@pytest.mark.parametrize("codec, suffix", [("aac", ".mp4"), ("aac", ".mkv"), ("pcm_s16le", ".mkv"), ("aac", ".ts")])
@pytest.mark.parametrize("video_start, sound_start", [(0, 24000), (500, 0), (0, 0)])
def test_pictures_and_sound_stay_together(tmp_path, codec, suffix, video_start, sound_start):
    """Sound that starts late, and pictures that do."""
    times = [t + video_start for t in CFR]
    source = encode(tmp_path / f"in{suffix}", times, sound=codec, sound_start=sound_start)
    target = rewrite(source, tmp_path / "out.mp4")
    (first, before), (second, after) = read(source), read(target)
    assert len(before) == len(after) == 40
    gap_before = audible_from(source) - before[0].time
    gap_after = audible_from(target) - after[0].time
    if suffix == ".ts":  # its clock is counted from the file's start
        with av.open(str(source)) as container:
            gap_before -= container.start_time / av.time_base
    assert abs(gap_after - gap_before) < 0.03
    for a, b in zip(before, after, strict=True):
        assert abs(a.pts * first.time_base - b.pts * second.time_base) <= first.time_base


def test_odd_sizes_grow_by_their_last_column_and_row(tmp_path):
    path = tmp_path / "odd.mp4"
    with VideoWriter(path, (95, 63)) as writer:
        for index in range(5):
            writer.write(numbered(index, 95, 63))
    reader, frames = read(path)
    assert reader.size == (96, 64) and [number(frame.image) for frame in frames] == list(range(5))
    assert np.abs(frames[0].image[:, -1].astype(int) - frames[0].image[:, -2]).mean() < 6


def test_colours_come_back(tmp_path):
    path = tmp_path / "v.mp4"
    with VideoWriter(path, (96, 64), fps=Fraction(30000, 1001)) as writer:
        for index in range(3):
            writer.write(numbered(index))
    reader, frames = read(path)
    assert reader.average_rate == Fraction(30000, 1001)
    assert np.abs(frames[1].image.astype(int) - numbered(1)).mean() < 5
    flat = frames[1].image[10, 10].astype(int) - numbered(1)[10, 10]
    assert np.abs(flat).max() <= 4


def test_writer_with_a_source(tmp_path):
    source = encode(tmp_path / "in.mp4", VFR, sound="aac")
    with VideoReader(source) as reader, VideoWriter(tmp_path / "out.mp4", reader.size, reader) as writer:
        for frame in reader:
            writer.write(frame.image, frame.pts)
    assert writer.problem is None
    assert_same_frames(source, tmp_path / "out.mp4")
    assert packets(source, "audio") == packets(tmp_path / "out.mp4", "audio")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]


def test_the_index_is_at_the_front(tmp_path):
    rewrite(encode(tmp_path / "in.mp4", CFR), tmp_path / "out.mp4")
    content = (tmp_path / "out.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


def test_sound_of_a_broken_source(tmp_path):
    """What is there of the sound is taken; a source without readable sound gives silence and a word."""
    source = cut(busy(tmp_path / "v.mp4", sound="aac"), 0.6)
    target = rewrite(source, tmp_path / "out.mp4")
    assert_same_frames(source, target)
    assert 0 < len(packets(target, "audio")) <= len(packets(source, "audio"))
    with SegmentWriter(tmp_path / "s.mp4", (96, 64), 25) as writer:
        writer.write(numbered(0))
    (tmp_path / "junk.mp4").write_bytes(b"junk")
    said = assemble_video(tmp_path / "o.mp4", [writer.path], [0], Fraction(1, 25), audio_from=tmp_path / "junk.mp4")
    assert said == "its sound can't be read" and len(read(tmp_path / "o.mp4")[1]) == 1


# --- what goes wrong with writing ------------------------------------------------------------------------------------


def test_a_segment_is_there_when_closed_and_not_before(tmp_path):
    path = tmp_path / "deep" / "s.mp4"
    writer = SegmentWriter(path, (96, 64), 25)
    writer.write(numbered(0))
    assert not path.exists()
    writer.close()
    writer.close()
    assert len(packets(path, "video")) == 1
    assert [p.name for p in path.parent.iterdir()] == ["s.mp4"]


def test_an_aborted_segment_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), SegmentWriter(tmp_path / "s.mp4", (96, 64), 25) as writer:
        writer.write(numbered(0))
        raise RuntimeError
    writer.abort()
    with pytest.raises(RuntimeError), VideoWriter(tmp_path / "v.mp4", (96, 64)) as writer:
        writer.write(numbered(0))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_wrong_frames_are_refused(tmp_path):
    with SegmentWriter(tmp_path / "s.mp4", (96, 64), 25) as writer:
        with pytest.raises(ValueError, match="a frame is"):
            writer.write(numbered(0).transpose(1, 0, 2))
        with pytest.raises(ValueError, match="a frame is"):
            writer.write(numbered(0).astype(np.float32))
        writer.write(np.asfortranarray(numbered(0)))


def test_killed_encoder(tmp_path):
    writer = SegmentWriter(tmp_path / "s.mp4", (96, 64), 25)
    os.kill(writer._process.pid, signal.SIGKILL)
    with pytest.raises(OutputError, match="was stopped by signal 9") as caught:
        for index in range(1000):
            writer.write(numbered(index % 64))
        writer.close()
    assert "\n" not in str(caught.value) and list(tmp_path.iterdir()) == []


def test_segments_and_times_must_go_together(tmp_path):
    with SegmentWriter(tmp_path / "a.mp4", (96, 64), 25) as a, SegmentWriter(tmp_path / "b.mp4", (64, 64), 25) as b:
        for index in range(3):
            a.write(numbered(index))
            b.write(numbered(index, 64, 64))
    target = tmp_path / "out.mp4"
    for segments, pts, words in (
        ([a.path], [0, 1], "more than 2 frames"), ([a.path], [0, 1, 2, 3], "3 frames of 4"),
        ([a.path, b.path], range(6), "encoded differently"),
    ):  # fmt: skip
        with pytest.raises(OutputError, match=words):
            assemble_video(target, segments, pts, Fraction(1, 25))
    with pytest.raises(ValueError, match="strictly increasing"):
        assemble_video(target, [a.path], [0, 2, 2], Fraction(1, 25))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]


def test_unwritable_place(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="can't be written"):
        SegmentWriter(tmp_path / "file" / "s.mp4", (96, 64), 25)


@pytest.mark.parametrize("what", ["segment", "assembly"])
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, what):
    """RLIMIT_FSIZE stands for a full disk: whoever writes past it, ffmpeg or we, gets an error."""
    source = encode(tmp_path / "in.mp4", CFR, sound="aac")
    rewrite(source, tmp_path / "out.mp4")
    (tmp_path / "out.mp4").unlink()
    before = sorted(path.name for path in tmp_path.iterdir())
    code = f"""
import resource, sys, numpy as np
from fractions import Fraction
from pathlib import Path
from facecli.errors import OutputError
from facecli.io.video import SegmentWriter, assemble_video
folder = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
random = np.random.default_rng(0)
try:
    if {what!r} == "segment":
        with SegmentWriter(folder / "new.mp4", (96, 64), 25) as writer:
            for _ in range(200):
                writer.write(random.integers(0, 255, (64, 96, 3), np.uint8))
    else:
        assemble_video(folder / "new.mp4", [folder / "out-0.mp4"], range(40), Fraction(1, 25),
                       audio_from=folder / "in.mp4")
except OutputError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert "new.mp4: can't be written: File too large" in done.stdout, done.stdout + done.stderr
    assert done.stdout.count("\n") == 1 and done.stderr == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_many_writers_at_once(tmp_path):
    """Each encoder must see the end of its own input, though others were started in between."""
    writers = [SegmentWriter(tmp_path / f"{n}.mp4", (96, 64), 25) for n in range(4)]
    for writer in writers:
        writer.write(numbered(1))
    threads = [threading.Thread(target=writer.close) for writer in writers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.mp4", "1.mp4", "2.mp4", "3.mp4"]


@pytest.mark.skipif(not DAFOE.exists(), reason="../shared/data/media is not here")
def test_dafoe(tmp_path):
    reader, frames = read(DAFOE)
    assert len(frames) == reader.frame_count_hint == 99 and reader.size == (1280, 720)
    assert [frame.pts for frame in frames] == [1001 * i for i in range(99)] and reader.problem is None
    segments = [tmp_path / "0.mp4", tmp_path / "1.mp4"]
    for segment, part in zip(segments, (frames[:40], frames[40:]), strict=True):
        with SegmentWriter(segment, reader.size, reader.average_rate) as writer:
            for frame in part:
                writer.write(frame.image)
    target = tmp_path / "out.mp4"
    assemble_video(target, segments, [f.pts for f in frames], reader.time_base, audio_from=DAFOE)
    second, after = read(target)
    assert [f.pts * second.time_base for f in after] == [f.pts * reader.time_base for f in frames]
    assert packets(DAFOE, "audio") == packets(target, "audio")
    assert max(np.abs(a.image.astype(int) - b.image).mean() for a, b in zip(frames, after, strict=True)) < 2
