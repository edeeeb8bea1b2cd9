"""`--detector faceboxes` from the command line, with the trained weights where they are."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

import facecli
from facecli.io.images import read_image, write_image

pytest.importorskip("mediapipe")

GOLDEN = Path(__file__).resolve().parents[1] / "golden/synergynet/faceboxes_photos.npz"


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN) as archive:
        return dict(archive)


@pytest.fixture
def run(cli, tmp_path):
    """`facecli COMMAND… -o OUT --json`: its lines, of a run without errors."""

    def call(*arguments):
        ran = cli(*arguments, "-o", tmp_path / "out", "--json")
        assert ran.code == 0, ran.err
        return [json.loads(line) for line in ran.out.splitlines()]

    return call


def test_every_face_is_reconstructed_in_its_box(trained, run, media, astronaut, golden, tmp_path):
    photos = [media / "two_people.jpg", astronaut]
    rows = run("reconstruct", *photos, "--detector", "faceboxes", "--save", "overlay,json")
    assert [Path(row["input"]).stem for row in rows] == ["two_people", "two_people", "astronaut"]
    boxes = {tuple(np.round(box[:4], 3)) for name in ("two_people", "astronaut") for box in golden[name]}
    for row in rows:
        (nearest,) = sorted(boxes, key=lambda box: np.abs(np.subtract(box, row["box"])).max())[:1]
        boxes.remove(nearest)
        within = 0.05 if "astronaut" in row["input"] else 1.0  # another JPEG decoder than the official program's
        assert np.abs(np.subtract(nearest, row["box"])).max() < within
        assert abs(row["head_angles"]["yaw"]) < 30
        drawn = read_image(Path(row["overlay"])).astype(int)
        changed = np.abs(drawn - read_image(row["input"])).sum(-1) > 30
        y, x = changed.nonzero()
        x0, y0, x1, y1 = row["box"]
        assert x0 < x.mean() < x1 and y0 < y.mean() < y1
    assert not boxes


def test_faces_that_the_landmarker_misses_are_found(trained, run, astronaut, tmp_path):
    """In a picture of thirty small faces MediaPipe alone finds none; within the boxes it does."""
    small = cv2.resize(read_image(astronaut), (128, 128), interpolation=cv2.INTER_AREA)
    crowd = np.tile(small, (5, 6, 1))
    write_image(tmp_path / "crowd.png", crowd)
    assert not facecli.landmarks(crowd)
    rows = run("preprocess", "landmarks", tmp_path / "crowd.png", "--detector", "faceboxes", "--faces", "all")
    assert len(rows) >= 3
    with np.load(rows[0]["landmarks"][0]) as archive:
        points = archive["points"].reshape(-1, 478, archive["points"].shape[-1])[..., :2]
    places = (points.mean(1) % 128).mean(0)  # of the face in each of the small pictures
    assert np.abs(places - [56, 30]).max() < 4
    assert (np.ptp(points, 1) < 45).all()


def test_aligned_faces_of_a_detector(trained, run, astronaut):
    (row,) = run("align", astronaut, "--detector", "faceboxes", "--size", "64")
    assert row["set"] == "mediapipe478" and read_image(Path(row["image"])).shape == (64, 64, 3)


def test_from_python(trained, astronaut, golden):
    (face,) = facecli.landmarks(astronaut, detector="faceboxes")
    (alone,) = facecli.landmarks(astronaut)
    assert np.abs(face.box - golden["astronaut"][0, :4]).max() < 0.05
    assert abs(face.score - golden["astronaut"][0, 4]) < 1e-4
    np.testing.assert_array_equal(face.points, alone.points)


def test_what_the_catalogue_says(cli, trained):
    from facecli_faceboxes.files import WEIGHTS

    assert WEIGHTS.permissive and WEIGHTS.fetchable
    ran = cli("assets", "check", "faceboxes")
    assert ran.code == 0 and "SHA-256 right" in ran.out + ran.err
    (row,) = map(json.loads, cli("assets", "list", "--model", "faceboxes", "--json").out.splitlines())
    assert (row["name"], row["status"], row["used_by"][0]) == ("faceboxes", "present", "faceboxes")
    (model,) = map(json.loads, cli("models", "faceboxes", "--json").out.splitlines())
    assert model["ready"] and model["offers"] == ["boxes: faceboxes"]
