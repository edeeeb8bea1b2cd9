"""`facecli transfer expression` with the example model, which knows no expressions: of photographs the `identity` is
taken for one, an ellipse's height by width, and of videos the `texture`, its colour."""

import json

import numpy as np
import pytest

from facecli.codes import load_codes
from facecli.export.glb import read_glb
from facecli.io.images import read_image, write_image
from facecli.io.video import VideoReader

WIDE, TALL = 0.8, 1.5


def frames_of(path):
    with VideoReader(path) as reader:
        return [frame.image for frame in reader]


def ratio(codes):
    return codes["identity"][:, 0].numpy()


@pytest.fixture
def source(tiny, tmp_path):
    """Two faces, the larger one wide."""
    faces = [(60, 60, 25, 25 * WIDE), (120, 40, 14, 14)]
    write_image(tmp_path / "source.png", tiny.picture(faces, colors=[(220, 90, 60), (200, 40, 90)]))
    return tmp_path / "source.png"


@pytest.fixture
def target(tiny, tmp_path):
    write_image(tmp_path / "target.png", tiny.picture([(80, 60, 20, 20 * TALL), (20, 20, 12, 12)]))
    return tmp_path / "target.png"


def green(n):
    """Of the face in frame n of the clip."""
    return 80 + 60 * np.sin(np.asarray(n) / 3)


def shown(codes):
    return 255 * codes["texture"][:, 1].numpy()


HELD = [0, 1, 2, 3, 3, 6, 6, 7, 8, 9, 10, 11, 12, 13]
"""The clip's frames, or the nearest one that shows the face."""


def write_colors(path, count, away=()):
    """A face whose colour changes, 25 frames a second."""
    from facecli.io.video import VideoWriter
    from standins import tiny

    with VideoWriter(path, (160, 120), fps=25) as writer:
        for n in range(count):
            faces = [] if n in away else [(60 + n % 14, 60, 22, 26)]
            writer.write(tiny.picture(faces, colors=[(220, int(green(n)), 60)]))
    return path


@pytest.fixture
def clip(tiny, tmp_path):
    """Its face is not there in frames 4 and 5."""
    return write_colors(tmp_path / "clip.mp4", 14, (4, 5))


@pytest.fixture
def walk(tiny, tmp_path):
    """A wide face that walks, 10 frames at 5 a second."""
    return tiny.write_clip(tmp_path / "walk.mp4", 10, lambda n: [(50 + 4 * n, 55, 25, 25 * WIDE)], fps=5)


def test_a_photograph_with_a_photograph(transfer, lines, source, target, tmp_path):
    ran = transfer(source, "--target", target)
    assert ran.code == 0, ran.err
    records = lines(ran)
    assert [record["face"] for record in records] == [0, 1]
    folder = tmp_path / "out/source/target"
    assert records[0]["target"] == str(target)
    assert records[0]["animation"] == str(folder / "animation.jpg")
    own, theirs = 2 * [WIDE, 1.0], TALL
    for number, record in enumerate(records):
        codes = load_codes(record["codes"]).codes
        assert ratio(codes) == pytest.approx(theirs, rel=0.06)
        mesh = read_glb(record["mesh"])
        low, high = mesh.vertices.min(0), mesh.vertices.max(0)
        assert (high - low)[1] / (high - low)[0] == pytest.approx(theirs, rel=0.06)
        assert own[number] != theirs
    face = json.loads((folder / "face1/face.json").read_text())
    assert face["target"] == str(target)
    assert face["target_face"] == 0
    strip = read_image(folder / "animation.jpg")
    assert strip.shape == (2 * 320, 5 * 320, 3)


def test_the_texture_is_the_sources(transfer, source, target, tmp_path, lines):
    """The example model's texture is the skin's colour: a code that isn't taken."""
    ran = transfer(source, "--target", target, "--save", "obj,codes")
    for record, color in zip(lines(ran), ((220, 90, 60), (200, 40, 90)), strict=True):
        texture = read_image(tmp_path / f"out/source/target/face{record['face']}/mesh.png")
        assert np.abs(texture.reshape(-1, 3).mean(0) - color).max() < 12
    assert not (tmp_path / "out/source/target/animation.jpg").exists()


