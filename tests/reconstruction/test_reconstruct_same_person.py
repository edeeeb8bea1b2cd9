"""`--same-person`: what a person keeps is known from all inputs together."""

import json
import random
import signal
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import facecli
from facecli.codes import load_codes
from facecli.errors import InputError, UsageError
from facecli.io.images import read_image, write_image
from facecli.reconstruction.album import Told, combined
from facecli.reconstruction.settings import Settings
from standins import tiny as drawn

WORDS = ("--same-person", "--save", "codes")


def identity_of(folder, face=0):
    return load_codes(folder / f"face{face}/codes.npz").codes["identity"].numpy()


def raw_of(folder):
    return load_codes(folder / "face0/codes.npz").extras["raw/identity"]


def times_of(out):
    return {path.name: path.stat().st_mtime_ns for path in out.iterdir()}


@pytest.fixture
def photographs(tiny, tmp_path):
    """Three of a person; in `two.png` stands a smaller one, too."""
    pictures = {
        "one.png": [(60, 60, 20, 30)],
        "two.png": [(50, 60, 24, 28), (120, 60, 12, 30)],
        "three.png": [(70, 50, 20, 22)],
    }
    for name, faces in pictures.items():
        write_image(tmp_path / name, tiny.picture(faces))
    return [tmp_path / name for name in pictures]


def test_photographs_share_their_mean(run, photographs, tmp_path):
    ran = run(*photographs, *WORDS)
    assert ran.code == 0, ran.err
    assert "one person: identity from the largest face of all 3 inputs" in ran.err
    folders = [tmp_path / "out" / path.stem for path in photographs]
    raw = [raw_of(folder) for folder in folders]
    assert np.unique(raw).size == 3
    for folder in folders:
        np.testing.assert_allclose(identity_of(folder), np.mean(raw, axis=0), rtol=1e-6)
        assert [path.name for path in folder.glob("face*") if path.is_dir()] == ["face0"]
    assert not list((tmp_path / "out").glob(".facecli*"))
    assert run(*photographs, "--save", "codes", "--faces", "largest", out="apart").code == 0
    for folder, own in zip(folders, raw, strict=True):  # all else is as it was
        apart = load_codes(tmp_path / "apart" / folder.name / "face0/codes.npz")
        np.testing.assert_array_equal(apart.codes["identity"], own)
        shared = load_codes(folder / "face0/codes.npz")
        for name in ("texture", "camera", "warp"):
            np.testing.assert_array_equal(shared.codes[name], apart.codes[name])
        np.testing.assert_array_equal(shared.extras["box"], apart.extras["box"])


def test_what_is_shared_is_what_is_drawn(run, photographs, tmp_path):
    ran = run(*photographs, "--same-person", "--save", "obj,glb,overlay,outline,crop,json")
    assert ran.code == 0, ran.err
    heights = {path.stem: np.ptp(_vertices(tmp_path / "out" / path.stem)[:, 1]) for path in photographs}
    assert np.ptp(list(heights.values())) < 1e-3
    assert {"overlay.png", "outline.png", "crop.png"} <= {p.name for p in (tmp_path / "out/one/face0").iterdir()}


def _vertices(folder):
    lines = (folder / "face0/mesh.obj").read_text().splitlines()
    return np.array([line.split()[1:4] for line in lines if line.startswith("v ")], float)


def test_neither_order_nor_place_of_the_list_matters(run, photographs, tmp_path):
    assert run(*photographs, *WORDS).code == 0
    before = times_of(tmp_path / "out")
    names = "".join(f"{path}\n" for path in reversed(photographs))
    again = run("-", *WORDS, stdin=names)
    assert again.code == 0 and "3 done before" in again.err
    assert [json.loads(line)["input"] for line in again.out.splitlines()] == [str(p) for p in reversed(photographs)]
    assert times_of(tmp_path / "out") == before
    (tmp_path / "moved").mkdir()
    moved = [path.rename(tmp_path / "moved" / path.name) for path in photographs]
    assert "3 done before" in run(*moved, *WORDS).err
    names = "".join(f"{path}\n" for path in reversed(moved))
    assert run("-", *WORDS, stdin=names, out="other").code == 0
    for path in photographs:
        files = [tmp_path / out / path.stem / "face0/codes.npz" for out in ("out", "other")]
        first, second = (load_codes(file).codes.values for file in files)
        for name, value in first.items():
            np.testing.assert_array_equal(value, second[name])


