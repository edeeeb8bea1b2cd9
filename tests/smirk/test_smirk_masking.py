"""Which pixels SMIRK's generator sees: the official ones, drawn in the official order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from facecli.geometry.camera import scaled_orthographic
from facecli.morphable.flame import Flame
from facecli.morphable.flame_files import read_flame
from facecli_smirk import masking
from standins.smirk import toy_smirk_assets

GOLDEN = Path(__file__).parents[1] / "golden/smirk/masking.npz"
SEED = 1000


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as archive:
        return {
            key: torch.from_numpy(np.asarray(value, np.int64 if value.dtype == np.int16 else None))
            for key, value in archive.items()
        }


@pytest.fixture(scope="module")
def mesh(golden, standins):
    """Two projected heads [2, V, 3] and their triangles."""
    flame = Flame(read_flame(standins / "FLAME2020/generic_model.pkl"))
    codes = [golden[f"in/{name}_params"] for name in ("shape", "expression", "pose", "jaw")]
    vertices = flame(codes[0], codes[1], pose=codes[2], jaw=codes[3])
    return scaled_orthographic(vertices, golden["in/cam"]), flame.triangles


@pytest.fixture(scope="module")
def weights(mesh):
    projected, triangles = mesh
    regions = masking.triangle_weights(toy_smirk_assets()["triangle_masks"], len(triangles))
    return masking.visible_weights(projected, triangles, regions)


@pytest.fixture(scope="module")
def photos():
    return torch.from_numpy(np.random.default_rng(SEED + 64).random((2, 3, 224, 224)).astype(np.float32))


@pytest.fixture(scope="module")
def same(photos, golden):
    """The photographs' own pixels at the seeded points."""
    pixels = golden["seeded/points_xy"][..., :2]
    return masking.transfer_pixels(photos, pixels, pixels)


@pytest.fixture(scope="module")
def hull(golden):
    return torch.from_numpy(np.unpackbits(golden["masking/hull_packed"].numpy()).reshape(2, 1, 224, 224))


@pytest.fixture(scope="module")
def rendered():
    mask = torch.zeros(2, 1, 224, 224, dtype=torch.bool)
    mask[:, :, 40:120, 90:180] = True
    return mask


def stats(tensor: torch.Tensor) -> list[float]:
    return [tensor.mean().item(), tensor.std(correction=0).item(), tensor.min().item(), tensor.max().item()]


def test_triangles_count_by_their_regions(golden):
    regions = toy_smirk_assets()["triangle_masks"]
    found = masking.triangle_weights(regions, 9976)
    assert torch.equal(found * 2, golden["face_probabilities"].float())
    assert found[np.asarray(regions["cleaner_lips"])].eq(1).all()  # a later region overwrites "lips"


def test_and_by_area_and_visibility(weights, golden):
    assert torch.allclose(weights[:, ::20], golden["sampling_weights_every_20"], atol=1e-6)
    assert torch.allclose(weights.sum(1), golden["sampling_weights_sum"], rtol=1e-5)
    assert torch.equal((weights > 0).sum(1), golden["n_candidate_triangles"])


def test_points_fall_on_the_official_pixels(mesh, golden):
    points = masking.MeshPoints(golden["coords/faces"], golden["coords/bary"])
    found = masking.pixels_of(points, *mesh)
    off = (found - golden["coords/points_xy"][..., :2]).abs()
    assert off.max() <= 1 and off.sum() <= 2  # where truncation meets rounding


def test_a_seed_draws_the_official_points(mesh, weights, golden):
    count = masking.point_count(0.01)
    assert count == golden["seeded/n_points"] == 501
    torch.manual_seed(SEED + 63)
    found = masking.sample_points(weights, count)
    assert torch.equal(found.triangles, golden["seeded/faces"].long())
    assert torch.equal(found.weights[:, :16], golden["seeded/bary_first16"])
    assert torch.equal(masking.pixels_of(found, *mesh), golden["seeded/points_xy"][..., :2])
    again = masking.sample_points(weights, count, torch.Generator().manual_seed(SEED + 63))
    assert torch.equal(again.triangles, found.triangles) and torch.equal(again.weights, found.weights)


