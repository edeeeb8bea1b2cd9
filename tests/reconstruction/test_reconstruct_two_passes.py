"""Videos that must be known to their end: held codes, Savitzky-Golay, and runs that are killed in either pass."""

import json
import signal
import time

import numpy as np
import pytest
from scipy.signal import savgol_filter

import facecli
from facecli.codes import load_codes
from facecli.io.video import VideoReader
from standins import tiny as tiny_plugin

AWAY = range(15, 28)


def lines(ran):
    return [json.loads(line) for line in ran.out.splitlines()]


def wobble(n):
    """A face that drifts, and whose size flickers."""
    return [] if n in AWAY else [(50 + 0.8 * n + 0.5 * (-1) ** n, 60, 20 + (n * 7 % 5) / 2, 28 + (n * 3 % 4) / 2)]


@pytest.fixture
def clip(tiny, tmp_path):
    return tiny.write_clip(tmp_path / "clip.mp4", 50, wobble)


def codes_of(folder):
    return load_codes(folder / "face0/codes.npz")


def test_held_codes_are_the_median(run, clip, tmp_path):
    assert run(clip, "--save", "codes,outline,overlay", out="plain").code == 0
    ran = run(clip, "--save", "codes,outline,overlay,glb", "--hold", "identity,texture")
    assert ran.code == 0, ran.err
    seen = [n for n in range(50) if n not in AWAY]
    assert [record["frame"] for record in lines(ran)] == seen
    held = codes_of(tmp_path / "out/clip")
    for name in ("identity", "texture"):
        raw = held.extras[f"raw/{name}"][seen]
        assert len(np.unique(raw, axis=0)) > 1
        expected = np.sort(raw, axis=0)[(len(raw) - 1) // 2]  # the median that is one of the values
        np.testing.assert_allclose(held.codes[name][seen], np.tile(expected, (len(seen), 1)))
    assert np.isnan(held.codes["identity"][list(AWAY)]).all()
    assert "raw/camera" not in held.extras
    plain = codes_of(tmp_path / "plain/clip")
    np.testing.assert_array_equal(held.codes["camera"], plain.codes["camera"])
    assert not [name for name in plain.extras if name.startswith("raw/")]
    # What is drawn is what is held: the outline's colour is the texture's.
    colors = (held.codes["texture"][0].numpy() * 255).round()
    from facecli.io.images import read_image

    for n in (0, 30, 49):
        drawn = read_image(tmp_path / f"out/clip/face0/outline/{n:06d}.png")
        np.testing.assert_array_equal(np.unique(drawn.reshape(-1, 3), axis=0)[-1], colors)
    assert not list((tmp_path / "out").glob(".facecli*"))


def test_the_models_constants_are_held_by_auto(run, clip, tmp_path):
    assert run(clip, "--save", "codes", "--hold", "auto").code == 0
    held = codes_of(tmp_path / "out/clip")
    assert {name for name in held.extras if name.startswith("raw/")} == {"raw/identity"}
    wrong = run(clip, "--save", "codes", "--hold", "identity,colour", out="wrong")
    assert wrong.code == 2
    assert "no code 'colour' to hold; it has identity, texture, camera" in wrong.err


def test_savitzky_golay_over_a_video(run, clip, tmp_path):
    ran = run(clip, "--save", "codes", "--smooth-with", "savgol")
    assert ran.code == 0, ran.err
    smooth = codes_of(tmp_path / "out/clip")
    raw = smooth.extras["raw/texture"]
    for part in (slice(0, 15), slice(28, 50)):  # the gap parts the two
        expected = savgol_filter(raw[part], 7, 2, axis=0, mode="interp")
        np.testing.assert_allclose(smooth.codes["texture"][part], expected, atol=1e-5)
    wider = run(clip, "--save", "codes", "--smooth-with", "savgol", "--smooth-window", "0.5", out="wide")
    assert wider.code == 0, wider.err
    wide = codes_of(tmp_path / "wide/clip").codes["texture"]
    np.testing.assert_allclose(wide[28:], savgol_filter(raw[28:], 13, 2, axis=0, mode="interp"), atol=1e-5)


def test_smoothing_is_done_on_the_photograph_not_in_the_crop(run, clip, tmp_path):
    """The crop flickers with the box; what is smoothed is where the head lies on the photograph."""
    assert run(clip, "--save", "codes", "--smooth-with", "savgol").code == 0
    codes = codes_of(tmp_path / "out/clip").codes
    from tiny_face.model import TinyReconstructor

    steady = TinyReconstructor.steady(codes.select(slice(28, 50)))["camera"].numpy()
    raw = codes.replace(camera=codes["warp"].new_tensor(codes_of(tmp_path / "out/clip").extras["raw/camera"]))
    before = TinyReconstructor.steady(raw.select(slice(28, 50)))["camera"].numpy()
    np.testing.assert_allclose(steady, savgol_filter(before, 7, 2, axis=0, mode="interp"), rtol=1e-4)
    assert np.ptp(np.diff(steady[:, 0])) < 0.5 * np.ptp(np.diff(before[:, 0]))


def test_one_euro_in_one_pass_and_in_two_is_the_same(run, clip, tmp_path):
    assert run(clip, "--save", "codes", "--smooth", out="one").code == 0
    assert run(clip, "--save", "codes", "--smooth", "--hold", "auto", out="two").code == 0
    one, two = (codes_of(tmp_path / name / "clip") for name in ("one", "two"))
    for name in ("texture", "camera"):
        np.testing.assert_allclose(two.codes[name], one.codes[name], rtol=1e-5, err_msg=name)
        np.testing.assert_array_equal(two.extras[f"raw/{name}"], one.extras[f"raw/{name}"])


def test_two_people_keep_their_own(run, tiny, tmp_path):
    clip = tiny.write_clip(tmp_path / "two.mp4", 10, lambda n: [(40 + n, 50, 20 + n % 2, 26), (120 - n, 60, 14, 16)])
    ran = run(clip, "--save", "codes,outline", "--hold", "auto", "--smooth-with", "savgol")
    assert ran.code == 0, ran.err
    assert [record["face"] for record in lines(ran)] == [0, 1] * 10 or {r["face"] for r in lines(ran)} == {0, 1}
    identities = [load_codes(tmp_path / f"out/two/face{n}/codes.npz").codes["identity"][0] for n in (0, 1)]
    assert abs(float(identities[0] - identities[1])) > 0.05
    assert len(list((tmp_path / "out/two/face1/outline").iterdir())) == 10
    largest = run(clip, "--save", "codes", "--hold", "auto", "--faces", "largest", out="largest")
    assert {record["face"] for record in lines(largest)} == {0}
    assert len(lines(largest)) == 10


def test_two_passes_in_python(tiny, clip, run, tmp_path):
    assert run(clip, "--save", "codes", "--hold", "auto", "--smooth-with", "savgol").code == 0
    written = codes_of(tmp_path / "out/clip").codes
    faces = list(
        facecli.reconstruct(clip, "tiny", landmarker="blobs", hold=("auto",), smooth_with="savgol", save="outline")
    )
    assert [face.index for face in faces] == [n for n in range(50) if n not in AWAY]
    for face in faces[::7]:
        np.testing.assert_array_equal(face.codes["camera"][0], written["camera"][face.index])
        assert face.pictures["outline"].shape == (64, 64, 3)


def test_settings_of_smoothing():
    from facecli.errors import UsageError
    from facecli.reconstruction.settings import Settings

    assert Settings().smoother is None
    assert Settings(smooth=True).smoother == "one-euro"
    assert not Settings(smooth=True).two_passes
    assert Settings(smooth_with="savgol").two_passes
    with pytest.raises(UsageError, match="one-euro or savgol"):
        Settings(smooth_with="gauss")
    with pytest.raises(UsageError, match="--smooth-window"):
        Settings(smooth_window=0)
    plain, smooth, euro, golay = (
        Settings(**words).fingerprint(video=True)
        for words in ({}, {"smooth": True}, {"smooth_with": "one-euro"}, {"smooth_with": "savgol"})
    )
    assert smooth == euro
    assert len({json.dumps(print_) for print_ in (plain, smooth, golay)}) == 3


# --- killed runs -----------------------------------------------------------------------------------------------------


FRAMES = 200
WORDS = ["--save", "codes,overlay,outline", "--hold", "auto", "--smooth-with", "savgol"]


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory):
    return tiny_plugin.write_clip(tmp_path_factory.mktemp("long") / "long.mp4", FRAMES, wobble_long)


