"""The detector finds the official boxes with the trained weights, and takes no other file for them."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from facecli import registry
from facecli.errors import EXIT_MISSING_FILE, FacecliError, InputError, MissingAssetError
from facecli.nn.retinaface import RetinaFace
from facecli.plugin import Detector
from facecli_faceboxes import boxes, detector, files
from facecli_faceboxes.detector import TALLEST, WIDEST, FaceBoxesDetector, shrink

GOLDEN = Path(__file__).resolve().parents[1] / "golden/synergynet"
PHOTOS = ("astronaut", "two_people", "test_image1", "test_image2", "noface_coffee")


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "faceboxes_photos.npz") as archive:
        return dict(archive)


@pytest.fixture
def photograph(request, astronaut):
    """name -> RGB, decoded as the official program does: another JPEG decoder moves boxes by 0.2 pixels."""

    def read(name: str) -> np.ndarray:
        if name == "astronaut":
            return cv2.imread(str(astronaut))[..., ::-1]
        if name == "noface_coffee":
            return pytest.importorskip("skimage.data").coffee()
        media = request.getfixturevalue("media")
        (path,) = media.glob(f"{name}.*")
        return cv2.imread(str(path))[..., ::-1]

    return read


# --- with the trained weights ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PHOTOS)
def test_the_official_boxes(name, trained, golden, photograph):
    image = photograph(name)
    assert image.shape == tuple(golden[f"{name}_shape"])
    smaller, _ = shrink(image)
    assert smaller.shape[:2] == tuple(golden[f"{name}_net_input_shape"][2:])
    found = FaceBoxesDetector()
    offsets, scores = detector.run(found.net, smaller)
    best = np.argsort(-scores, kind="stable")[:8]
    assert best.tolist() == golden[f"{name}_top_prior"].tolist()
    assert np.abs(scores[best] - golden[f"{name}_top_score"]).max() < 1e-4
    assert np.abs(offsets[best] - golden[f"{name}_top_loc"]).max() < 1e-4
    assert (scores > 0.05).sum() == golden[f"{name}_n_over_005"]

    faces, wanted = found.detect([image])[0], golden[name]
    assert len(faces) == len(wanted) == {"two_people": 2, "noface_coffee": 0}.get(name, 1)
    for face, row in zip(faces, wanted, strict=True):
        assert np.abs(face.box - row[:4]).max() < 0.05 and abs(face.score - row[4]) < 1e-4
        assert face.points.shape == (0, 2) and face.point_set == "" and face.box.dtype == np.float64


def test_options_of_the_detector(trained, photograph):
    astronaut = photograph("astronaut")
    small = cv2.resize(astronaut, (256, 256), interpolation=cv2.INTER_AREA)
    both = np.concatenate([astronaut, np.pad(small, ((0, 256), (0, 0), (0, 0)))], 1)
    found = registry.detector("faceboxes", confidence=0.5)
    assert isinstance(found, Detector)
    (faces,) = found.detect([both])
    large = max(faces, key=lambda face: face.area)
    assert len(faces) == 2 and [f.score for f in faces] == sorted((f.score for f in faces), reverse=True)
    found.max_faces = 1
    assert [face.box.tolist() for face in found.detect([both])[0]] == [large.box.tolist()]
    least = min(face.score for face in faces)
    (surer,) = FaceBoxesDetector(confidence=least).detect([both])
    assert len(surer) == 1 and surer[0].score > least


def test_pictures_of_differing_sizes_are_what_they_are_alone(trained, photograph):
    image = photograph("astronaut")
    pictures = [image, np.zeros((1, 1, 3), np.uint8), image[:300], image[:, 100:], image[:0:-1]]
    found = FaceBoxesDetector()
    together = found.detect(pictures)
    for faces, picture in zip(together, pictures, strict=True):
        (alone,) = found.detect([picture])
        assert [face.box.tolist() for face in faces] == [face.box.tolist() for face in alone]
    assert len(together[0]) == 1 and not together[1]


# --- size ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "seen"),
    [
        ((720, 1080), (720, 1080)),
        ((689, 1536), (484, 1080)),  # two_people.jpg
        ((1440, 1000), (720, 500)),
        ((1000, 3000), (360, 1080)),
        ((721, 100), (720, 99)),  # cut, not rounded
        ((2, 9000), (1, 1080)),
        ((9000, 3), (720, 1)),
        ((1, 1), (1, 1)),
    ],
)
def test_only_large_pictures_are_shrunk(size, seen):
    image = np.zeros((*size, 3), np.uint8)
    smaller, scale = shrink(image)
    assert smaller.shape[:2] == seen and 0 < scale <= 1
    assert (smaller is image) == (size[0] <= TALLEST and size[1] <= WIDEST)


# --- with seeded weights, in a fresh clone ---------------------------------------------------------------------------


@pytest.fixture
def picture() -> np.ndarray:
    """The goldens' picture, in which seeded weights see 182 faces before suppression; RGB."""
    with np.load(GOLDEN / "faceboxes_net.npz") as archive:
        return archive["image"][..., ::-1]