def test_codes_are_decoded_again(transfer, cli, source, target, tmp_path, lines):
    (first, _) = lines(transfer(source, "--target", target))
    ran = cli("reconstruct", first["codes"], "-o", tmp_path / "again", "--json", "--save", "codes,obj")
    assert ran.code == 0, ran.err
    again = load_codes(lines(ran)[0]["codes"]).codes
    for name, value in load_codes(first["codes"]).codes.values.items():
        np.testing.assert_array_equal(again[name], value)


def test_a_photograph_with_a_video_plays(transfer, source, clip, tmp_path, lines):
    ran = transfer(source, "--target", clip, "--faces", "largest", "--gif", take="texture")
    assert ran.code == 0, ran.err
    folder = tmp_path / "out/source/clip"
    codes = load_codes(folder / "face0/codes.npz")
    np.testing.assert_allclose(shown(codes.codes), green(HELD), atol=8)
    assert ratio(codes.codes) == pytest.approx(WIDE, rel=0.06)
    assert np.ptp(codes.codes["camera"].numpy(), axis=0).max() == 0  # the source stands still
    assert (folder / "face0/mesh.glb").exists()
    told = json.loads((folder / "face0/face.json").read_text())
    assert (told["input"], told["target"], told["frames_with_face"]) == (str(source), str(clip), 14)
    for name in ("overlay", "animation"):
        assert len(frames_of(folder / f"{name}.mp4")) == 14
    strip = frames_of(folder / "animation.mp4")
    assert strip[0].shape == (320, 1600, 3)
    first, last = (image[:, :640].astype(int) for image in (strip[0], strip[-1]))
    assert np.abs(first - last).mean() < 2  # source and its reconstruction stand still
    assert np.abs(strip[0][:, 640:960].astype(int) - strip[9][:, 640:960]).mean() > 2
    assert (folder / "animation.gif").read_bytes()[:3] == b"GIF"
    records = lines(ran)
    assert len(records) == 14
    assert records[0]["gif"] == str(folder / "animation.gif")


def test_a_video_with_a_photograph_keeps_its_expression(transfer, walk, target, tmp_path, lines):
    ran = transfer(walk, "-t", target)
    assert ran.code == 0, ran.err
    codes = load_codes(tmp_path / "out/walk/target/face0/codes.npz").codes
    np.testing.assert_allclose(ratio(codes), TALL, rtol=0.06)
    boxes = np.array([record["box"] for record in lines(ran)])
    np.testing.assert_allclose(np.diff(boxes[:, 0]), 4, atol=1.5)  # the source walks on


@pytest.mark.parametrize(("flags", "count"), [((), 3), (("--loop",), 10)])
def test_two_videos_by_time(transfer, walk, clip, tmp_path, flags, count):
    """The target lasts 0.56 s, the source 2 s."""
    ran = transfer(walk, "-t", clip, *flags, take="texture")
    assert ran.code == 0, ran.err
    codes = load_codes(tmp_path / "out/walk/clip/face0/codes.npz")
    assert len(codes.codes) == count
    at = 5 * np.arange(count) % 14
    np.testing.assert_allclose(shown(codes.codes), green(np.array(HELD)[at]), atol=8)
    assert len(frames_of(tmp_path / "out/walk/clip/animation.mp4")) == count


def test_stored_codes_on_both_sides(transfer, cli, source, clip, target, tiny, tmp_path, lines):
    model = ("-m", "tiny", "--landmarker", "blobs")
    made = cli("reconstruct", source, target, clip, *model, "-o", tmp_path / "made", "--save", "codes")
    assert made.code == 0, made.err
    still, moving, other = (tmp_path / f"made/{name}/face0/codes.npz" for name in ("source", "clip", "target"))
    tiny.BlobLandmarker.calls = 0
    ran = transfer(still, "-t", moving, "-t", other, model=False, take="texture,identity")
    assert ran.code == 0, ran.err
    assert tiny.BlobLandmarker.calls == 0
    folder = tmp_path / "out/source-face0"
    found = shown(load_codes(folder / "clip-face0/face0/codes.npz").codes)
    np.testing.assert_allclose(found, green(HELD), atol=8)
    assert ratio(load_codes(folder / "target-face0/face0/codes.npz").codes) == pytest.approx(TALL, rel=0.06)
    assert read_image(folder / "target-face0/animation.jpg").shape == (320, 4 * 320, 3)  # no photograph, no look
    ran = transfer(moving, "-t", other, model=False, out="on_video")
    assert ran.code == 0, ran.err
    seen = ratio(load_codes(tmp_path / "on_video/clip-face0/target-face0/face0/codes.npz").codes)
    assert np.isnan(seen).nonzero()[0].tolist() == [4, 5]  # where the source isn't seen there is nothing
    np.testing.assert_allclose(np.delete(seen, [4, 5]), TALL, rtol=0.06)


