"""A model's blend shapes as morph targets, of photographs and of videos."""

from __future__ import annotations

import dataclasses
import tracemalloc

import numpy as np
import pytest
import torch
from gltf_reader import read_glb
from surfaces import dome
from wrinkles import skin, toy_rig, wrinkled_head

import facecli.export.glb as glb_module
from facecli.codes import Codes
from facecli.export.animation import read_animation, write_animated_glb
from facecli.export.glb import write_glb
from facecli.export.rig import at_rest, blend, code_weights, driven_by
from facecli.export.surface import split_seams
from facecli.plugin import Reconstruction, Rig


class Chin:
    """A small model with blend shapes: `expression` [B, 3] is linear, `jaw` [B, 1] turns what is low about an axis."""

    def __init__(self):
        self.mesh = dome()
        x, y, _ = self.mesh.vertices.T
        bumps = [np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 600) for cx, cy in ((-30, 40), (30, 40), (0, 0))]
        self.shapes = np.stack([np.stack([0 * b, 2 * b, 5 * b], -1) for b in bumps]).astype(np.float32)
        self.low = 1 / (1 + np.exp((y + 30) / 8))

    def rig(self) -> Rig:
        """The jaw's shape is its turn's first derivative."""
        _, y, z = self.mesh.vertices.T
        straight = np.stack([0 * y, -z, y], -1) * self.low[:, None]
        names = ("expression_00", "expression_01", "expression_02", "jaw_open")
        codes = (("expression", 0), ("expression", 1), ("expression", 2), ("jaw", 0))
        return Rig(names, codes, np.concatenate([self.shapes, straight[None]]).astype(np.float32))

    def vertices(self, codes: Codes) -> np.ndarray:
        expression, angle = codes["expression"].numpy().astype(float), codes["jaw"].numpy().astype(float)[:, :1]
        x, y, z = self.mesh.vertices.T.astype(float)
        sine, cosine = np.sin(angle), np.cos(angle)
        turned = np.stack([x + 0 * angle, y * cosine - z * sine, y * sine + z * cosine], -1)
        shape = self.mesh.vertices + (turned - self.mesh.vertices) * self.low[:, None]
        return shape + np.einsum("bk,kvc->bvc", expression, self.shapes)

    def decode(self, codes: Codes) -> Reconstruction:
        vertices = torch.from_numpy(self.vertices(codes)).float()
        return Reconstruction(vertices, torch.from_numpy(self.mesh.triangles), vertices)


def codes_of(expression, jaw) -> Codes:
    values = {"expression": np.atleast_2d(expression), "jaw": np.reshape(jaw, (-1, 1)), "identity": np.ones((1, 4))}
    length = max(len(value) for value in values.values())
    values = {name: np.broadcast_to(value, (length, *value.shape[1:])) for name, value in values.items()}
    return Codes({name: torch.tensor(value.astype(np.float32)) for name, value in values.items()}, "chin", "chin")


@pytest.fixture(scope="module")
def chin() -> Chin:
    return Chin()


# --- codes -----------------------------------------------------------------------------------------------------------


def test_weights_are_the_codes_and_at_rest_they_are_zero(chin):
    codes = codes_of([[1, -2, 3], [0, 0.5, 0]], [0.2, 0.1])
    rig = dataclasses.replace(
        chin.rig(), names=(*chin.rig().names, "eyelid"), codes=(*chin.rig().codes, ("eyelids", 0))
    )
    np.testing.assert_allclose(code_weights(rig, codes), [[1, -2, 3, 0.2, 0], [0, 0.5, 0, 0.1, 0]])
    rest = at_rest(rig, codes)
    assert not code_weights(rig, rest).any()
    assert "eyelids" not in rest
    torch.testing.assert_close(rest["identity"], codes["identity"])
    assert codes["expression"].any()  # its own are as they were