def wobble_long(n):
    return [] if 110 <= n < 130 else [(50 + 0.1 * n + 0.5 * (-1) ** n, 60, 20 + (n * 7 % 5) / 2, 28)]


@pytest.fixture(scope="module")
def whole(long_clip, tmp_path_factory):
    """What a run gives that nobody stops."""
    from facecli import registry
    from facecli.cli.main import run as facecli_

    out, known = tmp_path_factory.mktemp("whole"), registry.plugins() | tiny_plugin.plugins()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "plugins", lambda: known)
        assert facecli_([str(word) for word in words(long_clip, out)]) == 0
    return out / "long"


def words(clip, out):
    return "reconstruct", clip, "--model", "tiny", "--landmarker", "blobs", *WORDS, "-o", out


@pytest.mark.parametrize("chunk", ["chunk-00000.npz", "drawn-00000.npz"])
def test_a_run_killed_in_either_pass_goes_on(run, long_clip, whole, tmp_path, chunk):
    killed = tiny_plugin.start(*words(long_clip, tmp_path / "out"))
    chunks = tmp_path / "out/.facecli-long.work/chunks"
    while not (chunks / chunk).exists() and killed.poll() is None:
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait(20) == -signal.SIGKILL, "it was done before it could be stopped"
    assert not (tmp_path / "out/long").exists()
    ran = run(long_clip, *WORDS)
    assert ran.code == 0, ran.err
    out = tmp_path / "out/long"
    assert (out / "faces.jsonl").read_text() == (whole / "faces.jsonl").read_text()
    first, second = codes_of(whole), codes_of(out)
    for name, value in first.codes.values.items():
        np.testing.assert_array_equal(second.codes[name], value, err_msg=name)
    for name, value in first.extras.items():
        np.testing.assert_array_equal(second.extras[name], value, err_msg=name)
    with VideoReader(whole / "overlay.mp4") as a, VideoReader(out / "overlay.mp4") as b:
        count = 0
        for x, y in zip(a, b, strict=True):
            count += 1
            assert x.time == y.time
            if count % 40 == 0:
                assert np.abs(x.image.astype(int) - y.image).mean() < 3
    assert count == FRAMES
    pictures = [sorted((folder / "face0/outline").iterdir()) for folder in (whole, out)]
    assert [p.name for p in pictures[0]] == [p.name for p in pictures[1]]
    assert all(p.read_bytes() == q.read_bytes() for p, q in zip(*pictures, strict=True))
    assert not list((tmp_path / "out").glob(".facecli*"))
