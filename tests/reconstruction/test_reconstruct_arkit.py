"""`--save arkit`: weights of photographs, videos, codes and transfers, from the model, the landmarker, or solved."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from facecli.errors import OutputError, UsageError
from facecli.export.arkit import NAMES, read_csv, read_json
from facecli.io.images import write_image
from facecli.morphable import arkit_solve
from facecli.plugin import Plugin
from standins import tiny as drawn

JAW, SMILE, WIDE = (NAMES.index(name) for name in ("jawOpen", "mouthSmileLeft", "eyeWideRight"))
BASIS = arkit_solve._basis(("ibug68",))


def install(monkeypatch):
    from facecli import registry

    known = registry.plugins() | drawn.plugins()
    known |= {
        name: Plugin(name, "drawn actors", "x", "x", family=family, reconstructor=f"{__name__}:{function}")
        for name, family, function in (("actor", "actor", "actor"), ("knowing", "actor", "knowing"))
    }
    known["mimes"] = Plugin("mimes", "drawn", "x", "x", landmarkers={"mimes": f"{__name__}:Mimes"})
    monkeypatch.setattr(registry, "plugins", lambda: known)


def actor(**options):
    """The model `tiny` with a face: its expression opens the jaw as far as the ellipse is higher than wide."""
    from tiny_face.model import TinyReconstructor

    class Actor(TinyReconstructor):
        family = "actor"

        def encode(self, crops):
            codes = super().encode(crops)
            opened = (codes["identity"] - 1).clamp(0, 1)
            codes = codes.replace(identity=torch.ones_like(opened), expression=torch.cat([opened, 0 * opened], 1))
            codes.model = "actor"
            return codes

        def decode(self, codes):
            found = super().decode(codes)
            weights = np.zeros((len(codes), 52))
            weights[:, [JAW, SMILE]] = codes["expression"].numpy()
            points = BASIS.rest + np.tensordot(weights, BASIS.directions, 1)
            found.landmarks_3d = {"ibug68": torch.from_numpy(points).float()}
            found.head_pose = torch.eye(4).repeat(len(codes), 1, 1)
            return found

    return Actor(**options)


def knowing(**options):
    """The same, and it says itself what its expressions are."""
    made = actor(**options)

    def arkit(codes):
        weights = torch.zeros(len(codes), 52)
        weights[:, WIDE] = codes["expression"][:, 0]
        return weights

    made.arkit = arkit
    return made


class Mimes(drawn.BlobLandmarker):
    """Tells blend shapes: a smile that grows to the picture's right."""

    def detect(self, images):
        found = super().detect(images)
        for faces in found:
            for face in faces:
                face.blendshapes = {"_neutral": 0.5, "mouthSmileLeft": float(face.box[0]) / 160, "jawOpen": 0.125}
        return found


@pytest.fixture
def run(cli, monkeypatch, tmp_path):
    install(monkeypatch)

    def call(*words, out="out", model="actor", landmarker="blobs", command=("reconstruct",)):
        chosen = [*(["--model", model] if model else []), *(["--landmarker", landmarker] if landmarker else [])]
        return cli(*command, *words, *chosen, "-o", tmp_path / out, "--json")

    return call


@pytest.fixture
def photo(tmp_path):
    write_image(tmp_path / "photo.png", drawn.picture([(60, 60, 20, 30), (120, 40, 14, 14)]))
    return tmp_path / "photo.png"


@pytest.fixture
def clip(tmp_path):
    """40 frames; the face is away in three of them."""

    def face(number):
        return [] if 10 <= number < 13 else [(40 + number, 60, 20, 20 + 10 * np.sin(number / 6) ** 2)]

    return drawn.write_clip(tmp_path / "clip.mp4", 40, face)


def lines(ran):
    return [json.loads(line) for line in ran.out.splitlines()]


# --- where weights come from -----------------------------------------------------------------------------------------


def test_a_photograph(run, photo, tmp_path):
    ran = run(photo, "--save", "arkit,json")
    assert ran.code == 0, ran.err
    records = lines(ran)
    assert [record["arkit"] for record in records] == [str(tmp_path / f"out/photo/face{n}/arkit.json") for n in (0, 1)]
    found = read_json(records[0]["arkit"])
    assert found.still and found.weights[0, JAW] == pytest.approx(0.5, abs=0.04)
    np.testing.assert_array_equal(found.head_pose[0], np.eye(4))
    content = json.loads((tmp_path / "out/photo/face0/arkit.json").read_text())
    assert content["source"] == "solved" and content["model"] == "actor" and content["face"] == 0
    assert json.loads((tmp_path / "out/photo/face0/face.json").read_text())["arkit"] == "arkit.json"
    np.testing.assert_allclose(read_csv(tmp_path / "out/photo/face0/arkit.csv").weights, found.weights, atol=1e-5)
    assert read_json(records[1]["arkit"]).weights.max() < 0.05  # a round face is at rest
    again = run(photo, "--save", "arkit,json")
    assert "done before" in again.err and lines(again) == records


