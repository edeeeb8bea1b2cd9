"""Heads with ARKit's shapes and turning eyes as GLB: nodes, names, sizes, and the way back."""

from __future__ import annotations

import base64
import dataclasses

import numpy as np
import pytest
import turning
from gltf_reader import Glb, read_glb
from scipy.spatial.transform import Rotation

import facecli.export.glb as glb_module
from facecli.export.animation import read_animation, write_animated_glb
from facecli.export.arkit import NAMES, from_ict
from facecli.export.glb import write_glb
from facecli.export.parts import Turns, linear_turns, numbers_in, ranges_of
from facecli.export.report import _pack_animation
from facecli.export.rig import PUPILS, at_rest, in_arkit
from facecli.export.surface import outward_normals

STILL = (np.eye(3), np.eye(3), np.eye(3))


def placed(glb: Glb, name: str) -> np.ndarray:
    """Vertices of a node's mesh as the file opens, metres."""
    node = glb.document["nodes"][glb.node(name)]
    mesh = glb.document["meshes"][node["mesh"]]
    positions = glb.accessor(mesh["primitives"][0]["attributes"]["POSITION"])
    return Rotation.from_quat(node.get("rotation", [0, 0, 0, 1])).apply(positions) + node["translation"]


@pytest.fixture(scope="module")
def weights() -> np.ndarray:
    """Of a lively face: some halves differ."""
    return np.random.default_rng(3).uniform(0, 1, len(turning.ICT_NAMES)).astype(np.float32) ** 2


@pytest.fixture(scope="module")
def photographed(weights, tmp_path_factory):
    """(posed vertices, parts, the file) of a face whose eyes look aside."""
    parts = turning.parts_at(turning.turn(20, 10), turning.turn(-15, -20), turning.turn(0, -8))
    mesh = dataclasses.replace(turning.head(), vertices=turning.posed(weights, parts))
    path = tmp_path_factory.mktemp("parts") / "mesh.glb"
    rig, arkit = in_arkit(turning.rig(), weights)
    write_glb(path, mesh, rig=rig, weights=arkit, neutral=turning.head().vertices, parts=parts)
    return mesh, parts, path


def test_targets_are_arkits_52_by_their_names(photographed, weights):
    _, _, path = photographed
    glb = read_glb(path)
    assert tuple(glb.target_names) == (*NAMES, "residual_00")
    assert "targetCodes" not in glb.document["meshes"][0]["extras"]
    found = glb.document["meshes"][0]["weights"]
    np.testing.assert_allclose(found[:52], from_ict(weights, turning.ICT_NAMES), atol=1e-6)
    halves = [turning.ICT_NAMES.index(f"browInnerUp_{side}") for side in "LR"]
    assert found[NAMES.index("browInnerUp")] == pytest.approx(weights[halves].mean())
    assert not glb.accessor(glb.primitive["targets"][NAMES.index("tongueOut")]["POSITION"]).any()


def test_it_opens_as_photographed_and_eyes_are_nodes_at_their_pivots(photographed):
    mesh, parts, path = photographed
    glb = read_glb(path)
    nodes = glb.document["nodes"]
    assert nodes[0]["name"] == "head" and glb.document["scenes"][0]["nodes"] == [0]
    assert [nodes[child]["name"] for child in nodes[0]["children"]] == ["face", "eye_left", "eye_right", "jaw"]
    face = np.setdiff1d(np.arange(len(mesh.vertices)), np.concatenate([part.vertices for part in parts]))
    np.testing.assert_allclose(glb.opened()[: len(face)] * 1000, mesh.vertices[face], atol=0.06)
    for part in parts[:2]:
        np.testing.assert_allclose(nodes[glb.node(part.name)]["translation"], part.pivot / 1000, atol=1e-7)
        np.testing.assert_allclose(placed(glb, part.name)[:42] * 1000, mesh.vertices[part.vertices], atol=1e-4)
        ball = glb.document["meshes"][nodes[glb.node(part.name)]["mesh"]]
        at_rest = glb.accessor(ball["primitives"][0]["attributes"]["POSITION"])[:42] * 1000
        np.testing.assert_allclose(at_rest, turning.eyeball(), atol=1e-4)
        assert "targets" not in ball["primitives"][0] or not ball["primitives"][0]["targets"]
        normals = glb.accessor(ball["primitives"][0]["attributes"]["NORMAL"])[:42] @ part.rotation.T
        np.testing.assert_allclose(normals, outward_normals(mesh)[part.vertices], atol=1e-5)
    jaw = nodes[glb.node("jaw")]
    assert "mesh" not in jaw
    np.testing.assert_allclose(jaw["translation"], turning.JAW / 1000, atol=1e-7)
    np.testing.assert_allclose(Rotation.from_quat(jaw["rotation"]).as_matrix(), parts[2].rotation, atol=1e-6)


