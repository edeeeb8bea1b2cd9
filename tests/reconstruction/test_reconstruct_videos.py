"""`facecli reconstruct` on videos: every frame, sound, people, resuming."""

import json
import signal
import time
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from facecli.codes import load_codes
from facecli.io.images import read_image
from facecli.io.video import VideoReader, VideoWriter
from standins import tiny as tiny_plugin


def lines(ran):
    return [json.loads(line) for line in ran.out.splitlines()]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """40 frames of 320×240: the astronaut's face wanders, is away in frames 15-19, and comes back."""
    photo = Image.open(_sample()).convert("RGB")
    head = photo.crop((130, 30, 330, 230))
    path = tmp_path_factory.mktemp("clip") / "wander.mp4"
    write_clip(path, head, 40, away=range(15, 20))
    return path


def _sample():
    return Path(__file__).parents[2] / "assets/astronaut.png"


def write_clip(path, head, frames, away=()):
    with VideoWriter(path, (320, 240), None) as writer:
        for number in range(frames):
            picture = Image.new("RGB", (320, 240), (90, 110, 130))
            if number not in away:
                turned = head.rotate(6 * np.sin(number / 6), resample=Image.Resampling.BILINEAR)
                picture.paste(turned, (20 + number, 10 + int(10 * np.sin(number / 5))))
            writer.write(np.asarray(picture))


def packets(path, kind):
    with av.open(str(path)) as container:
        stream = container.streams.get(**{kind: 0})[0]
        return [bytes(packet) for packet in container.demux(stream) if packet.size]


def test_a_video_with_a_gap(cli, clip, tmp_path):
    ran = cli("reconstruct", clip, "-o", tmp_path, "--json", "--report")
    assert ran.code == 0, ran.err
    records = lines(ran)
    assert [record["frame"] for record in records] == [*range(15), *range(20, 40)]
    assert {record["face"] for record in records} == {0}
    folder = tmp_path / "wander"
    assert {path.name for path in folder.iterdir()} == {"face0", "overlay.mp4", "faces.jsonl", "run.json"}
    codes = load_codes(folder / "face0/codes.npz")
    surface = codes.codes["surface"].numpy()
    assert surface.shape == (40, 478, 3)
    seen = np.isfinite(surface).all(axis=(1, 2))
    np.testing.assert_array_equal(np.flatnonzero(~seen), range(15, 20))
    size = codes.codes["size"].numpy()[seen]
    assert (size == size[0]).all()  # a person doesn't grow
    with VideoReader(clip) as source, VideoReader(folder / "overlay.mp4") as overlay:
        times = [[frame.time for frame in reader] for reader in (source, overlay)]
    np.testing.assert_allclose(codes.extras["time"], times[0], atol=1e-3)
    np.testing.assert_allclose(*times, atol=1e-3)
    assert (tmp_path / "report.html").stat().st_size > 50_000


def test_the_animation_is_the_codes(cli, clip, tmp_path):
    from facecli import registry
    from facecli.export.animation import read_animation

    assert cli("reconstruct", clip, "-o", tmp_path, "--save", "glb,codes").code == 0
    animation = read_animation(tmp_path / "wander/face0/mesh.glb", 468)
    codes = load_codes(tmp_path / "wander/face0/codes.npz").codes
    np.testing.assert_array_equal(animation.visible, np.isfinite(codes["size"][:, 0].numpy()))
    decoded = registry.reconstructor("mediapipe").decode(codes.select([30])).vertices[0].numpy() / 1000
    played = animation.mean + np.tensordot(animation.weights[30], animation.targets, 1)
    assert np.linalg.norm(played - decoded, axis=1).max() < 0.002  # metres


def test_two_people_keep_their_numbers(cli, media, tmp_path):
    photo = Image.open(media / "two_people.jpg").convert("RGB").resize((768, 344))
    path = tmp_path / "two.mp4"
    with VideoWriter(path, (768, 344), None) as writer:
        for number in range(12):
            # They swap sides in frame 6 as in a cut to a mirrored picture's halves.
            left, right = photo.crop((0, 0, 384, 344)), photo.crop((384, 0, 768, 344))
            frame = Image.new("RGB", (768, 344))
            frame.paste(left, (0 if number < 6 else 384, 0))
            frame.paste(right, (384 if number < 6 else 0, 0))
            writer.write(np.asarray(frame))
    ran = cli("reconstruct", path, "-o", tmp_path / "out", "--save", "codes", "--json")
    sides = {(r["frame"] < 6, r["face"]): r["box"][0] < 384 for r in lines(ran)}
    assert len(lines(ran)) == 24
    for person in (0, 1):
        assert sides[True, person] != sides[False, person]