def test_model_before_landmarker_before_points(run, photo):
    for model, landmarker, source, number in (
        ("knowing", "mimes", "model", WIDE), ("actor", "mimes", "landmarker", SMILE), ("actor", "blobs", "solved", JAW),
    ):  # fmt: skip
        ran = run(photo, "--save", "arkit", model=model, landmarker=landmarker, out=source)
        assert ran.code == 0, ran.err
        path = Path(lines(ran)[0]["arkit"])
        found = read_json(path)
        assert json.loads(path.read_text())["source"] == source
        largest = found.weights[0].argmax()
        assert largest == number, (source, NAMES[largest])


def test_a_model_that_knows_no_expressions(run, photo, clip, tmp_path):
    for given in (photo, clip):
        ran = run(given, "--save", "arkit", model="tiny")
        assert ran.code == 2 and len(ran.errors) == 1
        assert "tiny" in ran.errors[0] and "mediapipe-tasks" in ran.errors[0]
    assert run(photo, clip, "--save", "all", model="tiny").code == 0
    assert not list((tmp_path / "out").glob("*/face0/arkit.*"))
    assert run(photo, "--save", "arkit", model="tiny", landmarker="mimes", out="told").code == 0


def test_from_codes(run, photo, clip, tmp_path):
    assert run(photo, clip, "--save", "arkit,codes").code == 0
    files = [tmp_path / f"out/{name}/face0/codes.npz" for name in ("photo", "clip")]
    ran = run(*files, "--save", "arkit", model=None, landmarker=None, out="again")
    assert ran.code == 0, ran.err
    for name in ("photo", "clip"):
        first, second = read_json(tmp_path / f"out/{name}/face0/arkit.json"), None
        second = read_json(tmp_path / f"again/{name}-face0/face0/arkit.json")
        np.testing.assert_allclose(second.weights, first.weights, atol=1e-5)
        np.testing.assert_allclose(second.times, first.times, atol=1e-4)


# --- videos ----------------------------------------------------------------------------------------------------------


def test_a_video(run, clip, tmp_path):
    ran = run(clip, "--save", "arkit,codes")
    assert ran.code == 0, ran.err
    assert {record["arkit"] for record in lines(ran)} == {str(tmp_path / "out/clip/face0/arkit.json")}
    from facecli.codes import load_codes

    found = read_json(tmp_path / "out/clip/face0/arkit.json")
    opened = load_codes(tmp_path / "out/clip/face0/codes.npz").codes["expression"][:, 0].numpy()
    np.testing.assert_array_equal(np.flatnonzero(~found.visible), [10, 11, 12])
    np.testing.assert_allclose(found.weights[found.visible, JAW], opened[found.visible], atol=0.04)
    rows = list(csv.DictReader((tmp_path / "out/clip/face0/arkit.csv").open()))
    assert len(rows) == 40 and [row["BlendShapeCount"] for row in rows[8:15]] == ["61", "61", "0", "0", "0", "61", "61"]
    assert rows[26]["Timecode"] == "00:00:01:01.000"


@pytest.mark.parametrize("words", [("--smooth",), ("--smooth-with", "savgol")])
def test_told_weights_are_smoothed_as_codes_are(run, clip, tmp_path, words):
    """The clip's boxes jump by whole pixels, and the smile with them."""
    for out, more in (("raw", ()), ("smooth", words)):
        assert run(clip, "--save", "arkit", *more, landmarker="mimes", out=out).code == 0
    raw, smooth = (read_json(tmp_path / f"{out}/clip/face0/arkit.json").weights[:, SMILE] for out in ("raw", "smooth"))
    np.testing.assert_allclose(raw[13:], np.round(np.arange(33, 60)) / 160, atol=1.6 / 160)
    jitter = [np.nanmean(np.abs(np.diff(values[13:], 2))) for values in (raw, smooth)]
    assert jitter[1] < 0.7 * jitter[0] and np.nanmax(np.abs(raw - smooth)) < 0.05
    np.testing.assert_array_equal(np.isnan(raw), np.isnan(smooth))


