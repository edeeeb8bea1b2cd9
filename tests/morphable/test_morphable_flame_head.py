"""Codes of the family become heads that land on the photograph, whatever model they come from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from facecli.assets import places
from facecli.benchmark.closest_point import ClosestPoints
from facecli.codes import Codes
from facecli.errors import MissingAssetError, UsageError
from facecli.geometry.camera import crop_camera, photo_camera
from facecli.morphable.flame_head import FlameHead, steady, unsteady


@pytest.fixture(scope="module")
def head(standins):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACECLI_ASSETS", str(standins))
        places.rescan()
        yield FlameHead(eyelids=True, mediapipe=True)
    places.rescan()


def some_codes(batch: int = 3, seed: int = 0) -> Codes:
    make = torch.Generator().manual_seed(seed)
    noise = lambda *shape: torch.randn(*shape, generator=make)  # noqa: E731
    warp = torch.tensor([[0.8, 0.0, 10.0], [0.0, 0.8, -5.0], [0.0, 0.0, 1.0]])
    values = {
        "identity": noise(batch, 300),
        "expression": noise(batch, 50),
        "pose": 0.4 * noise(batch, 3),
        "jaw": 0.1 * noise(batch, 3).abs(),
        "eyelids": torch.rand(batch, 2, generator=make),
        "camera": torch.tensor([7.5, 0.01, 0.02]) + 0.01 * noise(batch, 3),
        "warp": warp.expand(batch, 3, 3),
        "photo_size": torch.tensor([400.0, 500.0]).expand(batch, 2),
    }
    return Codes(values, "smirk", "flame")


def test_the_pose_and_the_camera_put_the_mesh_where_it_is_projected(head):
    codes = some_codes().replace(eyelids=torch.zeros(3, 2))
    found = head.decode(codes)
    turn, shift = found.head_pose[:, :3, :3], found.head_pose[:, None, :3, 3]
    seen = found.vertices @ turn.transpose(1, 2) + shift
    pixels = seen[..., :2] * found.camera["pixels_per_mm"][:, None, None]
    x, y = pixels[..., 0] + (500 - 1) / 2, (400 - 1) / 2 - pixels[..., 1]
    assert (torch.stack([x, y], -1) - found.projected[..., :2]).abs().max() < 1e-3
    depth = found.projected[..., 2] + seen[..., 2]
    assert (depth - depth[:, :1]).abs().max() < 1e-2  # both in millimetres, of any offset


def test_the_programs_own_vertices_come_along(head):
    codes = some_codes()
    found = head.decode(codes)
    posed = head.flame(codes["identity"], codes["expression"], codes["pose"], codes["jaw"], eyelids=codes["eyelids"])
    assert torch.equal(found.extras["verts"], posed)
    assert found.extras["landmarks2d"].shape == (3, 68, 2)
    assert found.landmarks["mediapipe105"].shape == (3, 105, 2)
    # The same point by both ways: from the network's square to the photograph.
    ndc = found.extras["landmarks2d"][0, 30]
    back = (((ndc + 1) * 112) - torch.tensor([10.0, -5.0])) / 0.8
    assert torch.allclose(found.landmarks["ibug68"][0, 30], back, atol=1e-3)


def test_points_on_the_mesh_stay_at_their_place_of_it(head):
    codes = some_codes()
    found = head.decode(codes)
    still = head.decode(codes.replace(pose=torch.zeros(3, 3)))
    assert set(found.landmarks_3d) == {"ibug68", "mediapipe105"}
    for name, points in found.landmarks_3d.items():
        assert torch.equal(points, still.landmarks_3d[name])  # the head frame knows no pose
        for vertices, of_face in zip(found.vertices.numpy(), points.double().numpy(), strict=True):
            assert ClosestPoints(vertices, head.triangles.numpy()).query(of_face).distance.max() < 1e-4  # millimetres
    # The head's pose and the camera take them where `ibug68_fixed` has them on the photograph.
    no_lids = head.decode(codes.replace(eyelids=torch.zeros(3, 2)))
    turn, shift = no_lids.head_pose[:, :3, :3], no_lids.head_pose[:, None, :3, 3]
    seen = no_lids.landmarks_3d["ibug68"] @ turn.transpose(1, 2) + shift
    pixels = seen[..., :2] * no_lids.camera["pixels_per_mm"][:, None, None]
    x, y = pixels[..., 0] + (500 - 1) / 2, (400 - 1) / 2 - pixels[..., 1]
    assert (torch.stack([x, y], -1) - no_lids.extras["ibug68_fixed"]).abs().max() < 1e-3
    # All but the contour are where the points as seen are, too.
    gap = (found.extras["ibug68_fixed"] - found.landmarks["ibug68"]).norm(dim=2)
    assert gap[:, 17:].max() < gap[:, :17].max() / 5


def test_lids_stay_on_the_eyes_of_the_exported_head(head):
    codes = some_codes(1)
    shut, still = codes.replace(eyelids=torch.ones(1, 2)), codes.replace(eyelids=torch.zeros(1, 2))
    turned_away = shut.replace(pose=torch.tensor([[0.0, 1.2, 0.0]]))
    lids = head.decode(shut).vertices - head.decode(still).vertices
    assert torch.allclose(head.decode(turned_away).vertices, head.decode(shut).vertices)
    assert torch.allclose(lids[0] / 1000, head.flame.eyelids.sum(0), atol=1e-5)


def test_codes_may_be_fewer(head):
    bare = head.decode(Codes({"identity": torch.zeros(2, 100)}, "deca", "flame"))
    inside = (bare.projected[..., :2] > 0) & (bare.projected[..., :2] < 224)
    assert inside.float().mean() > 0.9  # a frontal head in its crop
    with pytest.raises(UsageError, match="no identity"):
        head.decode(Codes({"expression": torch.zeros(1, 50)}, "x", "flame"))
    with pytest.raises(UsageError, match="FLAME has 300"):
        head.decode(Codes({"identity": torch.zeros(1, 301)}, "x", "flame"))


def test_batches_equal_single_heads(head):
    codes = some_codes(5)
    together = head.decode(codes)
    for index in range(5):
        alone = head.decode(codes.select(index))
        assert (alone.vertices[0] - together.vertices[index]).abs().max() < 1e-2 * 1e-1
        assert (alone.projected[0] - together.projected[index]).abs().max() < 1e-3


@given(st.floats(0.05, 20), st.floats(-300, 300), st.floats(-300, 300), st.floats(2, 12), st.floats(-0.1, 0.1))
def test_cameras_survive_the_way_to_the_photograph_and_back(scale, dx, dy, s, t):
    warp = torch.tensor([[[scale, 0, dx], [0, scale, dy], [0, 0, 1]]])
    camera = torch.tensor([[s, t, -t]])
    back = crop_camera(photo_camera(camera, warp), warp)
    assert torch.allclose(back, camera, rtol=1e-3, atol=2e-3)


def test_a_still_face_in_a_jumping_crop_has_a_steady_camera():
    camera, codes = torch.tensor([[8.0, 0.01, -0.02]]), []
    for shift in (0.0, 7.0, -12.0):
        warp = torch.tensor([[[0.7, 0, shift], [0, 0.7, 2 * shift], [0, 0, 1]]])
        moved = camera.clone()
        moved[:, 1] += shift / 112 / camera[:, 0]
        moved[:, 2] -= 2 * shift / 112 / camera[:, 0]
        codes.append(Codes({"identity": torch.zeros(1, 10), "camera": moved, "warp": warp}, "smirk", "flame"))
    seen = [steady(part)["camera"] for part in codes]
    assert all(torch.allclose(seen[0], other, atol=1e-3) for other in seen)
    assert torch.allclose(unsteady(steady(codes[1]))["camera"], codes[1]["camera"], atol=1e-5)


def test_blend_shapes_move_the_mesh_as_codes_do(head):
    rig = head.rig(("expression", "jaw", "eyelids"))
    assert len(set(rig.names)) == len(rig.names) == len(rig.codes) == len(rig.shapes) == 55
    weights = np.random.default_rng(0).normal(size=len(rig.names)).astype(np.float32)
    weights[[name.startswith("jaw") for name in rig.names]] = 0
    values = {"identity": torch.zeros(1, 300), "expression": torch.zeros(1, 50), "eyelids": torch.zeros(1, 2)}
    rest = head.decode(Codes(values, "", "flame")).vertices[0].numpy()
    for (code, index), weight in zip(rig.codes, weights, strict=True):
        if code in values:
            values[code][0, index] = float(weight)
    moved = head.decode(Codes(values, "", "flame")).vertices[0].numpy()
    assert np.abs(rest + np.tensordot(weights, rig.shapes, 1) - moved).max() < 1e-3  # millimetres


def test_all_missing_files_are_named_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("FACECLI_ASSETS", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    places.rescan()
    with pytest.raises(MissingAssetError) as caught:
        FlameHead(mediapipe=True)
    for name in (
        "generic_model.pkl",
        "head_template.obj",
        "landmark_embedding.npy",
        "mediapipe_landmark_embedding.npz",
    ):
        assert name in str(caught.value)
    with pytest.raises(UsageError, match="2023-open"):
        FlameHead(edition="2017")
