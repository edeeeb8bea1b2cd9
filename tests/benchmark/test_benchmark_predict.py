"""Portraits become faces as seen and at rest, in order; what is wrong with one is its own."""

from __future__ import annotations

import itertools
import weakref
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from facecli import registry
from facecli.benchmark.neutral import neutral_codes
from facecli.benchmark.points import in_millimetres
from facecli.benchmark.predict import Portrait, Predictor, head_rotation, ibug68_pixels, now_landmarks
from facecli.codes import Codes
from facecli.errors import InputError, UsageError
from facecli.io.images import write_image
from facecli.plugin import Reconstruction
from standins import tiny as drawn

FACE = (80.0, 60.0, 30.0, 40.0)
SMALL = (30.0, 30.0, 12.0, 16.0)


@pytest.fixture(scope="module")
def tiny():
    """facecli has the model `tiny` and the landmarker `blobs`."""
    known = registry.plugins() | drawn.plugins()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "plugins", lambda: known)
        yield drawn


@pytest.fixture(scope="module")
def predictor(tiny):
    """It asks the landmarker for every portrait."""
    with Predictor("tiny", landmarker="blobs", device="cpu", batch_size=3, workers=2) as made:
        yield made


@pytest.fixture
def model(tiny):
    from tiny_face.model import TinyReconstructor

    return TinyReconstructor


def box_of(ellipse) -> np.ndarray:
    x, y, a, b = ellipse
    return np.array([x - a, y - b, x + a, y + b])


def middle(found: Reconstruction) -> np.ndarray:
    """Of the ellipsoid on the picture."""
    points = found.projected[0, :, :2].numpy()
    return (points.min(0) + points.max(0)) / 2


# --- one answer a portrait -------------------------------------------------------------------------------------------

KINDS = {
    "face": (Portrait("face", drawn.picture([FACE])), None),
    "box": (Portrait("box", drawn.picture([FACE, SMALL]), box_of(SMALL)), None),
    "nobody": (Portrait("nobody", drawn.picture([])), "no face found"),
    "elsewhere": (Portrait("elsewhere", drawn.picture([FACE]), [0, 0, 30, 30]), "no face found near the box"),
    "flat box": (Portrait("flat box", drawn.picture([FACE]), [10, 10, 10, 30]), "its box (10, 10, 10, 30) has no area"),
    "no box": (Portrait("no box", drawn.picture([FACE]), [np.nan, 0, 9, 9]), "has no area"),
    "outside": (Portrait("outside", drawn.picture([FACE]), [160, 0, 200, 30]), "lies outside the picture of 160×120"),
    "no file": (Portrait("no file", "nowhere/there.png"), "no such file"),
    "floats": (Portrait("floats", np.zeros((9, 9, 3))), "not a picture"),
}  # fmt: skip


@given(st.lists(st.sampled_from(sorted(KINDS)), max_size=9))
@settings(max_examples=12)
def test_each_portrait_has_its_own_answer_in_order(predictor, names):
    found = list(predictor.predict((KINDS[name][0] for name in names), neutral=True))
    assert [predicted.portrait.name for predicted in found] == names
    for predicted in found:
        problem = KINDS[predicted.portrait.name][1]
        if problem:
            assert isinstance(predicted.error, InputError) and problem in str(predicted.error)
            assert predicted.face is predicted.neutral is predicted.codes is None
        else:
            wanted = FACE if predicted.portrait.name == "face" else SMALL
            assert predicted.error is None and len(predicted.face) == len(predicted.neutral) == 1
            assert np.abs(middle(predicted.face) - wanted[:2]).max() < 1


def test_a_path_is_read_as_its_picture(predictor, tmp_path):
    picture = drawn.picture([FACE])
    write_image(tmp_path / "a.png", picture)
    read, given_ = predictor.predict([Portrait("a", tmp_path / "a.png"), Portrait("b", picture)])
    assert torch.equal(read.face.vertices, given_.face.vertices) and read.neutral is None


def test_a_box_is_cropped_as_the_model_says_and_nobody_looks_for_landmarks(tiny, monkeypatch):
    monkeypatch.setattr(drawn.BlobLandmarker, "detect", None)  # whoever calls it falls over
    box = np.array([50.0, 30.0, 90.0, 110.0])
    with Predictor("tiny", device="cpu") as predictor:
        (found,) = predictor.predict([Portrait("empty", drawn.picture([]), box)])
    points = found.face.projected[0, :, :2].numpy()
    assert np.abs(np.concatenate([points.min(0), points.max(0)]) - box).max() < 1e-2