def test_another_list_is_another_person(run, photographs, tmp_path):
    assert run(*photographs, *WORDS).code == 0
    fewer = run(*photographs[:2], *WORDS)
    assert fewer.code == 0 and "done before" not in fewer.err
    folders = [tmp_path / "out" / path.stem for path in photographs]
    np.testing.assert_allclose(identity_of(folders[0]), (raw_of(folders[0]) + raw_of(folders[1])) / 2, rtol=1e-6)
    plain = run(photographs[0], "--save", "codes")
    assert plain.code == 0 and "done before" not in plain.err
    assert "raw/identity" not in load_codes(folders[0] / "face0/codes.npz").extras


def test_one_bad_input_does_not_count(run, tiny, photographs, tmp_path):
    write_image(tmp_path / "nobody.png", tiny.picture([]))
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n but no more")
    words = [photographs[0], tmp_path / "nobody.png", tmp_path / "broken.png", tmp_path / "none.png", photographs[2]]
    ran = run(*words, *WORDS)
    assert ran.code == 1
    assert ran.err.count("no face found") == 1 and ran.err.count("no such file") == 1 and "broken.png" in ran.err
    assert "the largest face of 2 of 5 inputs" in ran.err and "2 inputs, 2 faces" in ran.err and "3 failed" in ran.err
    one, three = tmp_path / "out/one", tmp_path / "out/three"
    np.testing.assert_allclose(identity_of(one), (raw_of(one) + raw_of(three)) / 2, rtol=1e-6)
    before = times_of(tmp_path / "out")
    calls = drawn.BlobLandmarker.calls
    again = run(*words, *WORDS)
    assert again.code == 1 and "2 done before" in again.err
    assert times_of(tmp_path / "out") == before
    assert drawn.BlobLandmarker.calls == calls + 1  # what is done isn't looked at where nobody needs it


def test_what_is_missing_is_made_with_what_the_others_tell(run, photographs, tmp_path):
    import shutil

    assert run(*photographs, *WORDS).code == 0
    expected = identity_of(tmp_path / "out/one")
    shutil.rmtree(tmp_path / "out/one")
    ran = run(*photographs, *WORDS)
    assert ran.code == 0 and "2 done before" in ran.err
    np.testing.assert_array_equal(identity_of(tmp_path / "out/one"), expected)


def changing(n):
    """Heads of several proportions, and away for a while; beside it a slim one for a moment."""
    person = (50 + n, 60, 24, 26 + n % 5)
    return [] if n in (3, 4) else [person, (130, 50, 8, 30)] if n > 15 else [person]


@pytest.fixture
def clip(tiny, tmp_path):
    return tiny.write_clip(tmp_path / "clip.mp4", 20, changing)


def test_a_video_counts_once(run, photographs, clip, tmp_path):
    ran = run(clip, *photographs[:2], *WORDS[:1], "--save", "codes,outline,overlay,glb")
    assert ran.code == 0, ran.err
    out = tmp_path / "out"
    raw = raw_of(out / "clip")
    seen = np.isfinite(raw[:, 0])
    assert seen.sum() == 18
    median = np.sort(raw[seen], axis=0)[(seen.sum() - 1) // 2]
    mean = (median + raw_of(out / "one")[0] + raw_of(out / "two")[0]) / 3
    for identity in (identity_of(out / "clip")[seen], identity_of(out / "one"), identity_of(out / "two")):
        np.testing.assert_allclose(identity, np.tile(mean, (len(identity), 1)), rtol=1e-6)
    # What is drawn is what is shared.
    high, wide = np.ptp(np.argwhere(read_image(out / "clip/face0/outline/000010.png").any(2)), axis=0)
    assert high / wide == pytest.approx(float(mean[0]), abs=0.06)
    before = times_of(out)
    assert "3 done before" in run(*photographs[:2], clip, *WORDS[:1], "--save", "codes,outline,overlay,glb").err
    assert times_of(out) == before
    assert not list(out.glob(".facecli*"))


def test_further_faces_keep_their_own(run, photographs, clip, tmp_path):
    ran = run(clip, *photographs[:2], *WORDS, "--faces", "all")
    assert ran.code == 0, ran.err
    assert "; other faces keep their own" in ran.err
    out = tmp_path / "out"
    shared = identity_of(out / "two")
    np.testing.assert_array_equal(identity_of(out / "one"), shared)
    other = load_codes(out / "two/face1/codes.npz")
    assert float(other.codes["identity"]) > 2 and "raw/identity" not in other.extras
    slim = identity_of(out / "clip", face=1)
    assert np.nanmin(slim) == np.nanmax(slim) > 2.5
    assert np.nanmax(identity_of(out / "clip")) == shared


def test_a_video_without_anybody_is_one_line(run, tiny, photographs, tmp_path):
    empty = tiny.write_clip(tmp_path / "empty.mp4", 5, lambda n: [])
    (tmp_path / "cut.mp4").write_bytes(b"not a video")
    ran = run(empty, photographs[0], tmp_path / "cut.mp4", photographs[2], *WORDS)
    assert ran.code == 1
    assert "empty.mp4: no face in any of its 5 frames" in ran.err and "cut.mp4" in ran.err
    assert "2 of 4 inputs" in ran.err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"one", "three"}


