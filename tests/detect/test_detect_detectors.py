"""Detectors before landmarkers, and alone: from the registry to the command line, with drawn faces."""

from __future__ import annotations

import json

import numpy as np
import pytest

import facecli
from facecli import registry
from facecli.benchmark.predict import Portrait, Predictor
from facecli.codes import load_codes
from facecli.detect.within_boxes import WithinBoxes, face_finder, landmarker_within
from facecli.errors import UsageError
from facecli.io.images import write_image
from facecli.plugin import Detector, Landmarker, Plugin
from facecli.preprocess import LandmarkerChoice
from standins import tiny as drawn

LARGE, SMALL = (50.0, 60.0, 30.0, 40.0), (120.0, 50.0, 12.0, 16.0)


@pytest.fixture
def photo(tiny, tmp_path):
    write_image(tmp_path / "photo.png", tiny.picture([SMALL, LARGE]))
    return tmp_path / "photo.png"


@pytest.fixture
def run(cli, tiny, tmp_path):
    """`facecli COMMAND… -o OUT --json`: how it ran, and its lines."""

    def call(*arguments, out="out"):
        ran = cli(*arguments, "-o", tmp_path / out, "--json")
        return ran, [json.loads(line) for line in ran.out.splitlines()]

    return call


def box_of(ellipse, beside=(0.0, 0.0)) -> list[float]:
    x, y, a, b = ellipse
    return [x - a - beside[0], y - b - beside[1], x + a + beside[0], y + b + beside[1]]


def near(box, ellipse, beside=(3.0, 2.0)) -> bool:
    return np.abs(np.array(box) - box_of(ellipse, beside)).max() < 1


# --- the registry ----------------------------------------------------------------------------------------------------


def test_detectors_and_landmarkers_by_name(tiny):
    assert isinstance(registry.detector("reds"), Detector)
    assert type(registry.face_finder("reds")) is type(registry.detector("reds"))
    assert isinstance(registry.face_finder("blobs"), Landmarker)
    assert registry.finds_boxes_alone("reds") and not registry.finds_boxes_alone("blobs")
    with pytest.raises(UsageError, match="boxed doesn't take this option"):
        registry.detector("reds", colour="red")


@pytest.mark.parametrize(
    ("make", "name", "says"),
    [
        (registry.detector, "red", r"unknown detector 'red'. Did you mean reds\? Installed: faceboxes, reds$"),
        (registry.detector, "blobs", r"blobs is a landmarker \(--landmarker blobs\), no detector. Detectors .*: faceb"),
        (registry.landmarker, "reds", r"reds finds boxes, no landmarks: --detector reds puts it before a landmarker"),
        (registry.face_finder, "red", r"unknown landmarker or detector 'red'. Did you mean reds\? Installed: landmark"),
        (registry.face_finder, "x", r"landmarkers .*blobs.*; detectors faceboxes, reds$"),
    ],
)
def test_names_that_nobody_has_say_what_there_is(tiny, make, name, says):
    with pytest.raises(UsageError, match=says) as caught:
        make(name)
    assert "\n" not in str(caught.value)


def test_a_plugin_says_what_its_detectors_are(tiny, cli):
    ran = cli("models", "--json")
    offers = {row["name"]: row["offers"] for row in map(json.loads, ran.out.splitlines())}
    assert offers["boxed"] == ["reconstruct", "boxes: reds"] and offers["faceboxes"] == ["boxes: faceboxes"]
    assert "boxes: reds" in cli("models", "boxed").out


def test_the_doctor_imports_detectors(tiny, monkeypatch):
    from facecli.cli.doctor import _plugin_probe

    (check,) = _plugin_probe("boxed")()
    assert check.status == "ok" and "boxes: reds" in check.found
    lost = Plugin("lost", "", "MIT", "MIT", detectors={"lost": "nowhere.at_all:Detector"})
    monkeypatch.setattr(registry, "plugins", lambda: {"lost": lost})
    (check,) = _plugin_probe("lost")()
    assert check.status == "warning" and "nowhere.at_all:Detector can't be imported" in check.found


