"""The face models of SynergyNet and 3DDFA_V2: official numbers, official files, and what is no such file."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from hypothesis import given
from hypothesis import strategies as st

from facecli import roi
from facecli.codes import Codes
from facecli.errors import InputError, UsageError
from facecli.geometry.euler import synergynet_angles, tddfa_v2_angles
from facecli.morphable import tddfa, tddfa_files
from facecli.morphable.tddfa_head import System, TddfaHead, code_unit
from standins import tddfa as standin

GOLDEN = Path(__file__).parents[1] / "golden/synergynet"
SYNERGYNET = System("3ddfa", tddfa.SYNERGYNET, synergynet_angles)
TDDFA_V2 = System("3ddfa_v2", tddfa.TDDFA_V2, tddfa_v2_angles)


def golden(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / f"{name}.npz") as archive:
        return dict(archive)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    """`3dmm_data/` and `configs/`, small and full, in the official formats."""
    made = {}
    for size in ("small", "full"):
        folder = tmp_path_factory.mktemp(size)
        standin.write_3dmm(folder / "3dmm_data", size)
        standin.write_v2(folder / "configs", size)
        made[size] = folder
    return made


def read_3dmm(folder: Path) -> tddfa_files.TddfaArrays:
    data = folder / "3dmm_data"
    return tddfa_files.read_3dmm_data({name: data / name for name in tddfa_files.DATA_FILES}, data / "tri.mat")


def warps(rois: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack([roi.roi_warp(region) for region in rois])).float()


def largest(found: torch.Tensor, expected: np.ndarray) -> float:
    """Largest difference of points [B, N, 3] from the programs' [B, 3, N]."""
    return float(np.abs(found.mT.numpy() - expected).max())


# --- official numbers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", ["small", "full"])
def test_synergynet_decodes_as_officially(files, size):
    case = golden(f"decode_{size}")
    model = tddfa.Tddfa(read_3dmm(files[size]))
    whitening = tddfa_files.read_whitening(files[size] / "3dmm_data/param_whitening.pkl")
    codes = tddfa.split(tddfa.dewhiten(torch.from_numpy(case["param"]), whitening))
    sparse = tddfa.posed(model(codes["identity"], codes["expression"], landmarks=True), codes["camera"])
    dense = tddfa.posed(model(codes["identity"], codes["expression"]), codes["camera"])
    assert torch.allclose(sparse, dense[:, model.landmarks], atol=1e-4)
    assert largest(sparse, case["untransformed_sparse"]) < 1e-4
    sparse, dense = (tddfa.to_crop(points, tddfa.SYNERGYNET) for points in (sparse, dense))
    assert largest(sparse, case["crop_sparse"]) < 1e-4
    if size == "small":
        assert largest(dense[:, ::13], case["crop_dense"]) < 1e-4
        warp = warps(case["roi_f64"])
        assert largest(tddfa.to_photo(sparse, warp, tddfa.SYNERGYNET), case["image_sparse"]) < 2e-3
        assert largest(tddfa.to_photo(dense, warp, tddfa.SYNERGYNET)[:, ::13], case["image_dense"]) < 2e-3
        return
    assert dense.shape == (4, 53215, 3)
    assert largest(dense[:, ::997], case["crop_dense_strided"]) < 1e-4
    sums = dense.double().sum(1).numpy()
    np.testing.assert_allclose(sums, case["crop_dense_sum_f64"], rtol=1e-8)
    for found, name in ((dense.amin(1), "min"), (dense.amax(1), "max")):
        np.testing.assert_allclose(found, case[f"crop_dense_{name}"], rtol=0, atol=1e-4)
    warp = warps(case["roi"][None, :4].astype(np.float64)).expand(4, 3, 3)
    sparse, dense = (tddfa.to_photo(points, warp, tddfa.SYNERGYNET) for points in (sparse, dense))
    for face in range(4):
        assert largest(sparse[face], case[f"image_sparse{face}"]) < 5e-3
        assert largest(dense[face, ::997], case[f"image_dense{face}_strided"]) < 5e-3