def test_only_the_numbers_that_drive_shapes_go_to_zero():
    codes = Codes({"jaw": torch.tensor([[0.1, 0.2, 0.3]])})
    rig = Rig(("open",), (("jaw", 0),), np.zeros((1, 4, 3), np.float32))
    torch.testing.assert_close(at_rest(rig, codes)["jaw"], torch.tensor([[0, 0.2, 0.3]]))


# --- photographs -----------------------------------------------------------------------------------------------------


def test_a_photograph_opens_with_its_expression_on_the_face_at_rest(chin, tmp_path):
    codes = codes_of([1.5, -2, 0.5], 0.3)
    rig, posed = chin.rig(), chin.mesh.with_vertices(chin.vertices(codes)[0])
    neutral = chin.vertices(at_rest(rig, codes))[0]
    write_glb(tmp_path / "mesh.glb", posed, rig=rig, weights=code_weights(rig, codes)[0], neutral=neutral)
    glb = read_glb(tmp_path / "mesh.glb")
    source = split_seams(posed).source
    assert glb.target_names == [*rig.names, "residual_00"]  # a jaw's turn is no straight line
    np.testing.assert_allclose(glb.document["meshes"][0]["weights"], [1.5, -2, 0.5, 0.3, 1], atol=1e-6)
    assert glb.document["meshes"][0]["extras"]["targetCodes"][1] == ["expression", 1, 1]
    assert glb.document["meshes"][0]["extras"]["targetCodes"][4] is None
    np.testing.assert_allclose(glb.attribute("POSITION") * 1000, neutral[source], atol=1e-4)
    np.testing.assert_allclose(glb.opened() * 1000, posed.vertices[source], atol=1e-4)
    for target, shape in zip(glb.primitive["targets"], rig.shapes, strict=False):
        np.testing.assert_allclose(glb.accessor(target["POSITION"]) * 1000, shape[source], atol=1e-4)
    # The light is that of the expression with which it opens.
    write_glb(tmp_path / "plain.glb", posed)
    np.testing.assert_array_equal(glb.attribute("NORMAL"), read_glb(tmp_path / "plain.glb").attribute("NORMAL"))
    back = glb_module.read_glb(tmp_path / "mesh.glb")
    np.testing.assert_allclose(back.vertices * 1000, posed.vertices[source], atol=1e-4)


def test_what_is_linear_needs_no_residual(chin):
    codes = codes_of([1.5, -2, 0.5], 0.0)
    posed = chin.mesh.with_vertices(chin.vertices(codes)[0])
    made = blend(posed, chin.rig(), code_weights(chin.rig(), codes)[0], chin.mesh.vertices)
    assert made.names == chin.rig().names


def test_without_the_neutral_it_is_what_the_shapes_leave(chin):
    codes = codes_of([1.5, -2, 0.5], 0.3)
    posed = chin.mesh.with_vertices(chin.vertices(codes)[0])
    made = blend(posed, chin.rig(), code_weights(chin.rig(), codes)[0])
    assert made.names == chin.rig().names
    back = made.neutral + np.tensordot(made.weights, made.targets, 1)
    np.testing.assert_allclose(back, posed.vertices, atol=1e-4)


def test_fifty_shapes_with_texture_and_normal_map(tmp_path):
    from facecli.export.detail import with_normal_map

    head, rig = wrinkled_head(), toy_rig(50)
    mesh = with_normal_map(head.mesh(0, skin(256)), head, 0)
    weights = np.random.default_rng(0).normal(size=50).astype(np.float32)
    posed = mesh.with_vertices(mesh.vertices + np.tensordot(weights, rig.shapes, 1))
    write_glb(tmp_path / "mesh.glb", posed, rig=rig, weights=weights, neutral=mesh.vertices)
    glb = read_glb(tmp_path / "mesh.glb")
    assert glb.target_names == list(rig.names)
    assert {"POSITION", "NORMAL", "TANGENT", "TEXCOORD_0"} <= set(glb.primitive["attributes"])
    np.testing.assert_allclose(glb.opened()[:5023] * 1000, posed.vertices, atol=1e-3)
    assert (tmp_path / "mesh.glb").stat().st_size < 4.5e6


