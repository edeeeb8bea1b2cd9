"""FLAME, landmarks, camera, rotations and albedo give DECA's official numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from facecli.geometry.camera import scaled_orthographic
from facecli.geometry.normals import vertex_normals
from facecli.geometry.rotations import axis_angle_to_matrix, euler_to_axis_angle, euler_to_matrix
from facecli.morphable.flame_landmarks import contour_row
from facecli.morphable.flame_texture import read_albedo


@pytest.fixture(scope="module")
def case(golden):
    return golden("flame")


@pytest.fixture(scope="module")
def vertices(flame, case):
    pose = case["pose"]
    return flame(case["shape"], case["exp"], pose[:, :3], pose[:, 3:])


def test_vertices(flame, case, vertices):
    assert (vertices[:, ::40] - case["verts"]).abs().max() < 1e-6
    flat = vertices.double().flatten(1)
    stats = torch.stack([flat.mean(), flat.std(correction=0), flat.min(), flat.max()])
    wanted = case["verts_stats"]
    per_face = torch.stack([flat.mean(1), flat.std(1, correction=0), flat.amin(1), flat.amax(1)], 1)
    assert wanted.shape == per_face.shape and (per_face - wanted).abs().max() < 1e-6, stats
    pose = case["pose"]
    looking = flame(case["shape"], case["exp"], pose[:, :3], pose[:, 3:], eyes=case["eye_pose"])
    assert (looking[:, ::40] - case["verts_eye"]).abs().max() < 1e-6
    assert (looking - vertices).abs().max() > 1e-4


def test_landmarks_and_camera(deca, case, vertices):
    marks = deca.head.landmarks
    contour, fixed = marks.contour68(vertices, case["pose"][:, :3]), marks.full68(vertices)
    assert (contour - case["landmarks2d"]).abs().max() < 1e-6
    assert (fixed - case["landmarks3d"]).abs().max() < 1e-6
    for points, key in ((contour, "proj_landmarks2d"), (fixed, "proj_landmarks3d"), (vertices[:, ::40], "trans_verts")):
        wanted = case[key]
        found = scaled_orthographic(points, case["cam"])[..., : wanted.shape[-1]]
        assert (found - wanted).abs().max() < 1e-5


def test_normals_and_visibility(deca, case, vertices):
    triangles = deca.head.triangles
    seen = vertex_normals(scaled_orthographic(vertices, case["cam"]), triangles)
    assert (vertex_normals(vertices, triangles)[:, ::40] - case["normals"]).abs().max() < 1e-5
    assert (seen[:, ::40] - case["trans_normals"]).abs().max() < 1e-5
    visible = deca.head.landmarks.full68(seen)[..., 2:] < 0.1
    assert torch.equal(visible.float(), case["landmark_visible"])


def test_the_contours_row_for_each_yaw(case):
    pose = case["contour_full_pose"]
    assert torch.equal(contour_row(pose[:, :3], pose[:, 3:6]), case["contour_row"])


def test_rotations(golden):
    case = golden("rotations")
    angles = torch.deg2rad(case["euler_degrees"])
    assert (axis_angle_to_matrix(case["axis_angle"]) - case["matrix"]).abs().max() < 1e-5
    assert (euler_to_axis_angle(angles) - case["euler_axis_angle"]).abs().max() < 1e-5
    assert (euler_to_matrix(angles) - case["euler_matrix"]).abs().max() < 1e-5


def test_euler_angles_turn_one_after_the_other():
    angles = torch.tensor([[0.3, -1.1, 2.0], [3.0, 2.5, -2.9]])
    x, y, z = (axis_angle_to_matrix(angles[:, k : k + 1] * torch.eye(3)[k]) for k in range(3))
    assert torch.allclose(euler_to_matrix(angles), x @ y @ z, atol=1e-5)
    assert (euler_to_axis_angle(angles).norm(dim=1) <= np.pi + 1e-5).all()


@pytest.mark.parametrize("kind", ["bfm", "flame"])
def test_albedo_files(golden, tmp_path, albedo_arrays, kind):
    mean, components = albedo_arrays
    path = tmp_path / "albedo.npz"
    if kind == "bfm":
        np.savez(path, MU=mean, PC=components)
    else:
        shape = (512, 512, 3)
        np.savez(path, mean=mean.reshape(shape) * 255, tex_dir=components.reshape(*shape, -1) * 255)
    case = golden("texture")
    found = read_albedo(path)(case["tex"])
    assert (found[:, :, ::8, ::8] - case[kind]).abs().max() < 1e-5
    flat = found.double()
    stats = torch.stack([flat.mean(), flat.std(correction=0), flat.min(), flat.max()])
    assert (stats - case[f"{kind}_stats"]).abs().max() < 1e-5
