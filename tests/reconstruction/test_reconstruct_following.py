"""A model's `follow`: where what a person keeps is replaced, the other codes are fitted again around it."""

import numpy as np
import pytest
import torch

import facecli
from facecli.codes import Codes, load_codes
from facecli.io.images import write_image
from facecli.reconstruction.following import follow

PERSON = ("--same-person", "--save", "codes")


@pytest.fixture
def asked(monkeypatch):
    """The example model follows: heads stay as high in the picture as they were. Returns all (codes, before)."""
    from tiny_face.model import TinyReconstructor

    asked = []

    def following(self, codes, before):
        asked.append((codes, before))
        scale = codes["camera"][:, :1] * before["identity"] / codes["identity"]
        camera = torch.cat([scale, codes["camera"][:, 1:]], 1)
        return codes.replace(identity=codes["identity"] + 9, camera=camera, further=camera)

    monkeypatch.setattr(TinyReconstructor, "follow", following, False)
    return asked


def faces_of(asked):
    return sum(len(codes) for codes, _ in asked)


@pytest.fixture
def photographs(tiny, tmp_path):
    """Two of a person; in the second stands a smaller one, too."""
    pictures = {"one.png": [(60, 60, 20, 30)], "two.png": [(50, 60, 24, 28), (120, 60, 12, 30)]}
    for name, faces in pictures.items():
        write_image(tmp_path / name, tiny.picture(faces))
    return [tmp_path / name for name in pictures]


@pytest.fixture
def clip(tiny, tmp_path):
    """A head of several proportions, away for a while."""
    return tiny.write_clip(tmp_path / "clip.mp4", 20, lambda n: [] if n in (3, 4) else [(50 + n, 60, 24, 26 + n % 5)])


def codes_of(folder, face=0):
    stored = load_codes(folder / f"face{face}/codes.npz")
    seen = np.isfinite(stored.codes["identity"][:, 0].numpy())
    values = {name: value.numpy()[seen] for name, value in stored.codes.values.items()}
    raw = {name: value[seen] for name, value in stored.extras.items() if name.startswith("raw/")}
    return values | raw


def height(codes, raw=""):
    """In pixels of the photograph, as :meth:`TinyReconstructor.decode` draws it."""
    return codes[f"{raw}camera"][:, 0] / codes["warp"][:, 0, 0] * codes[f"{raw}identity"][:, 0]


def test_photographs(run, photographs, asked, tmp_path):
    assert run(*photographs, *PERSON, "--faces", "all").code == 0
    one, two = (codes_of(tmp_path / "out" / path.stem) for path in photographs)
    assert one["identity"] == two["identity"] != one["raw/identity"]
    for codes in (one, two):
        assert not np.allclose(codes["camera"], codes["raw/camera"], rtol=1e-3)
        np.testing.assert_allclose(height(codes), height(codes, "raw/"), rtol=1e-5)
        assert "raw/texture" not in codes and "further" not in codes
    assert faces_of(asked) == 2
    assert run(*photographs, "--save", "codes", out="apart").code == 0
    other, apart = (codes_of(tmp_path / out / "two", face=1) for out in ("out", "apart"))
    assert other.keys() == apart.keys()
    for name, value in other.items():  # the smaller face isn't the person
        np.testing.assert_array_equal(value, apart[name])
    # In Python it is the same.
    first, *_ = facecli.reconstruct(photographs, "tiny", landmarker="blobs", same_person=True)
    np.testing.assert_array_equal(first.codes["camera"], one["camera"])


def test_a_photograph_alone_stays(run, photographs, asked, tmp_path):
    assert run(photographs[0], *PERSON).code == 0
    assert run(photographs[0], "--save", "codes", out="apart").code == 0
    alone, apart = (codes_of(tmp_path / out / "one") for out in ("out", "apart"))
    for name, value in apart.items():
        np.testing.assert_array_equal(alone[name], value)
    assert not asked