def test_source_codes_lie_on_their_photograph(transfer, cli, source, target, tmp_path):
    cli("reconstruct", source, "-m", "tiny", "--landmarker", "blobs", "-o", tmp_path / "made", "--save", "codes")
    ran = transfer(tmp_path / "made/source/face0/codes.npz", "-t", target, "--photo", source, model=False)
    assert ran.code == 0, ran.err
    assert read_image(tmp_path / "out/source-face0/target/animation.jpg").shape == (320, 1600, 3)


def test_every_source_with_every_target_once(transfer, source, target, walk, tiny, tmp_path, lines):
    both = transfer(source, walk, "-t", target, "-t", source, "--save", "codes")
    assert both.code == 0, both.err
    names = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").glob("*/*"))
    assert names == ["source/source", "source/target", "walk/source", "walk/target"]
    calls = tiny.BlobLandmarker.calls
    assert calls == 13  # 10 frames, and the pictures once each (one of them as source and as target)
    again = transfer(source, walk, "-t", target, "-t", source, "--save", "codes")
    assert lines(again) == lines(both)
    assert tiny.BlobLandmarker.calls == calls
    assert "4 done before" in again.err
    assert transfer(source, "-t", target, "--save", "codes", "--keep", "jaw").code == 0
    assert tiny.BlobLandmarker.calls == calls + 2  # other settings: done again
    assert not list((tmp_path / "out").glob(".facecli-*"))  # nothing is left of the way


def test_a_video_may_be_source_and_target(transfer, clip, tiny, tmp_path):
    ran = transfer(clip, "-t", clip, "--save", "codes", take="texture")
    assert ran.code == 0, ran.err
    assert tiny.BlobLandmarker.calls == 14
    codes = load_codes(tmp_path / "out/clip/clip/face0/codes.npz").codes
    np.testing.assert_allclose(np.delete(shown(codes), [4, 5]), np.delete(green(HELD), [4, 5]), atol=8)


def test_damaged_codes_are_told_of_the_pair(transfer, source, target, tmp_path):
    import torch

    from facecli.codes import Codes, save_codes

    few = tmp_path / "few.npz"
    save_codes(few, Codes({"identity": torch.zeros(1, 1)}, "tiny", "tiny"))
    ran = transfer(few, source, "-t", target, "--save", "codes")
    assert ran.code == 1
    assert len(ran.errors) == 1
    assert f"{few} with {target}: the model tiny failed on these codes: KeyError" in ran.errors[0]


def test_a_face_of_the_target_by_number(transfer, source, target, tmp_path, lines):
    records = lines(transfer(source, "-t", target, "--target-face", "1", "--save", "codes"))
    assert records[0]["target_face"] == 1
    assert ratio(load_codes(records[0]["codes"]).codes) == pytest.approx(1.0, rel=0.08)
    ran = transfer(source, "-t", target, "--target-face", "5", "--save", "codes", out="none")
    assert ran.code == 1
    assert ran.errors == [f"error: {target}: has no face 5, only 2 faces (see --target-face)"]


def test_what_fails_is_told_once_and_the_others_go_on(transfer, source, target, tiny, tmp_path, lines):
    empty, broken = tmp_path / "empty.png", tmp_path / "broken.png"
    write_image(empty, tiny.picture([]))
    broken.write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    ran = transfer(source, empty, tmp_path / "missing.png", "-t", empty, "-t", target, "-t", broken, "--save", "codes")
    assert ran.code == 1
    assert sum("empty.png: no face found" in line for line in ran.errors) == 2  # as target, as source
    assert sum("missing.png" in line for line in ran.errors) == 1
    assert sum("broken.png" in line for line in ran.errors) == 1
    assert len(ran.errors) == 4
    assert {record["target"] for record in lines(ran) if "target" in record} == {str(target)}
    assert sum("error" in record for record in lines(ran)) == 4


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--take", "smile"), "--take smile: codes are called identity"),
        (("--keep", "smile"), "--keep smile"),
        (("--target-face", "first"), "--target-face is largest or a face's number"),
        (("--target-model", "mediapipe"), "tiny and mediapipe can't be mixed: their codes are of different families"),
        (("--model", "nobody"), "nobody"),
        (("--save", "everything"), "can't save everything"),
    ],
)
def test_wrong_words_are_refused_at_once(transfer, source, target, words, problem):
    ran = transfer(source, "-t", target, *words, take=None)
    assert ran.code == 2
    assert len(ran.errors) == 1
    assert problem in ran.errors[0]


def test_what_the_target_lacks_is_told_of_the_pair(transfer, source, target):
    ran = transfer(source, "-t", target, take="jaw")
    assert ran.code == 1
    assert ran.errors == [
        f"error: {source} with {target}: the target has no code 'jaw' to take; it has identity, texture, camera"
    ]
    ran = transfer(source, "-t", target, take=None)  # no expression in this model
    assert "nothing is left to take" in ran.errors[0]


def test_neutral_is_for_models_that_carry(transfer, source, target):
    ran = transfer(source, "-t", target, "--neutral", "guess")
    assert ran.code == 2
    assert "leave --neutral away" in ran.errors[0]


def test_expression_is_what_is_meant_without_a_second_word(cli):
    assert "SOURCE" in cli("transfer", "expression", "--help").out
    assert "expression" in cli("transfer", "--help").out
    assert "Missing option '--target'" in cli("transfer", "me.jpg").err


def test_a_list_on_standard_input(transfer, source, target, walk, tmp_path, lines):
    ran = transfer("-", "-t", target, "--save", "codes", stdin=f"{source}\n{walk}\n")
    assert ran.code == 0, ran.err
    assert {record["input"] for record in lines(ran)} == {str(source), str(walk)}
    assert transfer("-", "-t", "-", stdin="").code == 2


def test_a_stopped_run_goes_on(transfer, tiny, source, tmp_path, monkeypatch):
    """What was found of the target, and whole chunks of the drawing, aren't done again."""
    from facecli.reconstruction import passes
    from facecli.reenactment import pairs

    monkeypatch.setattr(passes, "CHUNK_FRAMES", 5)
    clip = write_colors(tmp_path / "long.mp4", 16)
    words = (source, "-t", clip, "--faces", "largest")
    assert transfer(*words, out="straight", take="texture").code == 0
    drawn, strip = [], pairs.Pair.strip

    def stopping(self, frame, textures=None):
        drawn.append(frame.index)
        if frame.index == 12:
            raise KeyboardInterrupt
        return strip(self, frame, textures)

    monkeypatch.setattr(pairs.Pair, "strip", stopping)
    assert transfer(*words, take="texture").code == 130
    assert not (tmp_path / "out/source/long").exists()
    monkeypatch.setattr(
        pairs.Pair, "strip", lambda self, frame, t=None: drawn.append(frame.index) or strip(self, frame, t)
    )
    calls = tiny.BlobLandmarker.calls
    drawn.clear()
    assert transfer(*words, take="texture").code == 0
    assert tiny.BlobLandmarker.calls == calls + 1  # the source
    assert sorted(drawn) == list(range(10, 16))
    assert not list((tmp_path / "out").glob("**/.facecli-*"))
    a, b = (load_codes(tmp_path / out / "source/long/face0/codes.npz").codes for out in ("straight", "out"))
    for name, value in a.values.items():
        np.testing.assert_array_equal(b[name], value)
    one, two = (frames_of(tmp_path / out / "source/long/animation.mp4") for out in ("straight", "out"))
    assert len(one) == len(two) == 16
    assert max(np.abs(x.astype(int) - y).mean() for x, y in zip(one, two, strict=True)) < 1
