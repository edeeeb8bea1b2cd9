from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
import trimesh
from gltf_reader import read_glb
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.spatial.transform import Rotation

from facecli.export import animation
from facecli.export.animation import increasing, write_animated_glb
from facecli.export.glb import write_glb
from facecli.export.surface import outward_normals, split_seams
from facecli.geometry.mesh import TriangleMesh


@given(seed=st.integers(0, 2**32 - 1), vertices=st.integers(3, 30), uvs=st.integers(1, 40), faces=st.integers(1, 60))
@settings(max_examples=60, deadline=None)
def test_splitting_keeps_every_corner(seed, vertices, uvs, faces):
    random = np.random.default_rng(seed)
    mesh = TriangleMesh(
        random.normal(size=(vertices, 3)),
        random.integers(0, vertices, (faces, 3)),
        random.random((uvs, 2)).astype(np.float32),
        random.integers(0, uvs, (faces, 3)),
    )
    split = split_seams(mesh)
    np.testing.assert_array_equal(split.source[:vertices], np.arange(vertices))
    np.testing.assert_array_equal(split.source[split.triangles], mesh.triangles)
    np.testing.assert_array_equal(split.uv[split.triangles], mesh.uv[mesh.uv_triangles])
    corners = np.stack([mesh.triangles.ravel(), mesh.uv_triangles.ravel()], 1)
    unused = vertices - len(np.unique(mesh.triangles))
    assert len(split.source) == len(np.unique(corners, axis=0)) + unused  # none doubled without need


@pytest.mark.parametrize("metres_per_unit", [0.001, 1.0])
def test_normals_point_outwards_and_are_unit(metres_per_unit):
    sphere = trimesh.creation.icosphere(subdivisions=3, radius=0.1 / metres_per_unit)
    vertices = np.concatenate([sphere.vertices, [[9, 9, 9]]])
    normals = outward_normals(TriangleMesh(vertices, sphere.faces, metres_per_unit=metres_per_unit))
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-6)
    directions = sphere.vertices / np.linalg.norm(sphere.vertices, axis=1, keepdims=True)
    assert np.sum(normals[:-1] * directions, axis=1).min() > 0.999
    assert normals[-1].tolist() == [0, 0, 1]  # in no triangle


def test_static_glb_for_another_reader(mesh, tmp_path):
    write_glb(tmp_path / "Gesicht ü.glb", mesh)
    other = trimesh.load(tmp_path / "Gesicht ü.glb", process=False, force="mesh")
    assert np.isclose(other.area, mesh.to_trimesh().area * 1e-6, rtol=1e-5)  # metres
    np.testing.assert_allclose(other.vertices[: len(mesh.vertices)], mesh.vertices / 1000, atol=1e-7)
    split = split_seams(mesh)
    np.testing.assert_allclose(other.visual.uv, split.uv, atol=1e-6)  # trimesh flips v back
    image = other.visual.material.baseColorTexture.convert("RGB")
    np.testing.assert_array_equal(np.asarray(image), mesh.texture)


def test_static_glb_against_the_format(mesh, tmp_path):
    colors = np.full((len(mesh.vertices), 3), [255, 188, 0], np.uint8)
    write_glb(tmp_path / "mesh.glb", dataclasses.replace(mesh, vertex_colors=colors))
    glb = read_glb(tmp_path / "mesh.glb")
    assert glb.document["asset"]["version"] == "2.0"
    positions = glb.attribute("POSITION")
    assert glb.document["accessors"][glb.primitive["attributes"]["POSITION"]]["min"]
    np.testing.assert_allclose(np.linalg.norm(glb.attribute("NORMAL"), axis=1), 1, atol=1e-6)
    assert glb.accessor(glb.primitive["indices"]).max() < len(positions)
    assert glb.attribute("COLOR_0")[0].tolist() == [255, 128, 0, 255]  # linear light
    image = glb.document["images"][0]
    view = glb.document["bufferViews"][image["bufferView"]]
    png = glb.blob[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png))), mesh.texture)
    assert glb.document["materials"][0]["doubleSided"]


def test_many_vertices_take_wider_indices(tmp_path):
    vertices = np.random.default_rng(0).normal(size=(70_000, 3)).astype(np.float32)
    triangles = np.arange(69_999).reshape(-1, 3) + 1
    write_glb(tmp_path / "large.glb", TriangleMesh(vertices, triangles))
    glb = read_glb(tmp_path / "large.glb")
    np.testing.assert_array_equal(glb.accessor(glb.primitive["indices"]), triangles.ravel())