def test_without_a_box_the_largest_face_counts(predictor):
    (found,) = predictor.predict([Portrait("two", drawn.picture([SMALL, FACE]))])
    assert np.abs(middle(found.face) - FACE[:2]).max() < 1


def test_boxes_may_only_choose(tiny):
    near = Portrait("small", drawn.picture([(40, 40, 3, 4)]), box_of((40, 40, 3, 4)))
    options = {"landmarker": "blobs", "device": "cpu"}
    with Predictor("tiny", boxes="choose", **options) as choosing, Predictor("tiny", **options) as looking:
        assert next(choosing.predict([near])).error and next(looking.predict([near])).error is None
    with pytest.raises(UsageError, match="to crop or to choose"):
        Predictor("tiny", boxes="draw", **options)


def test_portraits_are_taken_as_they_are_needed(predictor):
    alive: list[weakref.ref] = []
    most = 0

    def endless():
        for number in itertools.count():
            picture = drawn.picture([FACE])
            alive.append(weakref.ref(picture))
            yield Portrait(str(number), picture)

    with_faces = predictor.predict(endless())
    for predicted in itertools.islice(with_faces, 60):
        assert predicted.error is None
        most = max(most, sum(picture() is not None for picture in alive))
    with_faces.close()
    assert len(alive) < 60 + 25 and most < 25


def test_what_a_model_makes_of_one_face_is_not_the_others_problem(tiny, model, monkeypatch):
    decode = model.decode

    def failing(self, codes):
        if (codes["identity"] > 1.8).any():
            raise ArithmeticError("too long a face")
        found = decode(self, codes)
        return replace(found, vertices=torch.where(codes["identity"][:, None] < 0.7, torch.nan, found.vertices))

    monkeypatch.setattr(model, "decode", failing)
    ellipses = {"good": FACE, "long": (80, 60, 25, 50), "wide": (80, 60, 45, 30), "fine": (70, 60, 30, 35)}
    portraits = [Portrait(name, drawn.picture([ellipse])) for name, ellipse in ellipses.items()]
    with Predictor("tiny", landmarker="blobs", device="cpu", batch_size=4) as predictor:
        found = {predicted.portrait.name: predicted for predicted in predictor.predict(portraits, neutral=True)}
    assert list(found) == list(ellipses)
    assert found["good"].error is None and found["fine"].error is None
    assert "too long a face" in str(found["long"].error)
    assert "numbers that aren't finite" in str(found["wide"].error)


# --- at rest ---------------------------------------------------------------------------------------------------------


class Bare:
    """A model without a `neutral`."""


def test_at_rest_identity_and_camera_stay_and_what_moves_is_zero():
    names = ("identity", "expression", "jaw", "neck", "eyes", "eyelids", "pose", "camera", "texture", "light", "detail")
    codes = Codes({name: torch.rand(2, 3) + 1 for name in names}, "x", "flame")
    rest = neutral_codes(Bare(), codes)
    moved = {name for name in names if not torch.equal(rest[name], codes[name])}
    assert moved == {"expression", "jaw", "neck", "eyes", "eyelids", "pose"}
    assert all(not rest[name].any() and rest[name].shape == (2, 3) for name in moved)
    assert (rest.model, rest.family) == ("x", "flame") and codes["jaw"].all()


def test_a_models_own_rest_counts(tiny, model, monkeypatch):
    taller = lambda self, codes: codes.replace(identity=codes["identity"] * 2)  # noqa: E731
    monkeypatch.setattr(model, "neutral", taller, raising=False)
    with Predictor("tiny", landmarker="blobs", device="cpu") as predictor:
        (found,) = predictor.predict([Portrait("a", drawn.picture([FACE]))], neutral=True)
        assert predictor.notes == []
    height = [np.ptp(part.vertices[0, :, 1].numpy()) for part in (found.face, found.neutral)]
    assert height[1] == pytest.approx(2 * height[0])


def test_a_model_without_identity_keeps_the_expression_and_that_is_told(tiny, model, monkeypatch):
    encode, decode = model.encode, model.decode
    renamed = lambda codes, old, new: Codes({new if n == old else n: v for n, v in codes.values.items()}, "tiny", "t")  # noqa: E731
    monkeypatch.setattr(model, "encode", lambda self, crops: renamed(encode(self, crops), "identity", "surface"))
    monkeypatch.setattr(model, "decode", lambda self, codes: decode(self, renamed(codes, "surface", "identity")))
    with Predictor("tiny", landmarker="blobs", device="cpu") as predictor:
        (found,) = predictor.predict([Portrait("a", drawn.picture([FACE]))], neutral=True)
        assert predictor.notes == ["tiny keeps the expression: it has no code of identity alone"]
    assert torch.equal(found.face.vertices, found.neutral.vertices)