# --- a detector and a landmarker -------------------------------------------------------------------------------------


def test_boxes_are_the_detectors_and_points_the_landmarkers(tiny):
    both, blobs = landmarker_within("reds", "blobs"), registry.landmarker("blobs")
    assert isinstance(both, Landmarker) and isinstance(both, WithinBoxes) and both.point_set == "five"
    pictures = [tiny.picture([SMALL, LARGE]), tiny.picture([])]
    (large, small), nobody = both.detect(pictures)
    assert nobody == []
    assert near(large.box, LARGE) and near(small.box, SMALL) and large.score == 1 and 0.1 < small.score < 0.6
    points = {tuple(face.points.ravel()) for face in blobs.detect(pictures)[0]}
    assert {tuple(face.points.ravel()) for face in (large, small)} == points
    assert {face.point_set for face in (large, small)} == {"five"}
    both.close()


def test_the_detector_decides_who_is_there(tiny):
    image = tiny.picture([SMALL, LARGE])
    (surest,) = landmarker_within("reds", "blobs", confidence=0.6).detect([image])[0]
    assert near(surest.box, LARGE)

    class Everywhere(tiny.BlobDetector):
        def detect(self, images):
            from facecli.detect.face import Face

            more = [Face(np.array([0.0, 0, 8, 8]), 0.9), Face(np.array(box_of(LARGE)) + 8, 0.8)]
            return [[*faces, *more] for faces in super().detect(images)]

    found = WithinBoxes(Everywhere(), registry.landmarker("blobs")).detect([image])[0]
    assert len(found) == 2 and near(found[0].box, LARGE) and near(found[1].box, SMALL)


def test_nobody_is_landmarked_where_nobody_is_detected(tiny, monkeypatch):
    detector = registry.detector("reds", confidence=1.0)
    landmarker = registry.landmarker("blobs")
    monkeypatch.setattr(landmarker, "detect", None)  # whoever calls it falls over
    assert WithinBoxes(detector, landmarker).detect([tiny.picture([SMALL])]) == [[]]


class Beginner(drawn.BlobLandmarker):
    """A landmarker that begins with somebody's boxes, as FAN does."""

    def __init__(self, confidence: float = 0.5, max_faces=None, device: str = "cpu", *, detector: str = "own"):
        super().__init__(confidence)
        self.detector = detector


def test_thresholds_of_a_model_stay_its_landmarkers(tiny):
    """SMIRK asks its landmarker with 0.1, and with more for further faces, which a detector vouches for."""
    own = ("tiny", "blobs", {"confidence": 0.2, "further_confidence": 0.5})
    both = face_finder(*own, detector="reds", confidence=0.7)
    assert (both._detector.confidence, both._landmarker.confidence) == (0.7, 0.2)
    both = face_finder(*own, detector="reds")
    assert (both._detector.confidence, both._landmarker.confidence) == (0.1, 0.2)
    assert face_finder(*own, confidence=0.7).confidence == 0.7
    boxes = ("boxed", "reds", {"confidence": 0.3})
    assert face_finder(*boxes).confidence == 0.3 and face_finder(*boxes, detector="reds").confidence == 0.3
    assert face_finder(*boxes, landmarker="reds").confidence == 0.1


def test_a_landmarker_that_begins_with_boxes_is_told_whose(tiny, monkeypatch):
    begins = Plugin("begins", "", "MIT", "MIT", landmarkers={"begins": f"{__name__}:Beginner"})
    monkeypatch.setattr(registry, "plugins", lambda: drawn.plugins() | {"begins": begins})
    made = landmarker_within("reds", "begins", confidence=0.3)
    assert type(made).__name__ == "Beginner" and (made.detector, made.confidence) == ("reds", 0.3)
    assert not registry.takes_detector("blobs") and not registry.takes_detector("nobody")