@pytest.mark.parametrize("size", ["small", "full"])
def test_3ddfa_v2_decodes_as_officially(files, size):
    case = golden("tddfa_v2_decode")
    configs = files[size] / "configs"
    arrays = tddfa_files.read_bfm_noneck(configs / "bfm_noneck_v3.pkl", configs / "tri.pkl")
    assert arrays.identity.shape[2] == 44 and arrays.expression.shape[2] == 12  # more than the network's numbers
    head = TddfaHead(TDDFA_V2, tddfa.Tddfa(arrays))
    values = tddfa.split(torch.from_numpy(case["param"])) | {"warp": warps(case["roi_f64"])}
    codes = Codes(values, "3ddfa_v2", "3ddfa_v2")
    assert largest(head.image_points(codes, landmarks=True), case[f"{size}_sparse"]) < 5e-3
    dense = head.image_points(codes)
    if size == "small":
        assert largest(dense[:, ::7], case["small_dense"]) < 5e-3
    else:
        assert largest(dense[:, ::1009], case["full_dense_strided"]) < 5e-3
        np.testing.assert_allclose(dense.double().sum(1).numpy(), case["full_dense_sum_f64"], rtol=1e-5)


def test_angles_and_translation_as_officially(files):
    case = golden("decode_small")
    whitening = tddfa_files.read_whitening(files["small"] / "3dmm_data/param_whitening.pkl")
    values = tddfa.split(tddfa.dewhiten(torch.from_numpy(case["param"]), whitening)) | {"warp": warps(case["roi_f64"])}
    head = TddfaHead(SYNERGYNET, tddfa.Tddfa(read_3dmm(files["small"])))
    found = head.decode(Codes(values, "synergynet", "3ddfa"))
    np.testing.assert_allclose(found.camera["pose_degrees"], case["angles_yaw_pitch_roll_f64"], atol=1e-3)
    np.testing.assert_allclose(found.camera["translation"], case["translation"], atol=1e-3)
    np.testing.assert_allclose(found.head_pose[:, :3, :3], case["P_noscale"][..., :3], atol=1e-5)


# --- the contract ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small_head(files) -> TddfaHead:
    return TddfaHead(SYNERGYNET, tddfa.Tddfa(read_3dmm(files["small"])), standin.toy_surface("small")["uv"])


@pytest.fixture(scope="module")
def small_codes(files) -> Codes:
    case = golden("decode_small")
    whitening = tddfa_files.read_whitening(files["small"] / "3dmm_data/param_whitening.pkl")
    # The first six cases are proper rotations.
    values = tddfa.split(tddfa.dewhiten(torch.from_numpy(case["param"][:6]), whitening))
    values |= {"warp": warps(case["roi_f64"][:6]), "photo_size": torch.tensor([[300.0, 400.0]]).expand(6, 2)}
    return Codes(values, "synergynet", "3ddfa")


def test_a_reconstruction_keeps_the_contract(small_head, small_codes):
    found = small_head.decode(small_codes)
    image = small_head.image_points(small_codes)
    torch.testing.assert_close(found.projected[..., :2], image[..., :2])
    # Depth grows away from the camera; vertices are millimetres without a pose.
    assert np.corrcoef(found.projected[0, :, 2], image[0, :, 2])[0, 1] < -0.98
    torch.testing.assert_close(found.landmarks["ibug68"], found.projected[:, small_head.model.landmarks, :2])
    torch.testing.assert_close(found.landmarks_3d["ibug68"], found.vertices[:, small_head.model.landmarks])
    assert 150 < float((found.vertices.amax(1) - found.vertices.amin(1))[:, 1].mean()) < 260
    corners = found.vertices[0, found.triangles]
    normals = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    outwards = (normals * (corners.mean(1) - found.vertices[0].mean(0) + torch.tensor([0, 0, 60.0]))).sum(1)
    assert (outwards > 0).float().mean() > 0.97
    # The pose and the projection agree, as far as an affine camera is a rotation.
    pose = found.head_pose
    turned = found.vertices @ pose[:, :3, :3].mT * found.camera["pixels_per_mm"][:, None, None]
    seen = turned[..., :2] * torch.tensor([1.0, -1.0]) + found.camera["origin_pixel"][:, None]
    extent = found.projected[..., :2].amax(1) - found.projected[..., :2].amin(1)
    assert ((seen - found.projected[..., :2]).abs().amax(1) / extent).median() < 0.25


