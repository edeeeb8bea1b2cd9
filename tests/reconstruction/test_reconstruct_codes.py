"""`facecli reconstruct codes.npz`: decoded and drawn again, without looking for a face."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import facecli
from facecli import registry
from facecli.codes import Codes, load_codes, save_codes
from facecli.export.obj import read_obj
from facecli.io.images import read_image, write_image
from facecli.io.video import VideoReader

AWAY = (4, 5)


def lines(ran):
    return [json.loads(line) for line in ran.out.splitlines()]


@pytest.fixture
def photo(tiny, tmp_path):
    write_image(tmp_path / "photo.png", tiny.picture([(60, 50, 20, 26), (120, 40, 12, 15)]))
    return tmp_path / "photo.png"


@pytest.fixture
def clip(tiny, tmp_path):
    return tiny.write_clip(tmp_path / "clip.mp4", 12, lambda n: [] if n in AWAY else [(50 + 2 * n, 50, 20, 26)])


@pytest.fixture
def made(run, photo, tmp_path):
    """The folder of the photograph's results."""
    assert run(photo, "--save", "codes,obj,overlay,outline", out="made").code == 0
    return tmp_path / "made/photo"


def test_a_photographs_codes_give_its_files_again(run, tiny, made, photo, tmp_path):
    tiny.BlobLandmarker.calls = 0
    ran = run(made / "face0/codes.npz", "--photo", photo, "--save", "codes,obj,overlay,json,depth", model=False)
    assert ran.code == 0, ran.err
    assert tiny.BlobLandmarker.calls == 0
    (record,) = lines(ran)
    (before,) = (json.loads(line) for line in (made / "faces.jsonl").read_text().splitlines()[:1])
    for key in ("box", "score", "camera", "photo_size", "model"):
        assert record[key] == before[key]
    again = tmp_path / "out/photo-face0/face0"
    np.testing.assert_array_equal(read_image(again / "overlay.png"), read_image(made / "face0/overlay.png"))
    first, second = read_obj(made / "face0/mesh.obj"), read_obj(again / "mesh.obj")
    np.testing.assert_array_equal(second.vertices, first.vertices)
    np.testing.assert_array_equal(second.texture, first.texture)
    one, two = (load_codes(folder / "codes.npz") for folder in (made / "face0", again))
    for name, value in one.codes.values.items():
        np.testing.assert_array_equal(two.codes[name], value)
    np.testing.assert_array_equal(two.extras["box"], one.extras["box"])
    assert (
        "1 done before"
        in run(made / "face0/codes.npz", "--photo", photo, "--save", "codes,obj,overlay,json,depth", model=False).err
    )


def test_without_a_photograph_all_is_black(run, made, tmp_path):
    ran = run(made / "face1/codes.npz", "--save", "all,pictures", "--render-orig", model=False)
    assert ran.code == 0, ran.err
    folder = tmp_path / "out/photo-face1/face0"
    assert not (folder / "crop.png").exists()
    assert (folder / "outline.png").exists() and (folder / "outline_photo.png").exists()
    assert not (folder / "beside.png").exists()  # needs what the model saw
    overlay = read_image(folder / "overlay.png")
    assert overlay.shape == (120, 160, 3)
    assert overlay[40, 120].any() and not overlay[50, 60].any()


def test_meshes_are_grey_without_photograph_and_texture(run, cli, astronaut, tmp_path):
    assert cli("reconstruct", astronaut, "-o", tmp_path / "made", "--save", "codes").code == 0
    codes = tmp_path / "made/astronaut/face0/codes.npz"
    assert run(codes, "--save", "obj,glb", model=False).code == 0
    assert read_obj(tmp_path / "out/astronaut-face0/face0/mesh.obj").texture is None
    assert run(codes, "--save", "obj", "--photo", astronaut, out="with", model=False).code == 0
    assert read_obj(tmp_path / "with/astronaut-face0/face0/mesh.obj").texture is not None


def test_several_faces_in_one_file(run, made, tmp_path):
    parts = [load_codes(made / f"face{n}/codes.npz") for n in (1, 0)]
    both = tmp_path / "both.npz"
    save_codes(both, Codes.concatenate([part.codes for part in parts]))
    ran = run(both, "--save", "codes,json", model=False)
    assert ran.code == 0, ran.err
    records = lines(ran)
    assert [record["face"] for record in records] == [0, 1]
    assert [record["score"] for record in records] == [None, None]  # the file doesn't tell
    assert records[0]["box"] == pytest.approx([108, 25, 132, 55], abs=1)  # the mesh's
    save_codes(both, Codes.concatenate([part.codes for part in parts]), box=[[0, 0, 9, 9], [0, 0, 99, 99]])
    ran = run(both, "--save", "codes", "--faces", "largest", out="largest", model=False)
    (record,) = lines(ran)
    assert record["box"] == [0, 0, 99, 99]
    again = load_codes(tmp_path / "largest/both/face0/codes.npz").codes
    np.testing.assert_array_equal(again["camera"], parts[1].codes["camera"])