# --- videos ----------------------------------------------------------------------------------------------------------


def talk(frames: int = 60) -> tuple[np.ndarray, Codes, np.ndarray]:
    """Times, codes over time with NaN where nobody is seen, and where somebody is."""
    times = np.arange(frames) / 25
    expression = np.stack([3.4 * np.sin(times * 3), np.cos(times * 5), np.maximum(np.sin(times * 4), 0)], 1)
    codes = codes_of(expression, 0.15 + 0.15 * np.sin(times * 6))
    visible = np.ones(frames, bool)
    visible[[0, 20, 21]] = False
    for value in codes.values.values():
        value[torch.from_numpy(~visible)] = torch.nan
    return times, codes, visible


def write_talk(path, chin: Chin, frames: int = 60, **words):
    times, codes, visible = talk(frames)
    rig, first = chin.rig(), int(visible.argmax())
    base = chin.decode(at_rest(rig, codes.select([first]))).vertices[0].numpy()
    poses = np.tile(np.diag([1.0, 1, 1, 1]), (frames, 1, 1))
    poses[:, 0, 3] = np.linspace(-50, 50, frames)

    def positions():
        for start in range(0, frames, 7):
            yield chin.vertices(codes.select(slice(start, start + 7)))

    summary = write_animated_glb(
        path, chin.mesh.with_vertices(base), times, positions, lambda: poses,
        visible=visible, rig=rig, weights=code_weights(rig, codes), **words,
    )  # fmt: skip
    return times, codes, visible, poses, summary


def test_a_video_moves_by_the_codes(chin, tmp_path):
    times, codes, visible, poses, summary = write_talk(tmp_path / "video.glb", chin)
    glb, rig = read_glb(tmp_path / "video.glb"), chin.rig()
    names = glb.target_names
    assert names[:4] == list(rig.names)  # all of them, first
    assert "residual_00" in names
    assert {"expression_00_minus", "expression_01_minus"} <= set(names)
    assert not {"expression_02_minus", "jaw_open_minus"} & set(names)  # these never move backwards
    assert summary.max_error_mm <= 0.1

    # The weights are the codes, whichever editor's slider limits there are.
    values = glb.tracks()["weights"][1].reshape(len(times), -1)
    assert values.min() >= 0 and values.max() <= 1
    driven = glb.document["meshes"][0]["extras"]["targetCodes"]
    assert driven[0] == ["expression", 0, 4]  # 1 is the whole number above 3.4
    wanted = code_weights(rig, codes)
    for k, (code, index) in enumerate(rig.codes):
        parts = [(m, entry[2]) for m, entry in enumerate(driven) if entry and entry[:2] == [code, index]]
        signed = sum(factor * values[:, m] for m, factor in parts)
        np.testing.assert_allclose(signed[visible], wanted[visible, k], atol=1e-5)

    # And a player shows every frame, at its place, and between two frames what lies between them.
    source, shapes = split_seams(chin.mesh).source, chin.vertices(codes)
    for i, time in enumerate(times):
        shown = glb.posed(float(np.float32(time)))
        assert (shown is not None) == visible[i]
        if visible[i]:
            expected = shapes[i][source] + poses[i, :3, 3]
            assert np.linalg.norm(shown * 1000 - expected, axis=1).max() < 0.11
    for i in (5, 30, 47):
        middle = glb.posed(float(times[i : i + 2].mean()))
        expected = (shapes[i] + shapes[i + 1])[source] / 2 + (poses[i, :3, 3] + poses[i + 1, :3, 3]) / 2
        assert np.linalg.norm(middle * 1000 - expected, axis=1).max() < 0.25
    opened = shapes[visible.argmax()][source]
    assert np.linalg.norm(glb.opened() * 1000 - opened, axis=1).max() < 0.11