def test_batches_equal_single_faces(small_head, small_codes):
    whole = small_head.decode(small_codes)
    for face in range(len(small_codes)):
        single = small_head.decode(small_codes.select(face))
        torch.testing.assert_close(single.projected[0], whole.projected[face], atol=1e-3, rtol=0)
        torch.testing.assert_close(single.head_pose[0], whole.head_pose[face])


@given(st.floats(-400, 400), st.floats(-300, 300), st.floats(20, 900), st.floats(0.8, 1.25))
def test_cameras_in_the_photograph_and_back(x, y, side, stretch):
    region = np.array([x, y, x + side, y + side * stretch])
    camera = torch.tensor([[4e-4, 1e-5, -3e-5, 55.0, -2e-5, 4.4e-4, 7e-5, 66.0, 1e-5, 6e-5, 4e-4, -66.0]])
    codes = Codes({"camera": camera, "warp": warps(region[None])}, "", "3ddfa")
    for system in (SYNERGYNET, TDDFA_V2):
        head = TddfaHead(system, None)
        steady = head.steady(codes)
        torch.testing.assert_close(head.unsteady(steady)["camera"], camera, atol=2e-3, rtol=1e-4)
        # A crop that jumps changes the camera, and not the steady one.
        other = Codes({"camera": steady["camera"], "warp": warps(region[None] + [[5, -3, 9, 8]])}, "", "3ddfa")
        moved = head.steady(head.unsteady(other))
        torch.testing.assert_close(moved["camera"], steady["camera"], atol=2e-2, rtol=1e-4)
        assert code_unit("camera", steady["camera"]) == pytest.approx(0.02 * side / 120 * 43, rel=0.35)


def test_regions_of_warps():
    regions = np.array([[10.5, -7.25, 200.5, 190.0], [0, 0, 256, 256]])
    np.testing.assert_allclose(roi.roi_of_warp(np.stack([roi.roi_warp(region) for region in regions])), regions)


def test_without_a_face_model_there_are_poses(small_codes, small_head):
    alone = TddfaHead(SYNERGYNET, None).decode(small_codes)
    whole = small_head.decode(small_codes)
    assert alone.vertices.shape == (6, 0, 3) and len(alone.triangles) == 0 and not alone.landmarks
    torch.testing.assert_close(alone.head_pose, whole.head_pose)
    assert TddfaHead(SYNERGYNET, None).rig() is None


def test_expressions_are_exact_blend_shapes(small_head, small_codes):
    rig = small_head.rig()
    assert rig.shapes.shape == (10, 1000, 3)
    rest = small_head.decode(small_codes.replace(expression=torch.zeros(6, 10))).vertices
    moved = rest + torch.einsum("bk,kvx->bvx", small_codes["expression"], torch.from_numpy(rig.shapes))
    torch.testing.assert_close(moved, small_head.decode(small_codes).vertices, atol=2e-3, rtol=0)


def test_codes_of_other_sizes(small_head, small_codes):
    with pytest.raises(UsageError, match="no identity"):
        small_head.decode(Codes({"camera": small_codes["camera"]}, "x", "3ddfa"))
    for name, value in (
        ("identity", torch.zeros(6, 41)),
        ("expression", torch.zeros(6, 29)),
        ("camera", torch.zeros(6, 3)),
    ):
        with pytest.raises(UsageError, match=name):
            small_head.decode(small_codes.replace(**{name: value}))
    only = small_head.decode(Codes({"identity": small_codes["identity"]}, "", "3ddfa"))
    assert only.projected[..., :2].isfinite().all()