# --- options, units --------------------------------------------------------------------------------------------------


def test_benchmarks_have_options_of_their_own_which_users_may_change(tiny, monkeypatch):
    plugin = replace(registry.plugin("tiny"), benchmark_options={"depth": "flat"})
    known = registry.plugins() | {"tiny": plugin}
    monkeypatch.setattr(registry, "plugins", lambda: known)
    depths = []
    for options in ((), ["depth=round", "margin=1.5"], {"depth": "round"}):
        with Predictor("tiny", landmarker="blobs", device="cpu", options=options) as predictor:
            (found,) = predictor.predict([Portrait("a", drawn.picture([FACE]))])
        depths.append(np.ptp(found.face.vertices[0, :, 2].numpy()))
        assert predictor.options["depth"] == ("round" if options else "flat")
    assert depths == pytest.approx([75, 150, 150], rel=0.01)
    for wrong in (["depht=flat"], {"depth": "deep"}, ["depth"]):
        with pytest.raises(UsageError):
            Predictor("tiny", options=wrong)


def test_lengths_are_millimetres_whatever_the_models_unit(tiny, model, predictor, monkeypatch):
    (wanted,) = predictor.predict([Portrait("a", drawn.picture([FACE]))])
    decode = model.decode

    def in_metres(self, codes):
        found = decode(self, codes)
        points = {name: points / 1000 for name, points in found.landmarks_3d.items()}
        return replace(found, vertices=found.vertices / 1000, landmarks_3d=points, metres_per_unit=1.0)

    monkeypatch.setattr(model, "decode", in_metres)
    (found,) = predictor.predict([Portrait("a", drawn.picture([FACE]))], neutral=True)
    for part in (found.face, found.neutral):
        assert torch.allclose(part.vertices, wanted.face.vertices, atol=1e-4) and part.metres_per_unit == 0.001
        assert np.allclose(now_landmarks(part), now_landmarks(wanted.face), atol=1e-4)


def a_reconstruction(**further) -> Reconstruction:
    vertices = torch.rand(1, 4, 3)
    return Reconstruction(vertices, torch.tensor([[0, 1, 2], [0, 2, 3]]), vertices, **further)


def test_poses_are_millimetres_too_and_rotations_stay():
    turn = torch.eye(4)[None].clone()
    turn[0, :3, :3] = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    turn[0, :3, 3] = torch.tensor([1.0, 2.0, 3.0])
    metres = a_reconstruction(head_pose=turn, metres_per_unit=0.01)
    found = in_millimetres(metres)
    assert torch.allclose(found.head_pose[0, :3, 3], torch.tensor([10.0, 20.0, 30.0]))
    assert np.array_equal(head_rotation(found), turn[0, :3, :3].numpy())
    assert torch.equal(found.head_pose[0, 3], torch.tensor([0.0, 0, 0, 1]))
    assert torch.allclose(found.projected[..., 2], metres.projected[..., 2] * 10)
    assert torch.equal(found.projected[..., :2], metres.projected[..., :2])
    assert head_rotation(a_reconstruction()) is None


def test_points_come_from_the_set_that_is_nearest_to_what_is_asked_for():
    mesh, ibug = torch.rand(1, 468, 3), torch.rand(1, 68, 3)
    found = a_reconstruction(landmarks_3d={"mediapipe468": mesh})
    assert np.array_equal(now_landmarks(found), mesh[0, [33, 133, 362, 263, 2, 61, 291]].double().numpy())
    both = a_reconstruction(landmarks_3d={"mediapipe468": mesh, "ibug68": ibug, "mine": mesh})
    assert np.array_equal(now_landmarks(both), ibug[0, [36, 39, 42, 45, 33, 48, 54]].double().numpy())
    seen = a_reconstruction(landmarks={"mediapipe478": torch.rand(1, 478, 3), "ibug68": ibug})
    assert np.array_equal(ibug68_pixels(seen), ibug[0, :, :2].double().numpy())
    fixed = torch.rand(1, 68, 2)
    assert np.array_equal(ibug68_pixels(replace(seen, extras={"ibug68_fixed": fixed})), fixed[0].double().numpy())
    for wanted in (now_landmarks, ibug68_pixels):
        with pytest.raises(UsageError, match="it has five"):
            wanted(a_reconstruction(landmarks={"five": ibug[:, :5]}, landmarks_3d={"five": ibug[:, :5]}))
        with pytest.raises(UsageError, match="it has none"):
            wanted(a_reconstruction())


