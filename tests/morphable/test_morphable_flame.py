"""FLAME gives the official vertices, landmarks and gradients; its batches, frames and switches agree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from facecli.geometry.rotations import axis_angle_to_matrix
from facecli.geometry.skinning import joint_transforms, skin
from facecli.morphable.flame_landmarks import contour_row
from standins.flame import toy_flame

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "smirk/flame.npz") as archive:
        return {name: torch.from_numpy(np.asarray(archive[name])) for name in archive.files}


def test_the_stand_in_is_the_one_that_the_goldens_were_made_with(golden):
    import zlib

    assert zlib.crc32(toy_flame()["f"].astype("<u4").tobytes()) == int(golden["toy_faces_crc32"])


def inputs(golden, case="general"):
    found = {name: golden[f"{case}/in/{name}"] for name in CODES if f"{case}/in/{name}" in golden}
    return {CODES[name]: value for name, value in found.items()}


CODES = {
    "shape_params": "identity",
    "expression_params": "expression",
    "pose_params": "pose",
    "jaw_params": "jaw",
    "eyelid_params": "eyelids",
    "neck_pose_params": "neck",
    "eye_pose_params": "eyes",
}
SWITCHES = {
    "general": lambda codes: {},
    "zero_expression": lambda codes: {
        "expression": torch.zeros_like(codes["expression"]), "jaw": torch.zeros_like(codes["jaw"]),
    },
    "zero_shape": lambda codes: {"identity": torch.zeros_like(codes["identity"])},
    "zero_pose": lambda codes: {"pose": torch.tensor([[0.2, -0.7, 0.0]]).expand(3, 3)},
    "no_eyelids": lambda codes: {"eyelids": None},
    "short": lambda codes: {"identity": codes["identity"][:, :100], "expression": codes["expression"][:, :20]},
}  # fmt: skip


@pytest.mark.parametrize("case", [*SWITCHES, "neck_eyes"])
def test_official_vertices_and_landmarks(golden, flame, landmarks, case):
    codes = inputs(golden)
    codes |= SWITCHES[case](codes) if case in SWITCHES else inputs(golden, case)
    vertices = flame(**codes)
    points = landmarks.contour68(vertices, codes["pose"], codes.get("neck"))
    assert (vertices[:, ::37] - golden[f"{case}/vertices_every_37"]).abs().max() < 1e-6
    assert (points - golden[f"{case}/landmarks_fan"]).abs().max() < 1e-6
    assert (landmarks.full68(vertices) - golden[f"{case}/landmarks_fan_3d"]).abs().max() < 1e-6
    assert (landmarks.mediapipe105(vertices) - golden[f"{case}/landmarks_mp"]).abs().max() < 1e-6


def test_official_contour_over_a_sweep_of_yaw(golden, flame, landmarks):
    yaw = torch.deg2rad(golden["yaw/yaw_degrees"])
    pose = torch.stack([torch.zeros_like(yaw), yaw, torch.zeros_like(yaw)], 1)
    vertices = flame(torch.zeros(len(pose), 300), pose=pose)
    assert torch.equal(contour_row(pose), golden["yaw/row"])
    assert (vertices[:, ::371] - golden["yaw/vertices_every_371"]).abs().max() < 1e-6
    assert (landmarks.contour68(vertices, pose) - golden["yaw/landmarks_fan"]).abs().max() < 1e-6


def test_official_contour_rows_and_rotations(golden):
    full = golden["rows/full_pose"]
    assert torch.equal(contour_row(full[:, :3], full[:, 3:6]), golden["rows/row"])
    assert (axis_angle_to_matrix(golden["rodrigues/in"]) - golden["rodrigues/out"]).abs().max() < 1e-6


def test_official_gradients(golden, flame, landmarks):
    codes = {name: value.clone().requires_grad_() for name, value in inputs(golden, "grad").items()}
    loss = (landmarks.mediapipe105(flame(**codes)) * golden["grad/weights"]).sum()
    loss.backward()
    assert loss.item() == pytest.approx(float(golden["grad/loss"]), rel=1e-5)
    for name, code in CODES.items():
        if f"grad/{name}" in golden:
            wanted = golden[f"grad/{name}"]
            assert (codes[code].grad - wanted).abs().max() < 1e-4 * wanted.abs().max()


def some_codes(batch: int, seed: int = 0) -> dict[str, torch.Tensor]:
    make = torch.Generator().manual_seed(seed)
    sizes = {"identity": 300, "expression": 50, "jaw": 3, "neck": 3, "eyes": 6}
    codes = {name: torch.randn(batch, size, generator=make) for name, size in sizes.items()}
    codes |= {name: 0.2 * codes[name] for name in ("jaw", "neck", "eyes")}
    return codes | {"eyelids": torch.rand(batch, 2, generator=make)}


def test_batches_of_any_size_equal_single_heads(flame):
    codes = some_codes(512)
    with torch.inference_mode():
        together = flame(**codes)
        for index in (0, 17, 511):
            alone = flame(**{name: value[index : index + 1] for name, value in codes.items()})
            assert (alone[0] - together[index]).abs().max() < 1e-6


def test_the_plain_formulation_gives_the_same(arrays, flame):
    """Shape, joints, correctives and skinning one after the other, as the paper has them, in double precision."""
    codes = some_codes(2)
    shape = torch.cat([codes["identity"], codes["expression"]], 1).double()
    basis = torch.from_numpy(np.concatenate([arrays.identity, arrays.expression[..., :50]], -1)).double()
    vertices = torch.from_numpy(arrays.template).double() + torch.einsum("vcn,bn->bvc", basis, shape)
    joints = torch.einsum("jv,bvc->bjc", torch.from_numpy(arrays.joint_regressor).double(), vertices)
    still = torch.zeros(2, 3)
    parts = [still, codes["neck"], codes["jaw"], codes["eyes"][:, :3], codes["eyes"][:, 3:]]
    turns = axis_angle_to_matrix(torch.stack(parts, 1).double())
    features = (turns[:, 1:] - torch.eye(3).double()).flatten(1)
    vertices = vertices + torch.einsum("vcn,bn->bvc", torch.from_numpy(arrays.pose).double(), features)
    wanted = skin(vertices, joint_transforms(turns, joints, arrays.parents), torch.from_numpy(arrays.weights).double())
    found, root = flame.head_frame(**{name: value for name, value in codes.items() if name != "eyelids"})
    assert (found - wanted).abs().max() < 1e-6
    assert (root - joints[:, 0]).abs().max() < 1e-6


@given(st.lists(st.floats(-2, 2), min_size=3, max_size=3))
def test_the_head_turns_rigidly_about_its_root(flame, turn):
    codes = {name: value for name, value in some_codes(1, 3).items() if name != "eyelids"}
    pose = torch.tensor([turn])
    head, root = flame.head_frame(**codes)
    turned = (head - root[:, None]) @ axis_angle_to_matrix(pose).transpose(1, 2) + root[:, None]
    assert (flame(**codes, pose=pose) - turned).abs().max() < 1e-6


@given(st.floats(-3.1, 3.1), st.floats(-1, 1))
def test_every_pose_has_a_row_of_the_contour(yaw, pitch):
    row = int(contour_row(torch.tensor([[pitch, yaw, 0.0]]))[0])
    assert 0 <= row <= 78


def test_too_many_numbers_and_missing_eyelids_are_told(arrays, flame):
    from dataclasses import replace

    from facecli.morphable.flame import Flame

    with pytest.raises(ValueError, match="301 identity numbers for a model of 300"):
        flame(torch.zeros(1, 301))
    with pytest.raises(ValueError, match="51 expression numbers for a model of 50"):
        flame(torch.zeros(1, 100), torch.zeros(1, 51))
    with pytest.raises(ValueError, match="no eyelids"):
        Flame(replace(arrays, eyelids=None), n_shape=10, n_exp=10)(torch.zeros(1, 10), eyelids=torch.zeros(1, 2))