def test_only_what_moves_is_in_the_file(photographed):
    _, _, path = photographed
    glb = read_glb(path)
    count = len(glb.attribute("POSITION"))
    for target in glb.primitive["targets"][:51]:
        accessor = glb.document["accessors"][target["POSITION"]]
        moving = np.linalg.norm(glb.accessor(target["POSITION"]), axis=1) > 0
        assert accessor["sparse"]["count"] == moving.sum() < count / 2
    whole = np.stack([glb.accessor(target["POSITION"]) for target in glb.primitive["targets"][:52]])
    rig, _ = in_arkit(turning.rig(), np.zeros(len(turning.ICT_NAMES)))
    np.testing.assert_allclose(whole[:, : count // 2] * 1000, rig.shapes[:, 84:][:, : count // 2], atol=0.0051)


def test_facecli_reads_it_as_the_one_mesh_that_it_was(photographed):
    mesh, _, path = photographed
    found = glb_module.read_glb(path)
    count = len(mesh.vertices)
    np.testing.assert_allclose(found.vertices[:count] * 1000, mesh.vertices, atol=0.06)
    assert len(found.triangles) == len(mesh.triangles)

    def corners(of, scale):
        found = np.sort(np.round(of.vertices[of.triangles].reshape(-1, 9) * scale), 0)
        return found[np.lexsort(found.T)]

    np.testing.assert_allclose(corners(found, 1000), corners(mesh, 1), atol=1)
    np.testing.assert_array_equal(found.texture, mesh.texture)
    assert len(found.uv) == len(found.vertices)


def test_without_blend_shapes_the_eyes_turn_all_the_same(photographed, tmp_path):
    mesh, parts, _ = photographed
    write_glb(tmp_path / "mesh.glb", mesh, parts=parts)
    glb = read_glb(tmp_path / "mesh.glb")
    assert not glb.primitive.get("targets")
    np.testing.assert_allclose(placed(glb, "eye_left")[:42] * 1000, mesh.vertices[:42], atol=1e-4)
    np.testing.assert_allclose(glb_module.read_glb(tmp_path / "mesh.glb").vertices[: len(mesh.vertices)] * 1000,
                               mesh.vertices, atol=1e-4)  # fmt: skip


# --- videos ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def filmed(tmp_path_factory):
    """(times, weights [T, K], parts of each frame, vertices [T, V, 3], the file, its summary); frame 5 has no face."""
    random = np.random.default_rng(11)
    times = np.arange(12) / 25
    knots = random.uniform(0, 1, (3, len(turning.ICT_NAMES)))
    weights = np.stack([np.interp(times, [0, 0.2, 0.44], way) for way in knots.T], 1).astype(np.float32)
    parts = [
        turning.parts_at(turning.turn(3 * n - 15, n), turning.turn(3 * n - 15, -n), turning.turn(0, -n))
        for n in range(12)
    ]
    vertices = np.stack([turning.posed(w, p) for w, p in zip(weights, parts, strict=True)])
    turns = {
        name: Turns(np.stack([frame[n].rotation for frame in parts]), np.tile(parts[0][n].pivot, (12, 1)))
        for n, name in enumerate(("eye_left", "eye_right", "jaw"))
    }
    poses = np.tile(np.eye(4), (12, 1, 1))
    poses[:, :3, :3] = Rotation.from_euler("y", np.linspace(-30, 30, 12)[:, None], degrees=True).as_matrix()
    vertices[5], poses[5], weights[5] = np.nan, np.nan, np.nan
    for turn in turns.values():
        turn.rotations[5] = turn.pivots[5] = np.nan
    path = tmp_path_factory.mktemp("filmed") / "mesh.glb"
    rig, arkit = in_arkit(turning.rig(), weights)
    summary = write_animated_glb(
        path, turning.head(), times, vertices, poses, rig=rig, weights=arkit,
        parts=turning.parts_at(*STILL), turns=lambda: turns,
    )  # fmt: skip
    return times, weights, parts, vertices, path, summary


def test_a_video_plays_by_weights_and_by_nodes_that_turn(filmed):
    times, weights, parts, vertices, path, summary = filmed
    glb = read_glb(path)
    assert summary.max_error_mm <= 0.1 and summary.frames_with_face == 11
    assert tuple(glb.target_names[:52]) == NAMES
    assert set(glb.tracks(0)) == {"rotation", "translation", "scale"}
    _, played, _ = glb.tracks(glb.node("face"))["weights"]
    played = played.reshape(12, -1)
    seen = np.arange(12) != 5
    np.testing.assert_allclose(played[seen, :52], from_ict(weights, turning.ICT_NAMES)[seen], atol=1e-6)
    assert played.min() >= 0 and played.max() <= 1
    for number, name in enumerate(("eye_left", "eye_right", "jaw")):
        tracks = glb.tracks(glb.node(name))
        assert set(tracks) == {"rotation"}  # the pivot stays
        turned = Rotation.from_quat(tracks["rotation"][1]).as_matrix()
        expected = np.stack([frame[number].rotation for frame in parts])
        np.testing.assert_allclose(turned[seen], expected[seen], atol=1e-6)
    for frame in (0, 4, 11):
        pose = Rotation.from_quat(glb.tracks(0)["rotation"][1][frame])
        shown = pose.inv().apply(glb.posed(times[frame]))[: len(vertices[0]) - 84]
        np.testing.assert_allclose(shown * 1000, vertices[frame, 84:], atol=0.16)
    assert glb.posed(times[5] + 1e-3) is None


def test_reports_read_it_as_shapes_alone_eyes_included(filmed):
    times, _, _, vertices, path, _ = filmed
    found = read_animation(path, vertices.shape[1])
    np.testing.assert_allclose(found.times, times, atol=1e-6)
    assert found.visible.tolist() == [frame != 5 for frame in range(12)]
    for frame in (0, 7, 11):
        shown = found.mean + np.tensordot(found.weights[frame], found.targets, 1)
        np.testing.assert_allclose(shown * 1000, vertices[frame], atol=0.16)
        np.testing.assert_allclose(shown[:84] * 1000, vertices[frame, :84], atol=1e-3)
    assert len(found.rotations) == 12


def test_a_report_holds_only_shapes_that_are_seen_to_move(filmed):
    _, _, _, vertices, path, _ = filmed
    found = read_animation(path, vertices.shape[1])
    packed = _pack_animation(found)
    assert len(packed["targets"]) < len(found.targets)  # nothing moves at tongueOut, for one

    def unpacked(values, shape):
        return np.frombuffer(base64.b64decode(values["data"]), values["type"]).reshape(shape) * values["scale"]

    weights = unpacked(packed["weights"], (12, -1))
    targets = np.stack([unpacked(target, (-1, 3)) for target in packed["targets"]])
    for frame in (0, 7, 11):
        shown = found.mean * 1000 + np.tensordot(weights[frame], targets, 1)
        np.testing.assert_allclose(shown, vertices[frame], atol=0.25)


def test_a_part_whose_pivot_moves_takes_its_node_along(tmp_path):
    mesh, times = turning.head(), np.array([0.0, 0.1])
    pivots = np.stack([turning.JAW, turning.JAW + np.array([0, -3, 1])])
    turns = {"jaw": Turns(np.stack([np.eye(3), turning.turn(0, -10)]), pivots)}
    positions = np.stack([mesh.vertices] * 2)
    write_animated_glb(tmp_path / "a.glb", mesh, times, positions, parts=turning.parts_at(*STILL), turns=turns)
    glb = read_glb(tmp_path / "a.glb")
    np.testing.assert_allclose(glb.tracks(glb.node("jaw"))["translation"][1] * 1000, pivots, atol=1e-4)


# --- pieces ----------------------------------------------------------------------------------------------------------


def test_ranges_of_numbers_and_back():
    numbers = np.array([0, 1, 2, 7, 9, 10])
    assert ranges_of(numbers) == [[0, 3], [7, 8], [9, 11]]
    np.testing.assert_array_equal(numbers_in(ranges_of(numbers)), numbers)
    assert ranges_of(numbers[:0]) == [] and len(numbers_in([])) == 0


def test_turns_are_sums_of_straight_ways():
    points = turning.eyeball()
    rotations = Rotation.random(6, random_state=1).as_matrix()
    total = sum(np.einsum("t,nc->tnc", weights, offsets) for offsets, weights in linear_turns(points, rotations))
    np.testing.assert_allclose(points + total, np.einsum("tij,nj->tni", rotations, points), atol=1e-9)
    assert list(linear_turns(points, np.tile(np.eye(3), (4, 1, 1)))) == []


def test_pupils_are_no_expression():
    import torch

    from facecli.codes import Codes

    codes = Codes({"expression": torch.ones(2, len(turning.ICT_NAMES))}, "toy", "ict")
    left = at_rest(turning.rig(), codes)["expression"].bool()[0]
    assert [name for name, kept in zip(turning.ICT_NAMES, left, strict=True) if kept] == list(PUPILS)


def test_other_models_shapes_keep_their_names():
    rig = dataclasses.replace(turning.rig(), names=tuple(f"expression_{k:02d}" for k in range(len(turning.ICT_NAMES))))
    weights = np.ones(len(rig.names))
    assert in_arkit(rig, weights) == (rig, pytest.approx(weights))
