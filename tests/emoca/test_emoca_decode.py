"""Decoding, wrinkles and pictures against EMOCA's own numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from emoca_cases import codes_of, crops_of, golden_case, picture

from facecli.morphable.flame_landmarks import FlameLandmarks
from facecli_emoca.face import EmocaFace
from standins.deca import toy_landmark_embedding
from standins.emoca import toy_mediapipe_embedding


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    return golden_case("decode")


@pytest.fixture(scope="module")
def decoded(model, golden):
    """Both faces as the model decodes them, and each as pictures want it."""
    codes, crops = codes_of(golden), crops_of(picture("decode.img", 2))
    with torch.inference_mode():
        found = model.decode(codes)
        faces = [model.decoded(codes.select(i), found.select(slice(i, i + 1)), crops[i]) for i in range(2)]
    return codes, found, faces


def every_4(faces: list[EmocaFace], name: str) -> np.ndarray:
    with torch.inference_mode():
        return torch.cat([getattr(face, name) for face in faces])[..., ::4, ::4].numpy()


def close_as_pictures(found: np.ndarray, golden: np.ndarray) -> None:
    """Another rasterizer may choose another triangle on edges."""
    difference = abs(found - golden)
    assert difference.mean() < 2e-3 and (difference <= 1e-2).mean() > 0.99


def test_heads_and_landmarks_are_golden(decoded, golden):
    extras = decoded[1].extras
    np.testing.assert_allclose(extras["verts"][:, ::20], golden["verts"], atol=1e-6)
    stats = extras["verts"].double()
    np.testing.assert_allclose(
        [stats.mean(), stats.std(correction=0), stats.min(), stats.max()], golden["verts_stats"], atol=1e-6
    )
    np.testing.assert_allclose(extras["trans_verts"][:, ::20], golden["trans_verts"], atol=2e-6)
    np.testing.assert_allclose(extras["landmarks3d_world"], golden["landmarks3d"], atol=1e-6)
    np.testing.assert_allclose(extras["landmarks2d"], golden["predicted_landmarks"], atol=2e-6)


def test_mediapipe_points_are_golden(model, decoded, golden):
    """Of EMOCA's own embedding; the stand-in file is SMIRK's."""
    embedding = toy_mediapipe_embedding()
    names = {"static": "static", "dynamic": "contour", "full": "full"}
    ibug = {}
    for key, value in toy_landmark_embedding().items():
        kind, _, what, *_ = key.split("_")
        ibug[f"{names[kind]}_{'triangles' if what == 'faces' else 'weights'}"] = np.asarray(value)
    mediapipe = {
        "triangles": embedding["lmk_face_idx"].astype(np.int64),
        "weights": embedding["lmk_b_coords"].astype(np.float32),
    }
    ibug |= {"full_triangles": ibug["full_triangles"][0], "full_weights": ibug["full_weights"][0]}
    points = FlameLandmarks(model.head.triangles.numpy(), ibug, mediapipe)
    found = points.mediapipe105(decoded[1].extras["verts"])
    np.testing.assert_allclose(found, golden["landmarks_mediapipe"], atol=1e-6)
    assert decoded[1].landmarks["mediapipe105"].shape == (2, 105, 2)


def test_wrinkles_are_golden(decoded, golden):
    _, found, faces = decoded
    np.testing.assert_allclose(found.detail.offsets[..., ::4, ::4], golden["uv_z"], atol=1e-7)
    np.testing.assert_allclose(found.detail.offsets[:, 0, 128], golden["uv_z_full_row128"], atol=1e-7)
    np.testing.assert_allclose(every_4(faces, "displacement_map"), golden["displacement_map"], atol=1e-7)
    np.testing.assert_allclose(every_4(faces, "uv_detail_normals"), golden["uv_detail_normals"], atol=1e-3)
    np.testing.assert_allclose(every_4(faces, "uv_texture") / 0.5, golden["uv_shading"], atol=1e-3)


def test_the_normals_leave_no_margin_and_are_not_blended(model, decoded, golden):
    """Which is what DECA does; its map of the same face is another."""
    surface = model.decoder.surface
    assert surface.margin == (0, 0) and not surface.blended
    face = decoded[2][0]
    inside = surface.space.mask & (surface.mask[0, 0] == 0)
    coarse = surface.space(face.normals)[0][:, inside]
    assert (face.uv_detail_normals[0][:, inside] - coarse).abs().max() > 0.05  # blended, they would be the same
    surface.margin, surface.blended = (2, 5), True
    try:
        as_deca = surface.normals(face.reconstruction.detail.offsets, face.verts, face.normals)
    finally:
        surface.margin, surface.blended = (0, 0), False
    assert (as_deca[0][:, inside] - coarse).abs().max() < 1e-6


def test_textures_and_masks_are_golden(decoded, golden):
    faces = decoded[2]
    np.testing.assert_allclose(every_4(faces, "uv_texture_gt"), golden["uv_texture_gt"], atol=1e-4)
    close_as_pictures(every_4(faces, "mask"), golden["masks"])
    hits = torch.cat([face.view.hit for face in faces])[:, 0].numpy()
    assert (hits != golden["alpha"]).mean() < 1e-3


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("geometry_coarse", "geometry_coarse"),
        ("geometry_detail", "geometry_detail"),
        ("out_im_coarse", "predicted_images"),
        ("out_im_detail", "predicted_detailed_image"),
    ],
)
def test_pictures_are_golden(ours, theirs, decoded, golden):
    found = every_4(decoded[2], ours)
    close_as_pictures(found, golden[theirs])
    assert np.abs(found - golden[theirs]).mean() < 2e-5  # really


@pytest.mark.parametrize(("background", "theirs"), [("black", "False"), ("none", "none")])
def test_other_backgrounds_are_golden(background, theirs, model, decoded):
    golden = golden_case("background")
    codes, found, faces = decoded
    face = model.decoded(codes.select(0), found.select(slice(0, 1)), faces[0].crop)
    face.background = background
    close_as_pictures(every_4([face], "out_im_coarse"), golden[f"image_{theirs}"])
    close_as_pictures(every_4([face], "out_im_detail"), golden[f"detail_{theirs}"])


def test_transferred_expression_is_golden(model, decoded):
    """The second face's expression and jaw on the first; wrinkles follow them."""
    golden = golden_case("transfer")
    codes, _, faces = decoded
    mixed = codes.select(0).replace(expression=codes["expression"][1:], jaw=codes["jaw"][1:])
    with torch.inference_mode():
        found = model.decode(mixed)
        face = model.decoded(mixed, found, faces[0].crop)
    np.testing.assert_allclose(found.extras["verts"][:, ::20], golden["verts"], atol=1e-6)
    np.testing.assert_allclose(found.extras["landmarks2d"], golden["predicted_landmarks"], atol=2e-6)
    np.testing.assert_allclose(found.detail.offsets[..., ::4, ::4], golden["uv_z"], atol=1e-7)
    close_as_pictures(every_4([face], "out_im_detail"), golden["predicted_detailed_image"])