def test_sound_frames_and_steadiness_of_a_real_video(cli, media, tmp_path):
    source = media / "dafoe.mp4"
    ran = cli("reconstruct", source, "-o", tmp_path, "--smooth", "--json")
    assert ran.code == 0, ran.err
    assert len(lines(ran)) == 99
    overlay = tmp_path / "dafoe/overlay.mp4"
    with VideoReader(source) as a, VideoReader(overlay) as b:
        pairs = zip(a, b, strict=True)
        first, drawn = next(pairs)
        times = [(x.time, y.time) for x, y in ((first, drawn), *pairs)]
    assert len(times) == 99
    np.testing.assert_allclose(*np.transpose(times), atol=1e-3)
    has_sound = bool(av.open(str(source)).streams.audio)
    if has_sound:
        assert packets(source, "audio") == packets(overlay, "audio")
    changed = np.abs(first.image.astype(int) - drawn.image)
    assert changed[300:500, 500:800].mean() > changed[:100, :100].mean() + 5
    stored = load_codes(tmp_path / "dafoe/face0/codes.npz")
    smooth, raw = (np.abs(np.diff(x, 2, 0)).mean() for x in (stored.codes["surface"], stored.extras["raw/surface"]))
    assert smooth < 0.6 * raw


def test_a_cut_video_gives_what_it_has(cli, clip, tmp_path):
    whole = clip.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: int(len(whole) * 0.6)])
    ran = cli("reconstruct", cut, "-o", tmp_path / "out", "--save", "codes,overlay", "--json")
    assert ran.code == 1
    assert len(ran.errors) == 1
    assert "cut.mp4" in ran.errors[0]
    found = [record for record in lines(ran) if "frame" in record]
    if (tmp_path / "out/cut").exists():
        assert 5 < len(found) < 40
    assert not list((tmp_path / "out").glob(".facecli*"))


def test_a_video_without_a_face(cli, tmp_path):
    path = tmp_path / "empty.mp4"
    with VideoWriter(path, (160, 120), None) as writer:
        for level in range(10):
            writer.write(np.full((120, 160, 3), 20 * level, np.uint8))
    ran = cli("reconstruct", path, "-o", tmp_path / "out")
    assert ran.code == 1
    assert "no face in any of its 10 frames" in ran.err
    assert not list((tmp_path / "out").iterdir())


def test_frames_of_their_own_when_asked_for(cli, clip, tmp_path):
    ran = cli("reconstruct", clip, "-o", tmp_path, "--save", "ply,depth,crop")
    assert ran.code == 0, ran.err
    face = tmp_path / "wander/face0"
    for folder, suffix in (("meshes", "ply"), ("depth", "png"), ("crops", "png")):
        names = sorted(path.name for path in (face / folder).iterdir())
        assert names == [f"{n:06d}.{suffix}" for n in (*range(15), *range(20, 40))]


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory):
    def face(n):
        return [] if 50 <= n < 60 else [(50 + 0.2 * n, 60 + 5 * np.sin(n / 5), 20 + n % 3, 28)]

    return tiny_plugin.write_clip(tmp_path_factory.mktemp("long") / "long.mp4", 200, face)


def tiny_words(clip, out, *words):
    return ["reconstruct", clip, "--model", "tiny", "--landmarker", "blobs", "-o", out, *words]


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (signal.SIGKILL, ["--smooth", "--save", "codes,overlay,glb"]),
        (signal.SIGINT, ["--layout", "tiny", "--save", "all"]),
    ],
)
def test_a_killed_run_goes_on_where_it_was(long_clip, tmp_path, how, words, cli, tiny):
    out, whole = tmp_path / "out", tmp_path / "whole"
    assert cli(*tiny_words(long_clip, whole, *words)).code == 0
    run = tiny.start(*tiny_words(long_clip, out, *words))
    chunks = out / ".facecli-long.work/chunks"
    while not (chunks / "chunk-00000.npz").exists() and run.poll() is None:
        time.sleep(0.01)
    assert run.poll() is None, "it was done before it could be stopped"
    run.send_signal(how)
    assert run.wait(20) == (-signal.SIGKILL if how == signal.SIGKILL else 130)
    assert list(chunks.glob("chunk-*.npz"))
    assert not (out / "long").exists()
    assert not list(out.glob("*.mp4"))
    assert cli(*tiny_words(long_clip, out, *words)).code == 0
    files = [{path.relative_to(root) for path in root.rglob("*") if path.is_file()} for root in (whole, out)]
    assert files[0] == files[1]
    for name in files[0]:
        if name.name == "codes.npz":
            first, second = (load_codes(root / name) for root in (whole, out))
            for code, value in first.codes.values.items():
                np.testing.assert_array_equal(second.codes[code].numpy(), value.numpy(), err_msg=code)
        elif name.suffix == ".mp4":
            compare_videos(whole / name, out / name, 200)
        elif name.suffix == ".txt":
            assert (whole / name).read_bytes() == (out / name).read_bytes()