def test_with_all_sliders_at_zero_a_video_is_the_person_at_rest(chin, tmp_path):
    write_talk(tmp_path / "video.glb", chin)
    glb = read_glb(tmp_path / "video.glb")
    rest = chin.mesh.vertices[split_seams(chin.mesh).source]
    np.testing.assert_allclose(glb.attribute("POSITION") * 1000, rest, atol=1e-3)


def test_residuals_only_where_the_tolerance_asks_for_them(chin, tmp_path):
    summary = write_talk(tmp_path / "video.glb", chin, tolerance_mm=50)[-1]
    assert summary.targets == 4
    assert not any(name.startswith("residual") for name in read_glb(tmp_path / "video.glb").target_names)
    assert 0.1 < summary.max_error_mm < 50


def test_what_is_read_back_has_signs_again(chin, tmp_path):
    _, codes, visible, *_ = write_talk(tmp_path / "video.glb", chin)
    count = len(chin.mesh.vertices)
    animation = read_animation(tmp_path / "video.glb", count)
    assert len(animation.targets) == animation.weights.shape[1] < 7  # no twins
    assert animation.weights.min() < -0.5
    played = animation.mean + np.einsum("tk,kvc->tvc", animation.weights, animation.targets)
    errors = np.linalg.norm(played[visible] * 1000 - chin.vertices(codes)[visible], axis=-1)
    assert errors.max() < 0.11


def test_positions_are_decoded_once_and_in_chunks(chin, tmp_path, monkeypatch):
    from facecli.export import animation

    times, codes, visible = talk(400)
    rig, passes, count = chin.rig(), [], len(chin.mesh.vertices)

    def positions():
        passes.append(0)
        for start in range(0, 400, 50):
            yield chin.vertices(codes.select(slice(start, start + 50)))

    words = {"visible": visible, "rig": rig, "weights": code_weights(rig, codes)}
    write_animated_glb(tmp_path / "one.glb", chin.mesh, times, positions, **words)
    assert len(passes) == 1
    monkeypatch.setattr(animation, "_SAMPLE_FRAMES", 40)
    write_animated_glb(tmp_path / "two.glb", chin.mesh, times, positions, **words)
    assert len(passes) == 3
    one, two = (read_animation(tmp_path / name, count) for name in ("one.glb", "two.glb"))
    shown = [a.mean + np.einsum("tk,kvc->tvc", a.weights, a.targets) for a in (one, two)]
    assert np.linalg.norm(shown[0] - shown[1], axis=-1).max() < 2e-4


def test_memory_does_not_grow_with_the_frames(chin, tmp_path, monkeypatch):
    from facecli.export import animation

    monkeypatch.setattr(animation, "_SAMPLE_FRAMES", 50)
    rig, count = chin.rig(), len(chin.mesh.vertices)

    def peak(frames: int) -> int:
        times, weights = np.arange(frames) / 25, np.zeros((frames, 4), np.float32)
        weights[:, 0] = np.sin(times)

        def positions():
            for start in range(0, frames, 50):
                yield chin.mesh.vertices + weights[start : start + 50, :1, None] * chin.shapes[0]

        tracemalloc.start()
        write_animated_glb(
            tmp_path / "video.glb", chin.mesh, times, positions, visible=np.ones(frames, bool), rig=rig, weights=weights
        )
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(100)
    assert peak(4000) < peak(500) + 3500 * count  # shapes alone would take 3500 frames * count * 12 bytes


def test_driven_by_names_twins_and_residuals(chin):
    found = driven_by(chin.rig(), ["jaw_open", "expression_02_minus", "residual_00"], [1, -3, 2])
    assert found == [["jaw", 0, 1.0], ["expression", 2, -3.0], None]
