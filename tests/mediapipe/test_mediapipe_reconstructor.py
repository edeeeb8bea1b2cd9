"""Codes take MediaPipe's points apart and put them together again, in millimetres."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from facecli import registry
from facecli.codes import Codes
from facecli.detect.face import Face, box_of_points
from facecli.export.face_json import head_angles
from facecli.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from facecli.io.images import read_image
from facecli_mediapipe.reconstructor import IRIS_DIAMETER_MM, iris_diameter
from facecli_mediapipe.surface import FACE_POINTS, load_surface, similarity_fit

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("FACECLI_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="module")
def model():
    return registry.reconstructor("mediapipe")


@pytest.fixture(scope="module")
def photo():
    return read_image(ROOT / "assets/astronaut.png")


@pytest.fixture(scope="module")
def face():
    points = np.load(ROOT / "tests/golden/landmarks/mediapipe_astronaut.npz")["mediapipe_refine1"] * 512
    return Face(box_of_points(points), 0.9, points, "mediapipe478")


def posed(rotation_vector, scale=2.0, origin=(300.0, 200.0)) -> Face:
    """The mean face under a known pose, as MediaPipe would see it."""
    rotation = axis_angle_to_matrix(torch.tensor(rotation_vector, dtype=torch.float64)).numpy()
    points = load_surface().mean @ rotation.T * scale * (1, -1, -1) + (*origin, 0)
    return Face(box_of_points(points), 1.0, points, "mediapipe478")


def encoded(model, photo, *faces) -> Codes:
    return model.encode([model.crop(photo, face) for face in faces])


def test_the_mesh_lands_on_the_landmarks(model, photo, face):
    decoded = model.decode(encoded(model, photo, face))
    np.testing.assert_allclose(decoded.projected[0, :, :2], face.points[:FACE_POINTS, :2], atol=1e-3)
    np.testing.assert_allclose(decoded.landmarks["mediapipe478"][0], face.points[:, :2], atol=1e-3)
    assert decoded.landmarks["ibug68"].shape == (1, 68, 2)
    assert torch.equal(decoded.landmarks_3d["mediapipe468"], decoded.vertices)
    depth_pixels = decoded.projected[0, :, 2] * decoded.camera["pixels_per_mm"][0]
    expected = face.points[:FACE_POINTS, 2]
    np.testing.assert_allclose(depth_pixels - depth_pixels.mean(), expected - expected.mean(), atol=1e-3)


def test_irises_are_as_wide_as_irises_are(model, photo, face):
    codes = encoded(model, photo, face)
    assert iris_diameter((codes["surface"][0] * codes["size"][0]).numpy()) == pytest.approx(IRIS_DIAMETER_MM, rel=1e-5)
    height = np.ptp(model.decode(codes).vertices[0, :, 1].numpy())
    assert 130 < height < 200  # millimetres from forehead to chin of a grown woman


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-0.9, 0.9), min_size=3, max_size=3), st.floats(0.5, 20))
def test_a_known_pose_is_found(rotation_vector, scale):
    model = registry.reconstructor("mediapipe")
    codes = encoded(model, np.zeros((400, 600, 3), np.uint8), posed(rotation_vector, scale))
    np.testing.assert_allclose(codes["pose"][0], rotation_vector, atol=1e-5)
    np.testing.assert_allclose(codes["camera"][0], [scale, 300, 200], rtol=1e-5)
    np.testing.assert_allclose(codes["surface"][0], load_surface().mean, atol=1e-3)


def test_angles_have_the_documented_signs(model, photo):
    def angles(rotation_vector):
        return head_angles(model.decode(encoded(model, photo, posed(rotation_vector))).head_pose[0].numpy())

    assert angles((0, 0.4, 0))["yaw"] == pytest.approx(np.degrees(0.4), abs=1e-3)
    nose_x = posed((0, 0.4, 0)).points[4, 0] - posed((0, 0, 0)).points[4, 0]
    assert nose_x > 0  # to the right side of the picture
    assert angles((-0.3, 0, 0))["pitch"] == pytest.approx(np.degrees(0.3), abs=1e-3)
    nose_y = posed((-0.3, 0, 0)).points[4, 1] - posed((0, 0, 0)).points[4, 1]
    assert nose_y < 0  # up


def test_batches_equal_single_runs(model, photo, face):
    faces = [face, posed((0.1, -0.5, 0.2)), posed((0.3, 0.2, -0.1), 5.0)]
    together = model.decode(encoded(model, photo, *faces))
    for number, one in enumerate(faces):
        alone = model.decode(encoded(model, photo, one))
        for name in ("vertices", "projected", "head_pose"):
            torch.testing.assert_close(getattr(together, name)[number], getattr(alone, name)[0], atol=1e-5, rtol=1e-6)


def test_crop_shows_what_its_warp_says(model, photo, face):
    for image, warped in ((photo, face), (np.repeat(np.repeat(photo, 6, 0), 6, 1), None)):
        points = face.points if warped is face else (face.points[:, :3] + 0.5) * 6 - 0.5
        crop = model.crop(image, Face(box_of_points(points), 1.0, points, "mediapipe478"))
        assert crop.image.shape == (3, 256, 256)
        nose = crop.warp @ (*points[4, :2], 1)
        x, y = np.round(nose[:2]).astype(int)
        px, py = np.round(points[4, :2]).astype(int)
        np.testing.assert_allclose(crop.image[:, y, x] * 255, image[py, px], atol=25)


def test_points_of_another_landmarker_are_refused(model, photo):
    points = np.zeros((68, 2))
    with pytest.raises(Exception, match="478 points"):
        encoded(model, photo, Face(np.array([0, 0, 9, 9.0]), 1.0, points, "ibug68"))


def test_surface_is_one_oriented_sheet():
    surface = load_surface()
    directed = {(t[i], t[(i + 1) % 3]) for t in surface.triangles.tolist() for i in range(3)}
    border = [edge for edge in directed if edge[::-1] not in directed]
    assert len(surface.triangles) == 898
    assert len(directed) == 3 * 898
    assert len(border) == 36  # the face's outline alone: eyes and mouth are closed
    normals = np.cross(*(surface.mean[surface.triangles[:, i]] - surface.mean[surface.triangles[:, 0]] for i in (1, 2)))
    assert (normals[:, 2] > 0).mean() > 0.97


def test_uv_layout_is_injective_and_symmetric():
    surface = load_surface()
    corners = surface.uv[surface.triangles]
    (ax, ay), (bx, by) = (corners[:, 1] - corners[:, 0]).T, (corners[:, 2] - corners[:, 0]).T
    assert (ax * by - ay * bx > 0).all()
    assert surface.uv.min() > 0
    assert surface.uv.max() < 1
    mirrored = surface.uv[surface.mirror[:FACE_POINTS]] * (-1, 1) + (1, 0)
    np.testing.assert_allclose(surface.uv, mirrored, atol=1e-6)


def test_surface_agrees_with_mediapipes_canonical_face():
    path = SHARED / "data/canonical_face_model.obj"
    if not path.exists():
        pytest.skip("../shared/data/canonical_face_model.obj is not here")
    lines = path.read_text().splitlines()
    canonical = np.array([[float(x) for x in line.split()[1:]] for line in lines if line.startswith("v ")])
    surface = load_surface()
    mirror = surface.mirror[:FACE_POINTS]
    np.testing.assert_allclose(canonical[mirror] * (-1, 1, 1), canonical, atol=1e-6)
    scale, rotation, shift = similarity_fit(canonical, surface.mean[:FACE_POINTS])
    distances = np.linalg.norm(scale * canonical @ rotation.T + shift - surface.mean[:FACE_POINTS], axis=1)
    assert np.sqrt((distances**2).mean()) < 4  # millimetres; two averages of different people
    assert np.degrees(np.linalg.norm(matrix_to_axis_angle(torch.from_numpy(rotation)))) < 2.5