@pytest.mark.parametrize("zipped", [False, True])
def test_files_of_tensors_from_a_gpu_are_read(write_weights, picture, zipped):
    write_weights(zipped=zipped)
    with np.load(GOLDEN / "faceboxes_net.npz") as archive:
        scores, decoded = archive["conf"][0, :, 1], archive["decoded"]
    found = FaceBoxesDetector()
    (faces,) = found.detect([picture])
    height, width = picture.shape[:2]
    official = decoded[scores > 0.5] * (width, height, width, height)
    assert 10 < len(faces) < len(official)
    for face in faces:
        assert np.abs(official - face.box).max(1).min() < 0.05
        assert (face.box[2:] > 0).all() and (face.box[:2] < (width, height)).all()
    found.close()
    assert found.net is None


def test_boxes_come_back_at_the_photographs_size(write_weights, picture):
    """Divided by the scale, not by what the rounded sides make of it: 484 rows are 689 of the photograph."""
    write_weights()
    found = FaceBoxesDetector()
    photo = cv2.resize(picture, (1536, 689))
    smaller, scale = shrink(photo)
    rows = detector.detect(found.net, photo)
    offsets, scores = detector.run(found.net, smaller)
    corners = boxes.decode(offsets, boxes.make_priors(484, 1080)) * np.array([1080, 484] * 2)
    best = np.flatnonzero(scores > 0.5)
    assert len(rows) > 10 and scale == 1080 / 1536
    for row in rows:
        nearest = np.abs(corners[best] / scale - row[:4]).max(1)
        assert nearest.min() < 0.02


def test_numbers_that_are_none_are_no_faces(write_weights, picture):
    path = write_weights()
    state = torch.load(path, map_location="cpu", weights_only=True)
    for key in ("loc.0.bias", "loc.1.bias", "loc.2.bias"):
        state[key] += 1e4
    write_weights(state)
    assert FaceBoxesDetector().detect([picture]) == [[]]
    state["conv1.conv.weight"][:] = torch.nan
    write_weights(state)
    assert FaceBoxesDetector().detect([picture]) == [[]]


# --- other files -----------------------------------------------------------------------------------------------------


class Hostile:
    """Unpickled freely, it would make the folder `marker`."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def refusal(error: type[FacecliError]) -> str:
    with pytest.raises(error) as caught:
        FaceBoxesDetector()
    message = str(caught.value)
    assert "\n" not in message and files.WEIGHTS.filename in message
    return message


def test_missing_weights_say_how_to_get_them(own_assets, cli, astronaut):
    message = refusal(MissingAssetError)
    assert "facecli assets get faceboxes" in message and "MIT" in message
    ran = cli("reconstruct", astronaut, "--detector", "faceboxes", "-o", "out")
    assert ran.code == EXIT_MISSING_FILE and len(ran.errors) == 1 and "FaceBoxesProd.pth" in ran.err
    assert not Path("out").exists()


def test_another_file_of_this_name_is_told_by_length_and_hash(own_assets, cli):
    path = own_assets / files.WEIGHTS.filename
    path.write_bytes(b"\x80\x02" + bytes(500))
    assert "has 502 bytes, expected 4,072,492" in refusal(MissingAssetError)
    path.write_bytes(b"\x80\x02" + bytes(files.WEIGHTS.size - 2))
    assert "has SHA-256" in refusal(MissingAssetError)
    ran = cli("assets", "check", "faceboxes")
    assert ran.code != 0 and "SHA-256" in ran.out + ran.err


def test_foreign_networks_are_refused(write_weights):
    write_weights(RetinaFace().state_dict())
    assert "lacks 147 of the network's 174 tensors" in refusal(InputError)
    state = detector.FaceBoxes().state_dict()
    write_weights(state | {"loc.0.bias": torch.zeros(12)})
    assert "loc.0.bias has the shape [12], not [84]" in refusal(InputError)


@pytest.mark.parametrize("keep", [0.3, 0.99])
@pytest.mark.parametrize("zipped", [False, True])
def test_truncated_files_are_refused(write_weights, keep, zipped):
    path = write_weights(zipped=zipped)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    refusal(FacecliError)


@pytest.mark.parametrize("zipped", [False, True])
def test_hostile_files_are_refused_and_nothing_runs(write_weights, zipped, tmp_path):
    marker = tmp_path / "ran"
    write_weights({"conv1.conv.weight": torch.zeros(24, 3, 7, 7), "more": Hostile(marker)}, zipped=zipped)
    assert "don't trust it" in refusal(InputError)
    assert not marker.exists()