def test_a_list_of_codes_and_pictures(run, made, photo, tmp_path):
    listed = "\n".join(map(str, (made / "face0/codes.npz", photo, made / "face1/codes.npz")))
    ran = run("-", "--save", "json", stdin=listed)
    assert ran.code == 0, ran.err
    assert [record["face"] for record in lines(ran)] == [0, 0, 1, 0]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"photo-face0", "photo", "photo-face1"}
    assert run(made, "-r", model=False, out="again").code == 1  # folders' codes are no inputs


def test_a_videos_codes_give_its_files_again(run, tiny, clip, tmp_path):
    words = ["--save", "codes,overlay,glb,json,outline"]
    assert run(clip, *words, out="made").code == 0
    codes = tmp_path / "made/clip/face0/codes.npz"
    tiny.BlobLandmarker.calls = 0
    ran = run(codes, *words, "--photo", clip, model=False, out="with")
    assert ran.code == 0, ran.err
    assert tiny.BlobLandmarker.calls == 0
    seen = [n for n in range(12) if n not in AWAY]
    assert [record["frame"] for record in lines(ran)] == seen
    compare_overlays(tmp_path / "made/clip/overlay.mp4", tmp_path / "with/clip-face0/overlay.mp4", 1.0)
    one, two = (load_codes(path) for path in (codes, tmp_path / "with/clip-face0/face0/codes.npz"))
    for name, value in one.codes.values.items():
        np.testing.assert_array_equal(two.codes[name], value)
    assert (tmp_path / "with/clip-face0/face0/outline.mp4").exists()
    ran = run(codes, *words, model=False, out="black")
    assert ran.code == 0, ran.err
    folder = tmp_path / "black/clip-face0"
    with VideoReader(folder / "overlay.mp4") as video:
        frames = list(video)
        assert video.size == (160, 120)
    np.testing.assert_allclose([frame.time for frame in frames], one.extras["time"], atol=1e-4)
    assert [n for n, frame in enumerate(frames) if frame.image.mean() < 3] == list(AWAY)
    assert not list((tmp_path / "black").glob(".facecli*"))


def compare_overlays(first, second, most):
    with VideoReader(first) as a, VideoReader(second) as b:
        for x, y in zip(a, b, strict=True):
            assert abs(x.time - y.time) < 1e-4
            assert np.abs(x.image.astype(int) - y.image).mean() < most


def test_a_videos_codes_on_a_photograph(run, tiny, clip, photo, tmp_path):
    assert run(clip, "--save", "codes", out="made").code == 0
    ran = run(tmp_path / "made/clip/face0/codes.npz", "--photo", photo, "--save", "overlay", model=False)
    assert ran.code == 0, ran.err
    still = read_image(photo).astype(int)
    with VideoReader(tmp_path / "out/clip-face0/overlay.mp4") as video:
        for frame in video:
            drawn = np.abs(frame.image[:, :100] - still[:, :100]).max(2) > 60
            assert (drawn.mean() > 0.05) == (frame.index not in AWAY)


def test_stored_codes_are_smoothed_and_held(run, tiny, tmp_path):
    clip = tiny.write_clip(tmp_path / "wide.mp4", 12, lambda n: [(80, 60, 20 + n % 3, 26)])
    assert run(clip, "--save", "codes", "--hold", "texture", out="made").code == 0
    codes = tmp_path / "made/wide/face0/codes.npz"
    ran = run(codes, "--save", "codes", "--smooth-with", "savgol", model=False)
    assert ran.code == 0, ran.err
    before, after = (load_codes(path) for path in (codes, tmp_path / "out/wide-face0/face0/codes.npz"))
    assert np.ptp(after.codes["camera"][:, 0]) < np.ptp(before.codes["camera"][:, 0])
    np.testing.assert_array_equal(after.extras["raw/camera"], before.codes["camera"])


def test_codes_that_do_not_fit(run, made, photo, clip, tmp_path, monkeypatch):
    good = made / "face0/codes.npz"
    assert run(clip, "--save", "codes", out="video").code == 0
    film = tmp_path / "video/clip/face0/codes.npz"
    small = tmp_path / "small.png"
    write_image(small, read_image(photo)[:60])
    for source, words, says in (
        (good, ["--photo", small], "has 160×60 pixels, but the codes belong on 160×120"),
        (good, ["--photo", clip], "is a video, but the codes are of a photograph"),
        (film, ["--photo", small], "has 160×60 pixels"),
        (
            good,
            ["--model", "mediapipe"],
            "holds codes of the family 'tiny' (model tiny), the model mediapipe decodes those of 'mediapipe'",
        ),
        (photo, ["--photo", photo, "--model", "tiny"], "is no file of codes"),
    ):
        ran = run(source, *words, model=False, out="bad")
        assert ran.code == 1, says
        (line,) = ran.errors
        assert says in line
    missing = run(good, "--photo", tmp_path / "none.png", model=False)
    assert missing.code == 2
    assert "none.png: no such file" in missing.err
    known = {name: plugin for name, plugin in registry.plugins().items() if name != "tiny"}
    monkeypatch.setattr(registry, "plugins", lambda: known)
    ran = run(good, model=False, out="bad")
    assert ran.code == 1
    assert "codes of the model 'tiny', which is not installed" in ran.err
    assert not list((tmp_path / "bad").rglob("*.*"))