def test_fan_takes_boxes_of_detectors(tiny):
    pytest.importorskip("face_alignment")
    from facecli_fan.boxes import landmarker_boxes

    assert registry.takes_detector("fan") and registry.takes_detector("ibug")
    found = landmarker_boxes("reds", (), confidence=0.1).find(tiny.picture([LARGE]))
    assert found.shape == (1, 5) and near(found[0, :4], LARGE)


# --- the command line ------------------------------------------------------------------------------------------------

TINY = ("--model", "tiny", "--landmarker", "blobs", "--save", "codes,json")


def test_reconstruct_with_a_detector(run, photo, tmp_path):
    _, plain = run("reconstruct", photo, *TINY)
    assert near(plain[0]["box"], LARGE, (0, 0))
    ran, found = run("reconstruct", photo, *TINY, "--detector", "reds")  # made anew: another detector
    assert ran.code == 0 and "before" not in ran.err
    assert [near(row["box"], face) for row, face in zip(found, (LARGE, SMALL), strict=True)] == [True, True]
    ran, again = run("reconstruct", photo, *TINY, "--detector", "reds")
    assert "1 done before" in ran.err and again == found
    _, surest = run("reconstruct", photo, *TINY, "--detector", "reds", "--confidence", "0.6")
    assert len(surest) == 1 and surest[0]["score"] == 1


@pytest.mark.parametrize("more", [(), ("--landmarker", "reds"), ("--detector", "reds")])
def test_models_that_need_boxes_alone(run, photo, monkeypatch, more):
    monkeypatch.setattr(drawn.BlobDetector, "detect", _without_points(drawn.BlobDetector.detect))
    ran, found = run("reconstruct", photo, "--model", "boxed", "--save", "all", *more)
    assert ran.code == 0, ran.err
    assert [near(row["box"], face) for row, face in zip(found, (LARGE, SMALL), strict=True)] == [True, True]


def test_their_faces_have_points_where_a_landmarker_is_chosen(run, photo, monkeypatch):
    from tiny_face.model import TinyReconstructor

    seen, crop = [], TinyReconstructor.crop
    monkeypatch.setattr(TinyReconstructor, "crop", lambda *args: (seen.append(args[2]), crop(*args))[1])
    for more in ((), ("--detector", "reds")):
        ran, _ = run("reconstruct", photo, "--model", "boxed", "--landmarker", "blobs", *more, "--save", "json")
        assert ran.code == 0, ran.err
    assert [face.point_set for face in seen] == ["five"] * 4
    assert [near(face.box, LARGE) or near(face.box, SMALL) for face in seen] == [False, False, True, True]


def _without_points(detect):
    """Checks what the contract promises."""

    def checked(self, images):
        found = detect(self, images)
        assert all(len(face.points) == 0 and face.point_set == "" for faces in found for face in faces)
        return found

    return checked


def test_videos_of_boxes_in_two_passes(run, tiny, tmp_path, monkeypatch):
    """Faces without points are kept between the passes, and cut out in the second without detecting again."""
    clip = tiny.write_clip(tmp_path / "clip.mp4", 8, lambda n: [] if n == 3 else [(50 + 3 * n, 55, 20, 26)])
    monkeypatch.setattr(drawn.BlobLandmarker, "calls", 0)
    ran, _ = run("reconstruct", clip, "--model", "boxed", "--save", "codes,crop", "--hold", "identity", "--smooth")
    assert ran.code == 0, ran.err
    assert drawn.BlobLandmarker.calls == 8
    (folder,) = (tmp_path / "out").glob("*/face0")
    assert len(list(folder.glob("crops/*.png"))) == 7
    codes = load_codes(folder / "codes.npz").codes
    seen = codes["identity"].isfinite().all(1)
    assert seen.tolist() == [n != 3 for n in range(8)]
    assert (codes["identity"][seen] == codes["identity"][seen][0]).all()