def test_certain_inputs_count_more(run, photographs, tmp_path, monkeypatch):
    from tiny_face.model import TinyReconstructor

    def certainty(codes):
        """Low heads are seen from above."""
        return codes["identity"][:, 0] > 1.4

    monkeypatch.setattr(TinyReconstructor, "certainty", staticmethod(lambda codes: certainty(codes).float()), False)
    assert run(*photographs, *WORDS).code == 0
    out = tmp_path / "out"
    np.testing.assert_allclose(identity_of(out / "two"), raw_of(out / "one"), rtol=2e-3)
    assert raw_of(out / "two").item() < 1.2


def test_models_that_say_nothing_of_a_person(run, photographs, tmp_path, monkeypatch):
    from tiny_face.model import TinyReconstructor

    monkeypatch.setattr(TinyReconstructor, "constants", ())
    ran = run(*photographs, *WORDS)
    assert ran.code == 2
    assert "the model tiny names no codes that a person keeps" in ran.err and "smirk" in ran.err
    held = run(*photographs, *WORDS, "--hold", "texture")
    assert held.code == 0, held.err
    assert "one person: texture from the largest face" in held.err and "has no code for who somebody is" in held.err
    wrong = run(*photographs, *WORDS, "--hold", "colour", out="wrong")
    assert wrong.code == 2 and "no code 'colour' to hold" in wrong.err


def test_codes_and_transfers_are_refused(run, photographs, tmp_path, cli):
    assert run(*photographs, "--save", "codes").code == 0
    ran = run(photographs[0], tmp_path / "out/two/face0/codes.npz", *WORDS, out="again")
    assert ran.code == 1
    assert "is a file of codes, which --same-person doesn't take" in ran.err
    assert identity_of(tmp_path / "again/one") == raw_of(tmp_path / "again/one")
    with pytest.raises(UsageError, match="--photo goes with files of codes"):
        Settings(same_person=True, photo="a.png")
    with pytest.raises(UsageError, match="are two people"):
        list(facecli.transfer(photographs[0], photographs[1], "tiny", same_person=True))


def test_in_python(run, tiny, photographs, clip, tmp_path):
    assert run(*photographs, clip, *WORDS).code == 0
    inputs = [clip, read_image(photographs[1]), photographs[0], photographs[2]]
    faces = list(facecli.reconstruct(inputs, "tiny", landmarker="blobs", same_person=True))
    assert [face.input for face in faces[-3:]] == ["array 1", str(photographs[0]), str(photographs[2])]
    assert len(faces) == 18 + 3
    assert len({float(face.codes["identity"]) for face in faces}) == 1
    np.testing.assert_array_equal(faces[-1].codes["identity"], identity_of(tmp_path / "out/one"))
    lame = [tmp_path / "none.png", np.zeros((9, 9), np.float32), tmp_path / "out/one/face0/codes.npz", photographs[0]]
    (alone,) = facecli.reconstruct(lame, "tiny", landmarker="blobs", same_person=True, on_error="skip")
    np.testing.assert_array_equal(alone.codes["identity"][0], raw_of(tmp_path / "out/one")[0])
    for item in lame[:3]:
        with pytest.raises(InputError):
            list(facecli.reconstruct([item, photographs[0]], "tiny", landmarker="blobs", same_person=True))


