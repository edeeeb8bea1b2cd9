"""The open model's heads as GLB, their expressions on each other and on avatars; from codes: nobody is looked for."""

from __future__ import annotations

import json

import numpy as np
import pygltflib
import pytest
import torch
from scipy.spatial.transform import Rotation

from facecli.codes import Codes, load_codes, save_codes
from facecli.export.animation import read_animation
from facecli.export.arkit import NAMES, from_ict, read_json
from facecli.export.glb import Assembly, read_accessor, read_glb

BALLS = 2 * 800
LOOKS = slice(16, 24)
"""Of ICT-FaceKit's expressions."""


def person(seed: int, frames: int = 1) -> Codes:
    """Somebody with lively expressions, seen from 80 cm; of a video with `frames`, always the same one."""
    random = np.random.default_rng(seed)
    expression = random.uniform(0, 1, (frames, 57)) ** 3
    expression[:, :2] = 0  # pupils
    values = {
        "identity": np.tile(random.normal(0, 0.7, 100), (frames, 1)),
        "expression": expression,
        "pose": random.uniform(-0.3, 0.3, (frames, 3)),
        "camera": np.tile([900.0, 1.125, 256.0, 250.0], (frames, 1)),
        "photo_size": np.tile([512.0, 512.0], (frames, 1)),
        "warp": np.tile(np.eye(3), (frames, 1, 1)),
    }
    return Codes({name: torch.from_numpy(value).float() for name, value in values.items()}, "open", "ict")


def write_codes(path, codes: Codes):
    box = np.tile([150.0, 120, 360, 400], (len(codes), 1))
    times = {"time": np.arange(len(codes)) / 10} if len(codes) > 1 else {}
    save_codes(path, codes, box=box, score=np.ones(len(codes)), **times)
    return path


@pytest.fixture
def me(tmp_path):
    return write_codes(tmp_path / "me.npz", person(1))


@pytest.fixture
def actor(tmp_path):
    return write_codes(tmp_path / "actor.npz", person(2, 6))


def targets_of(path) -> tuple[dict, np.ndarray]:
    """(extras, weights) of the face's mesh."""
    mesh = pygltflib.GLTF2.load_binary(str(path)).meshes[0]
    return mesh.extras, np.array(mesh.weights)


def test_a_head_opens_with_arkits_shapes_and_eyes_that_turn(cli, with_ict, head, me, tmp_path):
    ran = cli("reconstruct", me, "--save", "glb", "-o", tmp_path / "out", "--json")
    assert ran.code == 0, ran.err
    path = json.loads(ran.out)["mesh"]
    codes = load_codes(me).codes
    decoded, count = head.decode(codes), len(head.mean)
    found = read_glb(path)
    np.testing.assert_allclose(found.vertices[:count] * 1000, decoded.vertices[0], atol=0.11)
    np.testing.assert_allclose(found.vertices[count - BALLS : count] * 1000, decoded.vertices[0, -BALLS:], atol=1e-3)
    extras, weights = targets_of(path)
    assert tuple(extras["targetNames"][:52]) == NAMES
    np.testing.assert_allclose(weights[:52], from_ict(codes["expression"].numpy(), head.expression_names)[0], atol=1e-6)
    size = (tmp_path / path).stat().st_size
    dense = 12 * 52 * len(found.vertices)
    assert size < 0.62 * dense and size < 5 << 20

    document = pygltflib.GLTF2.load_binary(path)
    face, left, _ = Assembly.of(document).shown
    at_rest = head.rest(codes["identity"], torch.zeros(1, 57))
    jaw = NAMES.index("jawOpen")
    offsets = read_accessor(document, face.mesh.primitives[0].targets[jaw]["POSITION"])[: count - BALLS]
    opened = torch.zeros(1, 57)
    opened[0, head.expression_names.index("jawOpen")] = 1
    expected = (head.rest(codes["identity"], opened) - at_rest)[0, :-BALLS] / 1000
    np.testing.assert_allclose(offsets, expected, atol=6e-6)
    np.testing.assert_allclose(left.rotation, decoded.joints["eye_left"].rotation[0], atol=1e-5)


def test_a_video_plays_weights_and_turns_within_a_tenth_of_a_millimetre(cli, with_ict, head, actor, tmp_path):
    ran = cli("reconstruct", actor, "--save", "glb,arkit", "-o", tmp_path / "out")
    assert ran.code == 0, ran.err
    path = tmp_path / "out/actor/face0/mesh.glb"
    decoded, count = head.decode(load_codes(actor).codes), len(head.mean)
    found = read_animation(path, count)
    for frame in range(6):
        shown = found.mean + np.tensordot(found.weights[frame], found.targets, 1)
        missed = np.linalg.norm(shown * 1000 - decoded.vertices[frame].numpy(), axis=1)
        assert missed.max() < 0.2 and missed[-BALLS:].max() < 0.01
    told = read_json(path.with_name("arkit.json")).weights
    np.testing.assert_allclose(found.weights[:, :52], told, atol=1e-4)


def test_expressions_go_from_face_to_face_and_the_face_stays(cli, with_ict, head, me, actor, tmp_path):
    ran = cli("transfer", me, "--target", actor, "--save", "codes,arkit", "-o", tmp_path / "out")
    assert ran.code == 0, ran.err
    folder = tmp_path / "out/me/actor/face0"
    mixed, mine, theirs = (load_codes(path).codes for path in (folder / "codes.npz", me, actor))
    torch.testing.assert_close(mixed["expression"], theirs["expression"])
    for name in ("identity", "pose", "camera"):
        torch.testing.assert_close(mixed[name], mine[name].expand_as(mixed[name]))
    expected = from_ict(theirs["expression"].numpy(), head.expression_names)
    np.testing.assert_allclose(read_json(folder / "arkit.json").weights, expected, atol=1e-4)


def test_our_own_head_is_an_avatar_of_somebody_elses_expressions(cli, with_ict, head, me, actor, tmp_path):
    assert cli("reconstruct", me, "--save", "glb", "-o", tmp_path / "out").code == 0
    avatar = tmp_path / "out/me/face0/mesh.glb"
    ran = cli("transfer", avatar, "--target", actor, "--take", "expression,pose", "-o", tmp_path / "out", "--json")
    assert ran.code == 0, ran.err
    record = json.loads(ran.out)
    assert record["shapes"] == 52 and "of ARKit's 52 shapes" not in ran.err
    theirs = load_codes(actor).codes
    decoded = head.decode(theirs)
    found = read_animation(record["mesh"], len(head.mean))
    expected = from_ict(theirs["expression"].numpy(), head.expression_names)
    np.testing.assert_allclose(found.weights[:, :52], expected, atol=1e-4)
    np.testing.assert_allclose(found.times, np.arange(6) / 10, atol=1e-6)
    turned = Rotation.from_quat(found.rotations).as_matrix()
    np.testing.assert_allclose(turned, decoded.head_pose[:, :3, :3], atol=1e-5)
    document = pygltflib.GLTF2.load_binary(record["mesh"])
    assert not any(document.meshes[0].weights)  # what was peculiar to the photograph's expression is gone
    (channel,) = [
        channel
        for channel in document.animations[0].channels
        if document.nodes[channel.target.node].name == "eye_right"
    ]
    played = read_accessor(document, document.animations[0].samplers[channel.sampler].output)
    expected = decoded.joints["eye_right"].rotation
    np.testing.assert_allclose(Rotation.from_quat(played).as_matrix(), expected, atol=1e-4)