def test_detail_lies_in_the_head_frame_in_millimetres(decoded):
    """Turned with the head and moved to where it turns about, it is the program's own."""
    _, found, faces = decoded
    for number, face in enumerate(faces):
        turn = found.head_pose[number, :3, :3].double()
        head = found.vertices[number].double()
        shift = face.verts[0].double() * 1000 - head @ turn.T
        assert (shift - shift.mean(0)).abs().max() < 1e-3
        dense = found.detail.vertices[number].double() @ turn.T + shift.mean(0)
        assert (dense - face.dense_vertices[0].double() * 1000).abs().max() < 0.02
        # On the face the dense mesh is the displaced surface, and its normals are the map's.
        assert found.detail.normals[number].norm(dim=0).max() <= 1 + 1e-5
        inside = face.decoder.surface.inside[0, 0]
        turned = torch.einsum("ij,jhw->ihw", turn, found.detail.normals[number].double())
        assert (turned - face.uv_detail_normals[0].double())[:, inside].abs().max() < 5e-3


def test_faces_decode_alone_as_in_a_batch(model, decoded):
    codes, found, _ = decoded
    with torch.inference_mode():
        alone = model.decode(codes.select(1))
    assert (alone.vertices[0] - found.vertices[1]).abs().max() < 1e-4
    assert (alone.detail.displacement[0] - found.detail.displacement[1]).abs().max() < 1e-5
    picked = found.select(slice(1, 2))
    assert (picked.detail.vertices[0] - found.detail.vertices[1]).abs().max() < 1e-4
