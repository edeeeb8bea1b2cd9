"""`facecli transfer avatar.glb`: users' own avatars with the example model, whose colours are taken for weights."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from facecli.export.arkit import NAMES, read_csv, read_json
from facecli.io.gltf import read_gltf
from facecli.io.images import write_image
from standins import avatars

JAW = NAMES.index("jawOpen")
OPEN = 0.7


def green(number):
    """Of the face in a frame."""
    return 60 + 8 * number


@pytest.fixture(autouse=True)
def telling(tiny, monkeypatch):
    """The example model tells ``jawOpen`` (green) and ``mouthPucker`` (blue)."""
    from tiny_face.model import TinyReconstructor

    def arkit(self, codes):
        weights = torch.zeros(len(codes), 52)
        weights[:, JAW], weights[:, NAMES.index("mouthPucker")] = codes["texture"][:, 1], codes["texture"][:, 2]
        return weights

    monkeypatch.setattr(TinyReconstructor, "arkit", arkit, raising=False)


@pytest.fixture
def avatar(tmp_path):
    return avatars.person().write(tmp_path / "my avatar.glb")


@pytest.fixture
def photograph(tiny, tmp_path):
    faces = [(60, 60, 25, 25), (130, 40, 14, 14)]
    write_image(tmp_path / "photo.png", tiny.picture(faces, colors=[(220, 255 * OPEN, 60), (220, 20, 60)]))
    return tmp_path / "photo.png"


@pytest.fixture
def video(tiny, tmp_path):
    """12 frames at 12 a second; nobody in the fourth."""
    from facecli.io.video import VideoWriter

    with VideoWriter(tmp_path / "clip.mp4", (160, 120), fps=12) as writer:
        for number in range(12):
            faces = [] if number == 3 else [(70, 60, 30, 34)]
            writer.write(tiny.picture(faces, colors=[(220, green(number), 60)]))
    return tmp_path / "clip.mp4"


def weights_of(path):
    """By the node that shows them."""
    document = read_gltf(path).document
    return {
        node["name"]: node.get("weights", document["meshes"][node["mesh"]].get("weights"))
        for node in document["nodes"]
        if "mesh" in node
    }


def test_a_photographs_weights_in_a_copy_of_the_file(transfer, lines, avatar, photograph, tmp_path):
    ran = transfer(avatar, "--target", photograph, take=None)
    assert ran.code == 0, ran.err
    (record,) = lines(ran)
    folder = tmp_path / "out/my avatar/photo"
    assert record["mesh"] == str(folder / "my avatar.glb") and record["arkit"] == str(folder / "arkit.json")
    assert record["source"] == "model" and record["shapes"] == 3 and record["target_face"] == 0
    found = weights_of(record["mesh"])
    assert found["Face"][0] == pytest.approx(OPEN, abs=0.02) and found["Mouth"] == [found["Face"][0]]
    assert read_json(record["arkit"]).weights[0, JAW] == pytest.approx(OPEN, abs=0.02)
    assert "my avatar.glb: has 3 of ARKit's 52 shapes, not " in ran.err
    assert ran.err.count("has no shapes eyeLook…: its eyes' nodes turn instead") == 1
    again = transfer(avatar, "--target", photograph, take=None)
    assert again.code == 0 and "1 done before" in again.err
    (other,) = lines(transfer(avatar, "--target", photograph, "--target-face", 1, take=None, out="other"))
    assert weights_of(other["mesh"])["Face"][0] == pytest.approx(20 / 255, abs=0.02)


def test_a_video_becomes_an_animation_and_a_table(transfer, lines, avatar, video):
    ran = transfer(avatar, "--target", video, take=None)
    assert ran.code == 0, ran.err
    (record,) = lines(ran)
    file = read_gltf(record["mesh"])
    assert [animation["name"] for animation in file.document["animations"]] == ["idle", "clip"]
    table = read_csv(record["arkit"].replace(".json", ".csv"), rate=12)
    assert len(table.times) == 12
    track = read_json(record["arkit"])
    assert track.visible.tolist() == [number != 3 for number in range(12)]
    seen = track.visible
    np.testing.assert_allclose(track.weights[seen, JAW], green(np.arange(12))[seen] / 255, atol=0.03)
    clip = file.document["animations"][1]
    channel = next(c for c in clip["channels"] if c["target"] == {"node": 0, "path": "weights"})
    output = file.document["accessors"][clip["samplers"][channel["sampler"]]["output"]]
    start = file.document["bufferViews"][output["bufferView"]]["byteOffset"]
    played = np.frombuffer(file.blob, np.float32, output["count"], start).reshape(12, -1)
    np.testing.assert_allclose(played[seen, 0], track.weights[seen, JAW], atol=1e-4)


def test_every_avatar_with_every_target_and_faces_beside_them(transfer, lines, avatar, photograph, video, tmp_path):
    other = avatars.skinned().write_text(tmp_path / "other.gltf")
    ran = transfer(avatar, other, photograph, "--target", video, "--target", photograph, take="expression")
    assert len(lines(ran)) == 6 and ran.code == 1  # the example's faces have no expressions; the avatars are done
    assert {record["mesh"].split("/out/")[1] for record in lines(ran) if "mesh" in record} == {
        f"{name}/{target}/{name}.glb" for name in ("my avatar", "other") for target in ("clip", "photo")
    }


def test_avatars_in_lists_and_patterns(transfer, lines, avatar, photograph, tmp_path):
    avatars.person().write_text(tmp_path / "other.gltf")
    ran = transfer("-", "--target", photograph, take=None, stdin=f"{avatar}\n{tmp_path / 'none.glb'}\n")
    assert ran.code == 1 and "none.glb: no such file" in ran.err
    assert [record["shapes"] for record in lines(ran) if "shapes" in record] == [3]
    ran = transfer(tmp_path / "*.glb", tmp_path / "*.gltf", "--target", photograph, take=None, out="other")
    assert ran.code == 0, ran.err
    assert [record["mesh"].split("/")[-1] for record in lines(ran)] == ["my avatar.glb", "other.glb"]


def test_heads_of_earlier_runs_are_called_after_their_faces(transfer, lines, photograph, tmp_path):
    heads = [tmp_path / f"{name}/mesh.glb" for name in ("me/face0", "me/face1", "a", "b")]
    for head in heads:
        head.parent.mkdir(parents=True)
        avatars.person().write(head)
    ran = transfer(*heads, "--target", photograph, take=None)
    assert ran.code == 0, ran.err
    assert [record["mesh"].split("/out/")[1] for record in lines(ran)] == [
        "me-face0/photo/me-face0.glb", "me-face1/photo/me-face1.glb", "mesh/photo/mesh.glb", "mesh.glb/photo/mesh.glb",
    ]  # fmt: skip


def test_codes_of_a_face_do_for_a_target(transfer, lines, cli, avatar, photograph, tmp_path):
    words = ("--model", "tiny", "--landmarker", "blobs", "--save", "codes", "-o", tmp_path / "known")
    assert cli("reconstruct", photograph, *words).code == 0
    (record,) = lines(transfer(avatar, "--target", tmp_path / "known/photo/face0/codes.npz", take=None, model=False))
    assert weights_of(record["mesh"])["Face"][0] == pytest.approx(OPEN, abs=0.02)


def test_what_fails_leaves_the_others_alone(transfer, lines, tiny, avatar, photograph, tmp_path):
    made = avatars.Maker()
    made.node("Face", mesh=made.mesh("Face", ("smile", "viseme_aa")))
    strange = made.write(tmp_path / "strange.glb")
    (tmp_path / "cut.glb").write_bytes(avatar.read_bytes()[:200])
    lonely = avatars.person().write_text(tmp_path / "lonely.gltf")
    (tmp_path / "its bytes.bin").unlink()
    write_image(tmp_path / "nobody.png", tiny.picture([]))
    ran = transfer(strange, tmp_path / "cut.glb", lonely, tmp_path / "none.glb", avatar, "--target", photograph,
                   "--target", tmp_path / "nobody.png", take=None)  # fmt: skip
    assert ran.code == 1
    assert [line.split(": ", 2)[2] for line in ran.errors] == [
        "has no morph target of ARKit's names, but smile, viseme_aa (ARKit's are called eyeBlinkLeft, jawOpen, …)",
        f"is a damaged GLB: 200 of its {avatar.stat().st_size} bytes are there (export or copy it again)",
        "needs its%20bytes.bin, which isn't there (put it beside it, or save it all as one .glb)",
        "no such file",
        "no face found (is it upright? try --confidence 0.2)",
    ]
    assert len([record for record in lines(ran) if "mesh" in record]) == 1


@pytest.mark.parametrize(("words", "problem"), [
    (["--take", "jaw"], "--take jaw: an avatar takes expression and pose"),
    (["--take", "pose"], "--take pose: an avatar takes expression, and pose with it"),
    (["--keep", "pose"], "--keep pose: of an avatar all stays but expression"),
    (["--gif"], "--neutral, --gif and --loop are for faces, not for avatars"),
    (["--neutral", "3"], "--neutral, --gif and --loop are for faces"),
    (["--save", "overlay"], "--save: of an avatar there are a GLB, arkit.csv and arkit.json, always"),
    (["--teaser"], "--teaser is for faces, not for avatars"),
])  # fmt: skip
def test_flags_of_faces_are_refused(transfer, avatar, photograph, words, problem):
    ran = transfer(avatar, "--target", photograph, *words, take=None)
    assert ran.code == 2 and len(ran.errors) == 1
    assert problem in ran.err


def test_a_model_that_tells_no_weights_says_so(transfer, avatar, photograph, monkeypatch):
    from tiny_face.model import TinyReconstructor

    monkeypatch.delattr(TinyReconstructor, "arkit")
    ran = transfer(avatar, "--target", photograph, take=None)
    assert ran.code == 2 and len(ran.errors) == 1
    assert "no ARKit weights" in ran.err and "--model open does" in ran.err


def test_json_has_nothing_else_on_stdout(transfer, avatar, photograph):
    ran = transfer(avatar, "--target", photograph, take=None)
    assert [json.loads(line)["input"] for line in ran.out.splitlines()] == [str(avatar)]