def compare_videos(first, second, frames):
    with VideoReader(first) as a, VideoReader(second) as b:
        count = 0
        for x, y in zip(a, b, strict=True):
            assert x.time == y.time
            count += 1
            if count % 40 == 0:
                assert np.abs(x.image.astype(int) - y.image).mean() < 3
    assert count == frames


def test_overlay_of_an_odd_sized_video(cli, tmp_path):
    photo = read_image(_sample())[30:233, 130:331]
    path = tmp_path / "odd.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 201, 203, "bgr0"
        for _ in range(5):
            for packet in stream.encode(av.VideoFrame.from_ndarray(photo, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    ran = cli("reconstruct", path, "-o", tmp_path / "out", "--save", "overlay")
    assert ran.code == 0, ran.err
    with VideoReader(tmp_path / "out/odd/overlay.mp4") as overlay:
        assert sum(1 for _ in overlay) == 5


def test_a_frame_that_cannot_be_drawn_stays_in_the_video(cli, clip, tmp_path, monkeypatch):
    from facecli.reconstruction import clip as module

    honest = module.overlay_of

    def sometimes(frame, *rest):
        if frame.faces and frame.index in (4, 8):
            raise ValueError("no paint left")
        return honest(frame, *rest)

    monkeypatch.setattr(module, "overlay_of", sometimes)
    ran = cli("reconstruct", clip, "-o", tmp_path, "--save", "overlay,codes", "--json")
    assert ran.code == 1
    assert len(ran.errors) == 2
    assert all("no paint left" in line and "frame" in line for line in ran.errors)
    with VideoReader(tmp_path / "wander/overlay.mp4") as overlay:
        assert sum(1 for _ in overlay) == 40
    seen = np.isfinite(load_codes(tmp_path / "wander/face0/codes.npz").codes["size"][:, 0].numpy())
    np.testing.assert_array_equal(np.flatnonzero(~seen), [4, 8, *range(15, 20)])


def test_the_same_people_are_kept(cli, media, tmp_path):
    photo = Image.open(media / "two_people.jpg").convert("RGB").resize((768, 344))
    left, right = photo.crop((0, 0, 384, 344)), photo.crop((384, 0, 768, 344))
    path = tmp_path / "two.mp4"
    with VideoWriter(path, (768, 344), None) as writer:
        for number in range(10):  # who is larger changes
            frame = Image.new("RGB", (768, 344))
            for part, x, larger in ((left, 0, number % 2), (right, 384, not number % 2)):
                size = (384, 344) if larger else (340, 305)
                frame.paste(part.resize(size), (x, 0))
            writer.write(np.asarray(frame))
    ran = cli("reconstruct", path, "-o", tmp_path / "out", "--save", "codes", "--json", "--faces", "largest")
    records = lines(ran)
    assert [record["face"] for record in records] == [0] * 10
    assert len({record["box"][0] < 384 for record in records}) == 1


def test_only_one_run_works_on_a_video(cli, long_clip, tmp_path, tiny):
    words = tiny_words(long_clip, tmp_path, "--save", "codes", "-q")
    run = tiny.start(*words)
    while not (tmp_path / ".facecli-long.work/lock").exists() and run.poll() is None:
        time.sleep(0.01)
    ran = cli(*words)
    assert ran.code == 1
    assert "another facecli is at work on it" in ran.err
    assert run.wait(60) == 0
    assert "1 done before" in cli(*words[:-1]).err


def test_a_second_run_says_again_what_was_wrong_and_shows_all_again(cli, clip, tmp_path):
    cut = tmp_path / "cut.mkv"
    with av.open(str(clip)) as source, av.open(str(cut), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    content = cut.read_bytes()
    cut.write_bytes(content[: int(len(content) * 0.7)])
    pages = []
    for _ in range(2):
        ran = cli("reconstruct", cut, "-o", tmp_path / "out", "--report", "--save", "glb,json")
        assert ran.code == 1
        assert "ends after" in ran.err
        page = (tmp_path / "out/report.html").read_text()
        assert "ends after" in page
        pages.append(page.count("<canvas class=face3d"))
    assert pages == [1, 1]
