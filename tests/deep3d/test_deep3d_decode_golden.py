"""Face model, light, camera and pictures give the official numbers, and the rasterizer's contract is kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from facecli.geometry.perspective import PerspectiveCamera
from facecli.morphable.bfm import lit
from facecli.render.perspective import paint, raster_clip, raster_perspective
from facecli_deep3d.angles import angles_to_matrix, angles_to_pose, pose_to_angles
from facecli_deep3d.network import split
from facecli_deep3d.pictures import draw_landmarks
from facecli_deep3d.reconstructor import CAMERA, rename
from standins.bfm import toy_image

STEPS = {"small": (6, 6), "full": (307, 307)}
"""Of the model: every how manyth vertex of shapes, and of normals and albedo, the golden files hold."""


@pytest.fixture(scope="module")
def decoded(faces):
    """Of a model and coefficients [B, 257]: all that the formulas give, by name."""

    def decode(name: str, coefficients: torch.Tensor) -> dict[str, torch.Tensor]:
        model, official = faces[name], split(coefficients)
        codes = rename(official)
        turn = angles_to_matrix(official["angle"])
        shape = model.shape(codes["identity"], codes["expression"])
        normals, albedo = model.normals(shape), model.albedo(codes["texture"])
        seen = CAMERA.to_camera(shape @ turn.transpose(1, 2) + codes["camera"][:, None])
        return {
            "shape": shape,
            "rotation": turn.transpose(1, 2),
            "norm": normals,
            "texture": albedo,
            "color": lit(albedo, normals @ turn.transpose(1, 2), codes["light"]),
            "vertex_cam": seen,
            "proj": CAMERA.project(seen),
            "landmarks": CAMERA.project(model.landmarks(seen)),
        }

    return decode


@pytest.mark.parametrize("name", STEPS)
def test_face_model(golden, decoded, name):
    wanted = golden("face_model")
    found = decoded(name, torch.from_numpy(wanted["coeffs"]))
    step = STEPS[name][0]
    for key, value in found.items():
        value = value if key in ("rotation", "landmarks") else value[:, ::step]
        pixels = key in ("proj", "landmarks")
        error = np.abs(value.numpy() - wanted[f"{name}_{key}"]).max()
        assert error < (2e-4 if pixels else 1e-5), key
    if name == "full":
        for key in ("shape", "norm", "color", "vertex_cam"):
            value = found[key].double()
            summary = [value.mean(), value.std(), value.abs().max(), value.numel()]
            assert np.allclose(summary, wanted[f"full_{key}_summary_f64"], rtol=1e-5)


def test_the_mean_face_is_centred(golden, faces):
    mean = faces["small"].mean.unflatten(0, (-1, 3))
    assert np.abs(mean[::40].numpy() - golden("face_model")["mean_shape_recentred_s"]).max() < 1e-6


def test_angles(golden):
    wanted = golden("face_model")
    angles = torch.from_numpy(wanted["angles"])
    assert np.abs(angles_to_matrix(angles).mT.numpy() - wanted["angles_rot"]).max() < 1e-6
    assert (pose_to_angles(angles_to_pose(angles)) - angles).abs().max() < 1e-6


@given(st.lists(st.floats(-1.5, 1.5, width=32), min_size=3, max_size=3))
def test_a_pose_is_the_angles_again(angles):
    angles = torch.tensor([angles])
    assert (pose_to_angles(angles_to_pose(angles)) - angles).abs().max() < 2e-3  # near 90 degrees asin is coarse
    again = angles_to_matrix(pose_to_angles(angles_to_pose(angles)))
    assert (again - angles_to_matrix(angles)).abs().max() < 1e-3


def test_light(golden):
    wanted = golden("face_model")
    normals, white = torch.from_numpy(wanted["sh_normals"])[None].expand(27, -1, -1), torch.ones(27, 9, 3)
    light = torch.eye(27).unflatten(1, (3, 9))
    assert np.abs(lit(white, normals, light).numpy() - wanted["sh_unit_gamma"]).max() < 1e-5
    assert np.abs(lit(white, normals, 0 * light)[:1].numpy() - wanted["sh_zero_gamma"]).max() < 1e-6


@pytest.mark.parametrize("name", STEPS)
def test_pictures(golden, decoded, faces, name):
    """The rasterizer's contract: nothing differs but pixels whose centres lie on an edge."""
    wanted, model = golden("render"), faces[name]
    found = decoded(name, torch.from_numpy(wanted["coeffs"]))
    step = STEPS[name][0]
    assert np.abs(CAMERA.clip(found["vertex_cam"])[:, ::step].numpy() - wanted[f"{name}_clip"]).max() < 1e-5
    assert np.abs(found["color"][:, ::step].numpy() - wanted[f"{name}_color"]).max() < 1e-5
    assert np.abs(found["landmarks"].numpy() - wanted[f"landmarks_{name}"]).max() < 2e-4
    fragments = raster_perspective(found["vertex_cam"], model.triangles, CAMERA)
    mask = np.unpackbits(wanted[f"{name}_mask_bits"], axis=-1).astype(bool)
    assert (mask != fragments.mask.numpy()).mean() < 0.001
    triangle, stored = fragments.face_index.numpy() + 1, wanted[f"{name}_tri_id"]
    triangle = triangle if name == "small" else triangle[:, ::4, ::4]
    assert (triangle != stored).mean() < 0.001
    same = (fragments.face_index.numpy() + 1)[:, ::8, ::8] == (
        stored[:, ::8, ::8] if name == "small" else stored[:, ::2, ::2]
    )
    picture = paint(fragments, model.triangles, found["color"])
    error = np.abs(picture[:, :, ::8, ::8].numpy() - wanted[f"{name}_image_s"]).max(1)
    assert error[same].max() < 1e-4 and error.max() < 1e-3
    raster = torch.cat([fragments.bary[..., :2], CAMERA.depth_ratio(fragments.depth)[..., None]], -1)
    raster = (raster * fragments.mask[..., None])[:, ::8, ::8].numpy()
    assert np.abs(raster - wanted[f"{name}_uvz_s"])[same].max() < 1e-4
    depth = (fragments.depth * fragments.mask)[0, ::8, ::8].numpy()
    assert np.abs(depth - wanted[f"{name}_depth0_s"])[same[0]].max() < 1e-4
    mean = [(one[:, shown].mean(1)).numpy() for one, shown in zip(picture, fragments.mask, strict=True)]
    assert np.allclose(mean, wanted[f"{name}_mean_color_in_mask"], atol=1e-3)
    if name == "small":
        levels = np.rint(picture[:1].clamp(0, 1).numpy() * 255)
        differing = np.abs(levels - wanted["small_image_u8"]).max(1) > 1
        assert differing.mean() < 0.005