def test_points_lie_inside_their_triangles(weights):
    found = masking.sample_points(weights, 2000, torch.Generator().manual_seed(1)).weights
    assert (found >= 0).all() and torch.allclose(found.sum(-1), torch.ones(2, 2000))
    assert torch.allclose(found.mean((0, 1)), torch.full((3,), 1 / 3), atol=0.02)


def test_pixels_move(photos, same, golden):
    assert torch.equal((same.sum(1) > 0).sum((1, 2)), golden["transfer/same_count"])
    np.testing.assert_allclose(stats(same), golden["transfer/same_stats"], rtol=1e-5)
    source, target = golden["transfer/src_xy"], golden["transfer/dst_xy"]
    found = masking.transfer_pixels(photos, source, target)
    assert torch.equal(found[:, :, 7], golden["transfer/row7"])
    assert torch.equal(found[:, :, 57], golden["transfer/row57"])
    np.testing.assert_allclose(stats(found), golden["transfer/stats"], rtol=1e-5)
    some = masking.transfer_pixels(photos, source, target, torch.tensor([100, 250]))
    assert torch.equal(some[:, :, 7], golden["transfer/rbound_row7"])
    np.testing.assert_allclose(stats(some), golden["transfer/rbound_stats"], rtol=1e-5)


def test_of_several_values_for_a_pixel_the_last_counts():
    photo = torch.arange(1.0, 13).reshape(1, 1, 3, 4)
    source = torch.tensor([[[0, 0], [3, 2], [1, 1]]])
    target = torch.tensor([[[2, 1], [2, 1], [0, 0]]])
    found = masking.transfer_pixels(photo, source, target)
    assert found[0, 0].tolist() == [[6, 0, 0, 0], [0, 0, 12, 0], [0, 0, 0, 0]]
    assert masking.transfer_pixels(photo, source, target, torch.tensor([1]))[0, 0, 1, 2] == 1


def test_ndc_becomes_whole_pixels_of_the_picture(golden):
    xy = torch.tensor([[(-1, 1), (0, 0), (0.999, -0.999), (0.25, -0.251), (2, -3)]])
    assert torch.equal(masking.ndc_to_pixels(xy), golden["point2ind"])


def test_the_mask_grows_and_the_rendering_is_cut_out(photos, hull, same, rendered, golden):
    found = masking.mask_photos(photos, hull, same, rendered, noise=False, patches=0)
    assert torch.equal(found[:, :, ::4, ::4], golden["masking/plain_every_4"])
    assert torch.equal((found > 0).sum((1, 2, 3)), golden["masking/plain_nonzero"])
    np.testing.assert_allclose(stats(found), golden["masking/plain_stats"], rtol=1e-5)
    bare = masking.mask_photos(photos, hull, torch.zeros_like(photos))
    assert torch.equal((bare.sum(1) > 0).sum((1, 2)), golden["masking/dilated_outside_count"])


def test_a_seed_gives_the_official_noise_and_patches(photos, hull, same, rendered, golden):
    torch.manual_seed(SEED + 66)
    found = masking.mask_photos(photos, hull, same, rendered)
    assert torch.equal(found[:, :, ::4, ::4], golden["masking/seeded_every_4"])
    np.testing.assert_allclose(stats(found), golden["masking/seeded_stats"], rtol=1e-5)
    kept = (found.sum(1) > 0) & rendered[:, 0] & (hull[:, 0] == 0)
    assert torch.equal(kept.sum((1, 2)), golden["masking/seeded_kept_points"])


def test_no_gradient_flows_through_the_masked_photograph(photos, hull, same):
    photo = photos.clone().requires_grad_()
    assert not masking.mask_photos(photo, hull, same).requires_grad


def test_the_demo_uses_a_part_of_its_points():
    with np.load(GOLDEN.with_name("demo_end_to_end.npz")) as demo:
        count, sign, scale, wanted = (
            torch.from_numpy(np.asarray(demo[f"crop_generator/{name}"]))
            for name in ("n_points", "rsing", "rscale", "rbound")
        )
    assert masking.point_count(0.05) == count == 2508
    assert torch.equal(masking.used_points(int(count), sign, scale), wanted)
    drawn = masking.demo_counts(2508, 500, torch.Generator().manual_seed(0))
    assert 2508 // 25 <= drawn.min() < 110 and 2300 < drawn.max() <= 2508
    assert 0.4 < (drawn > 2508 / 5).float().mean() < 0.6