# --- combining -------------------------------------------------------------------------------------------------------

NUMBERS = st.lists(st.floats(-1e6, 1e6, width=32), min_size=3, max_size=3)


@settings(max_examples=40)
@given(st.lists(st.tuples(NUMBERS, st.floats(1e-3, 1)), min_size=1, max_size=9), st.randoms(use_true_random=False))
def test_combining_is_a_mean_in_whatever_order(inputs, rng: random.Random):
    told = [Told({"identity": np.array(value, np.float32)}, weight) for value, weight in inputs]
    first = combined(told)
    rng.shuffle(told)
    np.testing.assert_array_equal(combined(told).values["identity"], first.values["identity"])
    values, weights = np.array([value for value, _ in inputs]), np.array([weight for _, weight in inputs])
    expected = np.average(values, axis=0, weights=weights)
    np.testing.assert_allclose(first.values["identity"], expected, rtol=1e-5, atol=1e-6 * np.abs(values).max())
    assert first.inputs == len(inputs)


# --- killed runs -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """20 photographs and a video."""
    folder = tmp_path_factory.mktemp("many")
    for number in range(20):
        write_image(folder / f"{number:02}.png", drawn.picture([(60, 60, 20, 20 + number % 9)]))
    drawn.write_clip(folder / "clip.mp4", 40, lambda n: [(50 + n / 4, 60, 24, 26 + n % 5)])
    return folder


def words(many, out):
    return "reconstruct", many, *WORDS, "--hold", "auto", "--model", "tiny", "--landmarker", "blobs", "-o", out


@pytest.fixture(scope="module")
def whole(many, tmp_path_factory):
    """What a run gives that nobody stops."""
    from facecli import registry
    from facecli.cli.main import run as facecli_

    out, known = tmp_path_factory.mktemp("whole"), registry.plugins() | drawn.plugins()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "plugins", lambda: known)
        assert facecli_([str(word) for word in words(many, out)]) == 0
    return out


@pytest.mark.parametrize("sign", [".facecli-person-*.work/album/*.npz", "1*"])
def test_a_run_killed_in_either_pass_goes_on(cli, tiny, many, whole, tmp_path, sign):
    out = tmp_path / "out"
    killed = tiny.start(*words(many, out))
    while not list(out.glob(sign)) and killed.poll() is None:
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait(20) == -signal.SIGKILL, "it was done before it could be stopped"
    done = {path.name: path.stat().st_mtime_ns for path in out.glob("[0-9]*")}
    ran = cli(*words(many, out))
    assert ran.code == 0, ran.err
    assert {name: (out / name).stat().st_mtime_ns for name in done} == done
    assert {path.name for path in out.iterdir()} == {path.name for path in whole.iterdir()}
    for folder in whole.iterdir():
        for (name, value), other in zip(*map(_arrays, (folder, out / folder.name)), strict=True):
            np.testing.assert_array_equal(other[1], value, err_msg=f"{folder.name} {name}")


def _arrays(folder):
    stored = load_codes(folder / "face0/codes.npz")
    return [*stored.codes.values.items(), *stored.extras.items()]


def test_two_runs_at_once_do_not_meet(run, photographs, tmp_path):
    import filelock

    killed = tmp_path / "out"
    assert run(*photographs, *WORDS).code == 0
    state = json.loads((killed / "one/run.json").read_text())["settings"]
    assert len(state["same_person"]) == 32
    from facecli.reconstruction import same_person

    names = []
    original = same_person.ResultFolder.resume

    def resume(folder, **how):
        if folder.final.name.startswith("person-"):
            names.append(folder)
            folder.work.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(folder.work / "lock"):
                return original(folder, **how)
        return original(folder, **how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(same_person.ResultFolder, "resume", resume)
        ran = run(*photographs[:2], *WORDS, out="other")
    assert ran.code == 1 and "another facecli is at work" in ran.err and names