def test_the_inner_face_as_meant_and_as_the_program_has_it(golden, decoded, faces):
    wanted, model = golden("render"), faces["small"]
    seen = decoded("small", torch.from_numpy(wanted["coeffs"]))["vertex_cam"]
    kinds = {"gathered": model.front[model.front_triangles], "official": model.front_triangles}
    for kind, triangles in kinds.items():
        mask = np.unpackbits(wanted[f"small_frontmask_{kind}_bits"], axis=-1).astype(bool)
        assert (mask != raster_perspective(seen, triangles, CAMERA).mask.numpy()).mean() < 0.001


def test_rows_and_pixel_centres(golden):
    wanted = {key: torch.from_numpy(value) for key, value in golden("render").items() if key.startswith("mini")}
    anywhere = PerspectiveCamera(near=0.0, far=100.0)
    fragments = raster_clip(wanted["mini_clip"], wanted["mini_tri"], (16, 16), anywhere)
    assert torch.equal(fragments.face_index + 1, wanted["mini_rast"][..., 3].long())
    bary = fragments.bary[..., :2] * fragments.mask[..., None]
    assert (bary - wanted["mini_rast"][..., :2]).abs().max() < 1e-5
    picture = paint(fragments, wanted["mini_tri"], wanted["mini_attr"]).permute(0, 2, 3, 1)
    assert (picture - wanted["mini_image"]).abs().max() < 1e-5


def test_nothing_beyond_near_and_far():
    triangle, corners = torch.tensor([[0, 1, 2]]), torch.tensor([[-0.5, -0.5], [0.5, -0.5], [0.0, 0.5]])
    for distance, drawn in ((4.9, False), (5.1, True), (14.9, True), (15.1, False)):
        points = torch.cat([corners * distance, torch.full((3, 1), distance)], 1)[None]
        fragments = raster_perspective(points * torch.tensor([0.1, 0.1, 1]), triangle, CAMERA)
        assert bool(fragments.mask.any()) == drawn
        assert bool((fragments.face_index >= 0).any()) == drawn


def test_landmark_squares(golden):
    wanted, picture = golden("draw_landmarks"), toy_image("draw", 48, 64).astype(np.float32)
    assert np.array_equal(draw_landmarks(picture, wanted["lm"][0], (255, 0, 0)), wanted["red"])
    assert np.array_equal(draw_landmarks(picture, wanted["lm"][0], (0, 0, 255), 1), wanted["blue_step1"])


def test_landmarks_lie_half_a_pixel_beside_the_picture(decoded, faces):
    """Right of and above it, as the networks were trained; kept."""
    point = torch.tensor([[[0.3, -0.2, 9.5]]])
    assert torch.allclose(CAMERA.landmarks(point) - CAMERA.pixels(point), torch.tensor([0.5, -0.5]), atol=1e-4)