# --- files -----------------------------------------------------------------------------------------------------------


def checkpoint_arrays(size: str, bases: bool = True) -> dict[str, np.ndarray]:
    toy = standin.toy_3dmm(size)
    arrays = {"u": toy["u_shp"] + toy["u_exp"], "w_shp": toy["w_shp_sim"], "w_exp": toy["w_exp_sim"]}
    rows = toy["keypoints_sim"]
    return arrays | ({f"{name}_base": array[rows] for name, array in arrays.items()} if bases else {})


@pytest.mark.parametrize("size", ["small", "full"])
def test_the_face_model_in_a_checkpoint_is_the_one_in_the_files(files, size):
    data = files[size] / "3dmm_data"
    inside = tddfa_files.checkpoint_model("best.pth.tar", checkpoint_arrays(size), data / "tri.mat")
    beside = read_3dmm(files[size])
    for name in ("mean", "identity", "expression", "landmarks", "triangles"):
        np.testing.assert_array_equal(getattr(inside, name), getattr(beside, name))


def test_checkpoints_without_landmark_rows(files):
    arrays, data = checkpoint_arrays("small", bases=False), files["small"] / "3dmm_data"
    with pytest.raises(InputError, match="1000 vertices without its landmarks"):
        tddfa_files.checkpoint_model("best.pth.tar", arrays, data / "tri.mat")
    found = tddfa_files.checkpoint_model("best.pth.tar", arrays, data / "tri.mat", data / "keypoints_sim.npy")
    np.testing.assert_array_equal(found.landmarks, read_3dmm(files["small"]).landmarks)
    full = tddfa_files.checkpoint_model(
        "x", checkpoint_arrays("full", bases=False), files["full"] / "3dmm_data/tri.mat"
    )
    assert full.landmarks[[0, 8, 67]].tolist() == [21873, 47914, 7629]  # the Basel face's
    assert tddfa_files.checkpoint_model("x", {}, data / "tri.mat") is None
    wrong = checkpoint_arrays("small")
    wrong["u_base"] = wrong["u_base"] + 1
    with pytest.raises(InputError, match="none of its face model's vertices"):
        tddfa_files.checkpoint_model("x", wrong, data / "tri.mat")


def test_triangles_of_their_own_and_rebuilt(files, tmp_path):
    configs = files["small"] / "configs"
    own = tddfa_files.read_bfm_noneck(configs / "bfm_noneck_v3.pkl")
    np.testing.assert_array_equal(own.triangles, standin.toy_v2("small")["tri.pkl"].T)
    (tmp_path / "tri.pkl").write_bytes(pickle.dumps(own.triangles[:50], protocol=2))  # [F, 3] does, too
    assert len(tddfa_files.read_bfm_noneck(configs / "bfm_noneck_v3.pkl", tmp_path / "tri.pkl").triangles) == 50


def test_the_pickles_that_numpy_2_writes(files, tmp_path):
    content = standin.toy_v2("small")["bfm_noneck_v3.pkl"]
    for protocol in (2, 4, 5):
        (tmp_path / "bfm.pkl").write_bytes(pickle.dumps(content, protocol=protocol))
        np.testing.assert_array_equal(
            tddfa_files.read_bfm_noneck(tmp_path / "bfm.pkl").mean, content["u"].reshape(-1, 3)
        )


class Evil:
    def __reduce__(self):
        return (print, ("executed",))