def talking(mesh: TriangleMesh, frames: int, components: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Times, positions [T, V, 3] that move along `components` directions, poses and visibility of a made-up video."""
    random = np.random.default_rng(seed)
    times = np.cumsum(random.uniform(0.02, 0.06, frames))
    motion = np.sin(times[:, None] * random.uniform(5, 60, components))
    directions = random.normal(size=(components, mesh.vertices.size))
    positions = mesh.vertices + (motion @ directions).reshape(frames, -1, 3)
    poses = np.tile(np.eye(4), (frames, 1, 1))
    turns = np.stack([np.linspace(-200, 200, frames), 20 * np.sin(times), 5 * np.cos(times)], 1)
    poses[:, :3, :3] = Rotation.from_euler("yxz", turns, degrees=True).as_matrix()
    poses[:, :3, 3] = np.stack([np.linspace(-100, 100, frames), 0 * times, -600 + 50 * np.sin(times)], 1)
    visible = np.ones(frames, bool)
    visible[[0, 1, frames // 2, frames - 1]] = False
    positions[~visible], poses[~visible] = np.nan, np.nan
    return times, positions.astype(np.float32), poses, visible


def assert_plays(path, mesh, times, positions, poses, visible, tolerance_mm):
    glb = read_glb(path)
    source = split_seams(mesh).source
    for i, time in enumerate(increasing(times)):
        shown = glb.posed(float(time))
        assert (shown is not None) == visible[i]
        if visible[i]:
            pose = np.eye(4) if poses is None else poses[i]
            expected = positions[i].astype(np.float64) @ pose[:3, :3].T + pose[:3, 3]
            distance = np.linalg.norm(shown * 1000 - expected[source], axis=1)
            assert distance.max() <= tolerance_mm


def test_animation_shows_each_frame_within_the_bound(mesh, tmp_path):
    times, positions, poses, visible = talking(mesh, frames=60, components=6)
    summary = write_animated_glb(tmp_path / "video.glb", mesh, times, positions, poses)
    assert (summary.frames, summary.frames_with_face, summary.targets) == (60, 56, 6)
    assert summary.max_error_mm <= 0.1
    assert_plays(tmp_path / "video.glb", mesh, times, positions, poses, visible, tolerance_mm=0.11)
    weights = read_glb(tmp_path / "video.glb").tracks()["weights"][1]
    assert np.abs(weights).max() <= 1.0001


def test_too_few_targets_report_their_true_error(mesh, tmp_path):
    times, positions, poses, visible = talking(mesh, frames=40, components=8)
    summary = write_animated_glb(tmp_path / "video.glb", mesh, times, positions, poses, max_targets=3)
    assert summary.targets == 3
    assert summary.max_error_mm > 0.1
    assert summary.rms_error_mm < summary.max_error_mm
    assert_plays(tmp_path / "video.glb", mesh, times, positions, poses, visible, summary.max_error_mm + 1e-2)
    with pytest.raises(AssertionError):
        assert_plays(tmp_path / "video.glb", mesh, times, positions, poses, visible, summary.max_error_mm - 1e-2)


def test_frames_between_samples_are_projected_too(mesh, tmp_path, monkeypatch):
    monkeypatch.setattr(animation, "_SAMPLE_FRAMES", 12)
    monkeypatch.setattr(animation, "_CHUNK_BYTES", 24 * len(mesh.vertices) * 7)  # seven frames a chunk
    times, positions, poses, visible = talking(mesh, frames=100, components=4)
    whole = write_animated_glb(tmp_path / "array.glb", mesh, times, positions, poses)
    assert whole.max_error_mm <= 0.1
    assert_plays(tmp_path / "array.glb", mesh, times, positions, poses, visible, tolerance_mm=0.11)

    np.save(tmp_path / "positions.npy", positions)
    mapped = np.load(tmp_path / "positions.npy", mmap_mode="r")
    write_animated_glb(tmp_path / "mapped.glb", mesh, times, mapped, poses)
    assert (tmp_path / "mapped.glb").read_bytes() == (tmp_path / "array.glb").read_bytes()

    def chunks():
        yield from np.array_split(positions, 9)

    write_animated_glb(tmp_path / "chunks.glb", mesh, times, chunks, poses)
    assert_plays(tmp_path / "chunks.glb", mesh, times, positions, poses, visible, tolerance_mm=0.11)


def test_without_poses_and_without_gaps_only_weights_move(mesh, tmp_path):
    times, positions, *_ = talking(mesh, frames=20, components=2)
    positions[~np.isfinite(positions)] = 0
    positions[[0, 1, 10, 19]] = mesh.vertices
    write_animated_glb(tmp_path / "video.glb", mesh, times, positions)
    assert set(read_glb(tmp_path / "video.glb").tracks()) == {"weights"}
    assert_plays(tmp_path / "video.glb", mesh, times, positions, None, np.ones(20, bool), tolerance_mm=0.11)


def test_a_rigid_head_needs_no_targets(mesh, tmp_path):
    times, _, poses, visible = talking(mesh, frames=20, components=1)
    positions = np.tile(mesh.vertices, (20, 1, 1))
    positions[~visible] = np.nan
    summary = write_animated_glb(tmp_path / "video.glb", mesh, times, positions, poses)
    assert summary.targets == 0
    assert_plays(tmp_path / "video.glb", mesh, times, positions, poses, visible, tolerance_mm=0.11)


def test_one_frame_is_an_animation_too(mesh, tmp_path):
    summary = write_animated_glb(tmp_path / "video.glb", mesh, [0.5], mesh.vertices[None], np.eye(4)[None])
    assert (summary.frames, summary.targets) == (1, 0)


def test_no_face_at_all_is_refused(mesh, tmp_path):
    with pytest.raises(ValueError, match="no frame has a face"):
        write_animated_glb(tmp_path / "video.glb", mesh, [0.0, 1.0], np.full((2, *mesh.vertices.shape), np.nan))
    with pytest.raises(ValueError, match="2 frames of positions for 3 times"):
        write_animated_glb(tmp_path / "video.glb", mesh, [0, 1, 2], np.tile(mesh.vertices, (2, 1, 1)))
    assert not list(tmp_path.iterdir())


@given(st.lists(st.floats(0, 1e5, width=32), min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_times_always_increase(times):
    steady = increasing(np.array(times))
    assert (np.diff(steady) > 0).all()
    if (np.diff(np.array(times, np.float32)) > 0).all():
        np.testing.assert_array_equal(steady, np.array(times, np.float32))