def test_a_stopped_run_gives_the_same(run, clip, tmp_path, monkeypatch):
    from facecli.reconstruction import passes
    from facecli.reconstruction.clip import Clip

    monkeypatch.setattr(passes, "CHUNK_FRAMES", 8)
    words = (clip, "--save", "arkit", "--smooth")
    assert run(*words, landmarker="mimes", out="whole").code == 0
    take, count = Clip.take, []

    def full(self, painted):
        count.append(1)
        if len(count) == 20:
            raise OutputError("the disk is full")
        take(self, painted)

    with monkeypatch.context() as broken:
        broken.setattr(Clip, "take", full)
        assert run(*words, landmarker="mimes").code != 0
    assert list((tmp_path / "out/.facecli-clip.work/chunks").glob("chunk-*.npz"))
    assert not (tmp_path / "out/clip").exists()
    assert run(*words, landmarker="mimes").code == 0
    for name in ("arkit.csv", "arkit.json"):
        first, second = ((tmp_path / out / "clip/face0" / name).read_bytes() for out in ("whole", "out"))
        assert first == second


# --- transfers, Python -----------------------------------------------------------------------------------------------


def test_transferred_expressions(run, photo, clip, tmp_path):
    """The result's weights are the target's, whatever the landmarker saw on the source."""
    assert run(clip, "--save", "arkit", out="target").code == 0
    ran = run(
        photo, "--target", clip, "--faces", "largest", "--save", "arkit", landmarker="mimes",
        command=("transfer", "expression"),
    )  # fmt: skip
    assert ran.code == 0, ran.err
    theirs, found = (read_json(tmp_path / path) for path in ("target/clip/face0/arkit.json", lines(ran)[0]["arkit"]))
    np.testing.assert_allclose(found.weights[found.visible & theirs.visible], theirs.weights[theirs.visible], atol=1e-4)
    assert found.visible.all()
    ran = run(clip, "--target", photo, "--save", "arkit", command=("transfer", "expression"), out="other")
    assert ran.code == 0, ran.err
    found = read_json(lines(ran)[0]["arkit"])
    assert np.nanmin(found.weights[:, JAW]) == pytest.approx(0.5, abs=0.04)
    ran = run(photo, "--target", photo, "--save", "arkit", landmarker="mimes", command=("transfer",), out="still")
    assert ran.code == 0, ran.err
    assert read_json(lines(ran)[0]["arkit"]).weights[0].argmax() == JAW


def test_from_python(monkeypatch, photo, clip):
    import facecli

    install(monkeypatch)
    (face, _) = facecli.reconstruct(photo, "actor", landmarker="blobs")
    assert set(face.arkit) == set(NAMES) and face.arkit["jawOpen"] == pytest.approx(0.5, abs=0.04)
    told = next(facecli.reconstruct(photo, "actor", landmarker="mimes")).arkit
    assert told["jawOpen"] == 0.125 and told["mouthSmileLeft"] > 0.2
    frames = list(facecli.reconstruct(clip, "actor", landmarker="mimes", hold="auto"))  # in two passes
    assert [frame.arkit["jawOpen"] for frame in frames] == [0.125] * 37
    with pytest.raises(UsageError, match="mediapipe-tasks"):
        _ = next(facecli.reconstruct(photo, "tiny", landmarker="blobs")).arkit


# --- models that come with facecli -----------------------------------------------------------------------------------


def test_mediapipe_alone_says_what_to_do(cli, astronaut, tmp_path):
    ran = cli("reconstruct", astronaut, "-o", tmp_path / "out", "--save", "arkit")
    assert ran.code == 2 and len(ran.errors) == 1
    assert "expression from the face" in ran.errors[0]
    assert "--model open" in ran.errors[0] and "--landmarker mediapipe-tasks" in ran.errors[0]
    assert not (tmp_path / "out/astronaut").exists()


def test_flame_by_its_stand_in(cli, official, astronaut, tmp_path):
    """That it runs; stand-ins' expressions are no real ones."""
    ran = cli("reconstruct", astronaut, "-o", tmp_path / "out", "-m", "smirk", "--save", "arkit,codes", "--json")
    assert ran.code == 0, ran.err
    found = read_json(lines(ran)[0]["arkit"])
    assert found.weights.any() and ((found.weights >= 0) & (found.weights <= 1)).all()
    assert np.isfinite(found.head_pose).all()