def _bfm(**changes) -> dict:
    return {**standin.toy_v2("small")["bfm_noneck_v3.pkl"], **changes}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([1, 2], "holds no dictionary"),
        ({"u": np.zeros((9, 1))}, "lacks w_shp, w_exp, keypoints"),
        (_bfm(u=np.zeros((2099, 1), np.float32)), "not \\[3 V, 1\\]"),
        (_bfm(u=np.full((2100, 1), np.nan, np.float32)), "aren't finite"),
        (_bfm(w_shp=np.zeros((2100, 39), np.float32)), "basis of the shape \\[2100, 39\\]"),
        (_bfm(w_exp=np.zeros((2097, 10), np.float32)), "basis of the shape \\[2097, 10\\]"),
        (_bfm(keypoints=np.arange(200)), "200 landmark rows, not 204"),
        (_bfm(keypoints=np.arange(204) + 1), "aren't those of 68"),
        (_bfm(keypoints=np.arange(204) + 2097), "aren't those of 68"),
        (_bfm(tri=np.full((3, 9), 700)), "other vertices than the 700"),
        (_bfm(tri=np.array(["a"])), "where numbers should be"),
        (_bfm(u=Evil()), "asks for"),
        (Evil(), "asks for"),
    ],
)
def test_what_is_no_face_model_is_refused_in_one_line(tmp_path, content, words, capsys):
    path = tmp_path / "bfm_noneck_v3.pkl"
    path.write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(InputError, match=words) as caught:
        tddfa_files.read_bfm_noneck(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert "executed" not in capsys.readouterr().out


def test_cut_and_damaged_files(files, tmp_path):
    for folder, name, read in (
        ("configs", "bfm_noneck_v3.pkl", tddfa_files.read_bfm_noneck),
        ("configs", "param_mean_std_62d_120x120.pkl", tddfa_files.read_whitening),
        ("configs", "BFM_UV.mat", tddfa_files.read_bfm_uv),
        ("3dmm_data", "BFM_UV.npy", tddfa_files.read_bfm_uv),
        ("3dmm_data", "tri.mat", lambda path: tddfa_files.read_tri_mat(path, 1000)),
        ("configs", "indices.npy", lambda path: tddfa_files.read_indices(path, 700)),
        ("configs", "ncc_code.npy", lambda path: tddfa_files.read_ncc_code(path, 700)),
    ):
        content = (files["small"] / folder / name).read_bytes()
        read(files["small"] / folder / name)
        for damaged in (content[: len(content) // 2], b"", b"<html>no</html>"):
            (tmp_path / name).write_bytes(damaged)
            with pytest.raises(InputError, match=name) as caught:
                read(tmp_path / name)
            assert "\n" not in str(caught.value)


def test_whitenings(tmp_path):
    path = tmp_path / "param_whitening.pkl"
    path.write_bytes(pickle.dumps({"param_mean": np.arange(102.0), "param_std": np.ones(102)}, protocol=2))
    found = tddfa_files.read_whitening(path)
    numbers = torch.zeros(1, 62)
    np.testing.assert_array_equal(tddfa.dewhiten(numbers, found)[0], np.arange(62))
    for content in ({"mean": np.zeros(61), "std": np.zeros(61)}, {"mean": np.zeros(62), "std": np.zeros(63)}, [1], {}):
        path.write_bytes(pickle.dumps(content, protocol=2))
        with pytest.raises(InputError, match="no whitening"):
            tddfa_files.read_whitening(path)


def test_wrong_companions(files, tmp_path):
    with pytest.raises(InputError, match="other vertices"):
        tddfa_files.read_tri_mat(files["full"] / "3dmm_data/tri.mat", 1000)
    scipy.io.savemat(tmp_path / "tri.mat", {"triangles": np.ones((3, 4))})
    with pytest.raises(InputError, match="holds no tri"):
        tddfa_files.read_tri_mat(tmp_path / "tri.mat", 1000)
    with pytest.raises(InputError, match="one for each of 699"):
        tddfa_files.read_indices(files["small"] / "configs/indices.npy", 699)
    with pytest.raises(InputError, match="not \\[3, 699\\]"):
        tddfa_files.read_ncc_code(files["small"] / "configs/ncc_code.npy", 699)
    data = files["small"] / "3dmm_data"
    kept, triangles = tddfa_files.read_cut(data / "keptInd.npy", data / "deletedTri.npy", 1000)
    assert triangles.max() < len(kept) < 1000
    with pytest.raises(InputError, match="holds no vertices of the 500"):
        tddfa_files.read_cut(data / "keptInd.npy", data / "deletedTri.npy", 500)