def test_another_model_of_the_family_decodes(run, made, tiny, monkeypatch, tmp_path):
    known = dict(registry.plugins())
    known["flat"] = replace(known["tiny"], name="flat")
    monkeypatch.setattr(registry, "plugins", lambda: known)
    ran = run(made / "face0/codes.npz", "--model", "flat", "-O", "depth=flat", "--save", "codes,ply", model=False)
    assert ran.code == 0, ran.err
    assert lines(ran)[0]["model"] == "flat"
    assert load_codes(tmp_path / "out/photo-face0/face0/codes.npz").codes.model == "flat"


def test_damaged_codes_are_one_line_each(run, made, clip, tmp_path):
    codes = load_codes(made / "face0/codes.npz").codes
    for name, content, extras in (
        ("empty", {name: value[:0] for name, value in codes.values.items()}, {}),
        ("nan", {**codes.values, "camera": codes["camera"] * np.nan}, {}),
        ("size", {**codes.values, "photo_size": codes["photo_size"] * -1}, {}),
        ("sizes", {name: torch.cat([value, 2 * value]) for name, value in codes.values.items()}, {}),
        ("time", dict(codes.values), {"time": np.array([np.nan])}),
        ("back", {name: torch.cat([value, value]) for name, value in codes.values.items()}, {"time": [2.0, 1.0]}),
        ("nobody", {name: value * np.nan for name, value in codes.values.items()}, {"time": [0.0]}),
    ):
        save_codes(tmp_path / f"{name}.npz", Codes(content, "tiny", "tiny"), **extras)
    (tmp_path / "cut.npz").write_bytes((made / "face0/codes.npz").read_bytes()[:700])
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    said = {
        "empty": "codes of no face", "nan": "codes of no face", "size": "no size of the photograph",
        "sizes": "photographs of different sizes", "time": "frames' times", "back": "frames' times",
        "nobody": "no face in any of its 1 frames", "cut": "not a readable", "other": "holds no facecli codes",
    }  # fmt: skip
    ran = run(*(tmp_path / f"{name}.npz" for name in said), "--save", "json", model=False)
    assert ran.code == 1
    assert len(ran.errors) == len(said)
    for (name, words), line in zip(said.items(), ran.errors, strict=True):
        assert f"{name}.npz" in line and words in line, line
    assert not list((tmp_path / "out").rglob("*.json"))
    assert not list((tmp_path / "out").glob(".facecli*"))


def test_codes_that_a_model_cannot_decode_end_no_run(run, made, tmp_path, monkeypatch, tiny):
    codes = load_codes(made / "face0/codes.npz").codes
    without = Codes({name: value for name, value in codes.values.items() if name != "camera"}, "tiny", "tiny")
    save_codes(tmp_path / "without.npz", without)
    ran = run(tmp_path / "without.npz", made / "face0/codes.npz", "--save", "json", model=False)
    assert ran.code == 1
    (line,) = ran.errors
    assert "without.npz: the model tiny failed on it: KeyError: 'camera'" in line
    assert len(lines(ran)) == 2
    from tiny_face.model import TinyReconstructor

    from facecli.errors import UsageError

    def particular(self, codes, honest=TinyReconstructor.decode):
        if "camera" not in codes:
            raise UsageError("codes without a camera")
        return honest(self, codes)

    monkeypatch.setattr(TinyReconstructor, "decode", particular)
    ran = run(tmp_path / "without.npz", made / "face0/codes.npz", "--save", "json", model=False, out="again")
    assert ran.errors == [f"error: {tmp_path / 'without.npz'}: codes without a camera"]
    assert len(lines(ran)) == 2


def test_codes_in_python(tiny, photo, clip, made):
    (face,) = facecli.reconstruct(made / "face1/codes.npz")
    (before,) = (f for f in facecli.reconstruct(photo, "tiny", landmarker="blobs") if f.face == 1)
    np.testing.assert_array_equal(face.mesh.vertices, before.mesh.vertices)
    assert not face.photo.any()
    (on_photo,) = facecli.reconstruct(made / "face1/codes.npz", photo=photo)
    np.testing.assert_array_equal(on_photo.overlay(), before.overlay())
    with pytest.raises(facecli.errors.InputError, match="no such file"):
        list(facecli.reconstruct("none.npz"))