@pytest.mark.parametrize("words", [("--hold", "auto"), ("--same-person",), ()], ids=["held", "person", "once"])
def test_videos(run, photographs, clip, asked, tmp_path, words):
    inputs = [clip, photographs[0]] if "--same-person" in words else [clip]
    ran = run(*inputs, *words, "--save", "codes")
    assert ran.code == 0, ran.err
    codes = codes_of(tmp_path / "out/clip")
    assert len(np.unique(codes["identity"])) == 1
    changed = sum(int((after["identity"] != before["identity"]).sum()) for after, before in asked)
    assert changed == faces_of(asked)  # nobody is asked of faces that stay
    if words:
        same = codes["raw/identity"] == codes["identity"]
        assert changed == (~same).sum() + ("--same-person" in words)
        np.testing.assert_array_equal(codes["camera"][same[:, 0]], codes["raw/camera"][same[:, 0]])
        np.testing.assert_allclose(height(codes), height(codes, "raw/"), rtol=1e-5)
    else:
        assert changed > 5
        faces = facecli.reconstruct(clip, "tiny", landmarker="blobs")
        own = [height({name: value.numpy() for name, value in face.codes.values.items()}) for face in faces]
        np.testing.assert_allclose(height(codes), np.concatenate(own), rtol=1e-5)


def test_smoothing_comes_last(run, clip, asked, tmp_path):
    """What is asked is what the model gave, frame by frame, and what it answers is smoothed."""
    smooth = ("--hold", "auto", "--smooth-with", "savgol", "--save", "codes")
    assert run(clip, *smooth).code == 0
    codes = codes_of(tmp_path / "out/clip")
    raw = {tuple(row) for row in np.round(codes["raw/camera"], 4).tolist()}
    assert {tuple(row) for _, found in asked for row in np.round(found["camera"].numpy(), 4).tolist()} <= raw
    firm, jitter = (np.abs(np.diff(height(codes, kind), 2))[5:].mean() for kind in ("", "raw/"))
    assert firm < 0.5 * jitter
    assert height(codes).mean() == pytest.approx(height(codes, "raw/").mean(), rel=0.01)


def test_what_users_hold_does_not_follow(run, clip, photographs, asked, tmp_path):
    assert run(clip, "--hold", "auto,camera,texture", "--save", "codes").code == 0
    codes = codes_of(tmp_path / "out/clip")
    for name in ("camera", "texture"):
        assert len(np.unique(codes[name], axis=0)) == 1 < len(np.unique(codes[f"raw/{name}"], axis=0))
    assert run(*photographs, *PERSON, "--hold", "camera", out="person").code == 0
    one, two = (codes_of(tmp_path / "person" / path.stem) for path in photographs)
    np.testing.assert_array_equal(one["camera"], two["camera"])
    for after, before in asked:  # the model sees its constants replaced, and nothing else
        np.testing.assert_array_equal(after["camera"], before["camera"])
        np.testing.assert_array_equal(after["texture"], before["texture"])


def test_transfers_do_not_ask(photographs, clip, asked):
    """Another's identity is meant to change the face; a video's own is held as ever."""
    one, two = photographs
    words = {"take": ("identity",), "landmarker": "blobs"}
    (face,) = facecli.transfer(one, two, "tiny", faces="largest", **words)
    assert not asked and float(face.codes["identity"]) == pytest.approx(28 / 24, rel=0.05)
    faces = list(facecli.transfer(clip, one, "tiny", **words))
    assert len(faces) == 18 and {float(face.codes["identity"]) for face in faces} == {1.5}
    held = {float(value) for after, _ in asked for value in after["identity"]}
    assert len(held) == 1 and 1.5 not in held and faces_of(asked) < 18


def test_models_that_do_not_follow(run, photographs, tmp_path):
    assert run(*photographs, *PERSON).code == 0
    assert set(codes_of(tmp_path / "out/one")) == {
        "identity", "texture", "camera", "warp", "photo_size", "raw/identity",
    }  # fmt: skip


def test_only_faces_whose_constants_changed_are_asked():
    class Model:
        constants = ("identity", "skin")  # the latter isn't in these codes

        def follow(self, codes, before):
            return codes.replace(pose=before["pose"] + codes["identity"].sum(1, keepdim=True))

    before = Codes({"identity": torch.arange(6.0).reshape(3, 2), "pose": torch.rand(3, 3), "hair": torch.rand(3, 1)})
    held = before["identity"].clone()
    held[1] = 5
    codes = before.replace(identity=held, hair=torch.zeros(3, 1))
    followed = follow(codes, before, Model(), ("identity", "hair"))
    assert followed["identity"] is held and followed["hair"] is codes["hair"]
    assert torch.equal(followed["pose"][[0, 2]], before["pose"][[0, 2]])
    assert torch.equal(followed["pose"][1], before["pose"][1] + 10)
    assert follow(before.replace(hair=codes["hair"]), before, Model(), ("hair",))["pose"] is before["pose"]