def test_transfer_with_a_detector(run, photo, tiny, tmp_path):
    write_image(tmp_path / "target.png", tiny.picture([(80, 60, 20, 34)]))
    words = ("transfer", photo, "--target", tmp_path / "target.png", "--take", "identity", *TINY)
    ran, found = run(*words, "--detector", "reds")
    assert ran.code == 0, ran.err
    assert len(found) == 2 and near(found[0]["box"], LARGE)


def test_landmark_files_with_a_detector(run, photo, tmp_path):
    words = ("preprocess", "landmarks", photo, "--landmarker", "blobs", "--faces", "all", "--workers", "0")
    run(*words)
    ran, found = run(*words, "--detector", "reds")
    assert ran.code == 0 and "1 done" in ran.err, ran.err
    assert [near(row["box"], face) for row, face in zip(found, (LARGE, SMALL), strict=True)] == [True, True]
    ran, again = run(*words, "--detector", "reds")
    assert "1 there already" in ran.err and again == found


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("reconstruct", *TINY, "--detector", "rads"), "unknown detector 'rads'. Did you mean reds?"),
        (("reconstruct", *TINY, "--detector", "blobs"), "blobs is a landmarker (--landmarker blobs), no detector"),
        (
            ("reconstruct", "--model", "tiny", "--landmarker", "reds"),
            "reds finds boxes, and the model tiny needs landmarks: --detector reds puts it before mediapipe",
        ),
        (
            ("reconstruct", "--model", "boxed", "--landmarker", "reds", "--detector", "faceboxes"),
            "--landmarker reds is a detector, and so is --detector faceboxes: choose one",
        ),
        (("preprocess", "landmarks", "--landmarker", "reds"), "reds finds boxes, no landmarks: --detector reds"),
        (("align", "--landmarker", "reds"), "reds finds boxes, no landmarks: --detector reds"),
        (("preprocess", "landmarks", "--track", "--detector", "reds"), "--track goes without --detector"),
    ],
)
def test_what_does_not_go_together_is_one_line(run, photo, tmp_path, words, says):
    ran, _ = run(*words, photo, out="none")
    assert ran.code == 2 and len(ran.errors) == 1 and says in ran.errors[0]
    assert ran.err.strip() == ran.errors[0]
    assert not [path for path in (tmp_path / "none").rglob("*") if path.suffix in (".png", ".npz", ".json")]


# --- from Python -----------------------------------------------------------------------------------------------------


def test_python_takes_detectors(tiny):
    image = tiny.picture([SMALL, LARGE])
    large, small = facecli.landmarks(image, "blobs", detector="reds")
    assert near(large.box, LARGE) and near(small.box, SMALL) and large.point_set == "five"
    assert len(facecli.landmarks(image, "blobs", detector="reds", confidence=0.6)) == 1
    first, _ = facecli.reconstruct(image, "tiny", landmarker="blobs", detector="reds")
    assert near(first.box, LARGE) and first.score == 1
    (only,) = facecli.reconstruct(image, "boxed", confidence=0.6)
    assert near(only.box, LARGE)


def test_a_choice_without_a_detector_is_noted_as_before(tiny):
    assert "detector" not in LandmarkerChoice("blobs").settings()
    assert LandmarkerChoice("blobs", detector="reds").settings()["detector"] == "reds"


def test_portraits_with_a_detector(tiny):
    image = tiny.picture([SMALL, LARGE])
    with Predictor("tiny", landmarker="blobs", detector="reds", device="cpu") as predictor:
        whole, boxed = predictor.predict([Portrait("whole", image), Portrait("boxed", image, np.array(box_of(SMALL)))])
    for found, face in ((whole, LARGE), (boxed, SMALL)):
        assert found.error is None
        points = found.face.projected[0, :, :2].numpy()
        assert near([*points.min(0), *points.max(0)], face)