# --- facecli's own models --------------------------------------------------------------------------------------------

BOX = np.array([170.0, 60.0, 280.0, 190.0])
"""Of the astronaut's face, as a detector may draw it."""


def off_the_mesh(points: np.ndarray, found: Reconstruction) -> float:
    """The largest distance from `points` [K, 3] to the mesh, millimetres."""
    from facecli.benchmark.closest_point import ClosestPoints

    return ClosestPoints(found.vertices[0].numpy(), found.triangles.numpy()).query(points).distance.max()


def test_the_examples_points_lie_on_its_ellipsoid(predictor):
    (found,) = predictor.predict([Portrait("a", drawn.picture([FACE]))])
    points = found.face.landmarks_3d["ibug68"][0].double().numpy()
    assert off_the_mesh(points, found.face) < 1e-4
    seven = now_landmarks(found.face)
    assert (np.diff(seven[:4, 0]) > 0).all() and seven[4, 1] > seven[5:, 1].max() and (seven[:, 2] > 0).all()
    pixels = ibug68_pixels(found.face)
    assert pixels[36, 0] < pixels[45, 0] and pixels[8, 1] > pixels[57, 1] > pixels[33, 1] > pixels[40, 1]
    inside = ((pixels - FACE[:2]) / FACE[2:]) ** 2
    assert (inside.sum(1) < 1).all()


def test_mediapipe_says_that_it_keeps_the_expression(astronaut):
    portraits = [Portrait("boxed", astronaut, BOX), Portrait("free", astronaut)]
    with Predictor("mediapipe", device="cpu", workers=1) as predictor:
        boxed, free = predictor.predict(portraits, neutral=True)
        (note,) = predictor.notes
    assert note.startswith("mediapipe keeps the expression")
    assert torch.equal(boxed.face.vertices, free.face.vertices)
    assert torch.equal(boxed.neutral.vertices, boxed.face.vertices)
    vertices = boxed.neutral.vertices[0].double().numpy()
    assert np.array_equal(now_landmarks(boxed.neutral), vertices[[33, 133, 362, 263, 2, 61, 291]])
    turn = head_rotation(boxed.face)
    assert np.allclose(turn @ turn.T, np.eye(3), atol=1e-6) and np.linalg.det(turn) > 0


def test_a_model_of_the_flame_family_from_box_to_neutral_face(official, astronaut, monkeypatch):
    detectors = []
    monkeypatch.setattr(registry, "landmarker", lambda *names, **options: detectors.append(names))
    small = cv2.resize(cv2.imread(str(astronaut))[..., ::-1], (256, 256), interpolation=cv2.INTER_AREA)
    portraits = [Portrait("a", astronaut, BOX), Portrait("b", np.ascontiguousarray(small), (BOX + 0.5) / 2 - 0.5)]
    with Predictor("smirk", device="cpu", batch_size=2) as predictor:
        first, second = predictor.predict(portraits, neutral=True)
        model = predictor._stream.model
    assert not detectors and first.error is None and predictor.notes == []
    alone = model.decode(Codes({"identity": first.codes["identity"]}, "smirk", "flame"))
    assert torch.allclose(first.neutral.vertices, alone.vertices, atol=1e-3)
    assert (first.face.vertices - first.neutral.vertices).abs().max() > 1
    assert np.allclose(head_rotation(first.neutral), np.eye(3))
    for found in (first.face, first.neutral):
        assert off_the_mesh(now_landmarks(found), found) < 1e-3
        assert off_the_mesh(found.landmarks_3d["mediapipe105"][0].double().numpy(), found) < 1e-3
    # The same face at half the size is in its photograph where it is in the other.
    assert np.abs((ibug68_pixels(second.face) + 0.5) * 2 - 0.5 - ibug68_pixels(first.face)).max() < 6
    assert not np.allclose(ibug68_pixels(first.face)[:17], first.face.landmarks["ibug68"][0, :17].numpy(), atol=0.5)
    assert np.allclose(ibug68_pixels(first.face)[17:], first.face.landmarks["ibug68"][0, 17:].numpy(), atol=0.5)
