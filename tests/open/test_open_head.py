"""ICT-FaceKit's head as codes decode to it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from facecli.codes import Codes
from facecli.data.scene import Camera, rotation
from facecli.errors import UsageError
from facecli.geometry.normals import vertex_normals
from facecli.geometry.rotations import matrix_to_axis_angle
from facecli.morphable.ict_head import SIDES, steady, unsteady


def sample(count: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, 100)).astype(np.float32), 0.7 * rng.random((count, 57)).astype(np.float32)


def codes_of(identity, expression, **values) -> Codes:
    tensors = {"identity": identity, "expression": expression, **values}
    return Codes(
        {name: torch.as_tensor(np.asarray(value, np.float32)) for name, value in tensors.items()}, "open", "ict"
    )


def kept(head) -> np.ndarray:
    """Numbers of the decoder's vertices in the whole model."""
    return np.flatnonzero(head._number >= 0)


def test_decodes_what_the_model_says(ict, head):
    identity, expression = sample()
    made = head.decode(codes_of(identity, expression))
    assert made.vertices.numpy() == pytest.approx(ict.vertices(identity, expression)[:, kept(head)], abs=1e-3)
    assert made.extras["gaze"].numpy() == pytest.approx(ict.gaze(expression), abs=1e-5)
    assert made.landmarks_3d["ibug68"].numpy() == pytest.approx(made.vertices[:, head.ibug68].numpy())


def test_corneas_are_left_out_and_all_else_is_used(ict, head):
    corneas = np.concatenate(list(ict.cornea.values()))
    assert not np.isin(kept(head), corneas).any()
    assert len(head.triangles.unique()) == len(head.mean) == len(ict.arrays.mean) - len(corneas)
    assert np.sum(vertex_normals(head.mean.numpy(), head.triangles.numpy()) * head.mean.numpy()) > 0


def test_lands_where_a_pinhole_sees_it(head):
    identity, expression = sample(1)
    turn = rotation(25, -10, 7)
    place = np.array([40.0, -25.0, -620.0])
    camera = Camera(900.0, (319.5, 239.5), (480, 640))
    pixel = camera.project(place)
    code = [900.0, 900 / 620, pixel[0], pixel[1]]
    pose = matrix_to_axis_angle(torch.from_numpy(turn)[None]).numpy()
    made = head.decode(codes_of(identity, expression, pose=pose, camera=[code], photo_size=[[480, 640]]))
    expected = camera.project(made.vertices[0].double().numpy() @ turn.T + place)
    assert made.projected[0].numpy() == pytest.approx(expected, abs=2e-2)
    assert made.head_pose[0, :3, 3].numpy() == pytest.approx(place, abs=1e-3)
    assert made.landmarks["ibug68"][0].numpy() == pytest.approx(expected[head.ibug68, :2], abs=2e-2)


def test_joints_turn_their_own_vertices(ict, head):
    identity, expression = sample(2)
    made = head.decode(codes_of(identity, expression))
    ahead = head.rest(torch.from_numpy(identity), torch.from_numpy(expression))
    for name, side in SIDES.items():
        joint = made.joints[name]
        turned = (ahead[:, joint.vertices] - joint.pivot[:, None]) @ joint.rotation.transpose(1, 2)
        assert made.vertices[:, joint.vertices].numpy() == pytest.approx(
            (turned + joint.pivot[:, None]).numpy(), abs=1e-3
        )
        assert torch.linalg.det(joint.rotation).numpy() == pytest.approx(1, abs=1e-5)
        assert joint.pivot.numpy() == pytest.approx(
            ict.eye_centres(ahead_of(ict, identity, expression))[:, "LR".index(side)], abs=0.5
        )


def ahead_of(ict, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
    looks = [name.startswith("eyeLook") for name in ict.expression_names]
    return ict.vertices(identity, np.where(looks, 0, expression))


def test_an_open_jaw_turns_about_its_joints(ict, head):
    opened = np.zeros((1, 57), np.float32)
    opened[0, ict.expression_names.index("jawOpen")] = 1
    jaw = head.decode(codes_of(np.zeros((1, 100)), opened)).joints["jaw"]
    axis = matrix_to_axis_angle(jaw.rotation)[0].numpy()
    assert 10 < np.rad2deg(axis[0]) < 25 and np.abs(axis[1:]).max() < 1e-3
    assert np.abs(jaw.pivot[0, 0]) < 1 and -40 < jaw.pivot[0, 2] < 10  # between the ears, at their lower half
    rest = head.decode(codes_of(np.zeros((1, 100)), np.zeros((1, 57)))).joints["jaw"].rotation[0]
    assert rest.numpy() == pytest.approx(np.eye(3), abs=1e-5)


def test_blend_shapes_make_the_expression(head):
    identity, expression = sample(1)
    rig = head.rig()
    made = head.decode(codes_of(identity, expression)).vertices[0].numpy()
    rest = head.decode(codes_of(identity, 0 * expression)).vertices[0].numpy()
    missed = np.linalg.norm(made - rest - np.tensordot(expression[0], rig.shapes, 1), axis=1)
    balls = np.concatenate([head._ball(name).numpy() for name in SIDES])
    assert np.delete(missed, balls).max() < 0.01
    assert missed[balls].max() < 4  # a turn along a straight line
    assert rig.names == head.expression_names


def test_texture_layout_is_one_square_without_overlaps(head):
    assert head.uv.min() >= 0 and head.uv.max() <= 1
    corners = head.uv[head.uv_triangles].double()
    across = corners[:, 1:] - corners[:, :1]
    area = 0.5 * (across[:, 0, 0] * across[:, 1, 1] - across[:, 0, 1] * across[:, 1, 0]).abs().sum()
    from facecli.render.texture import uv_layout

    covered = uv_layout(head.uv.numpy(), head.uv_triangles.numpy(), 512).mask.mean()
    assert area.item() == pytest.approx(covered, rel=0.01)


def test_texture_mirror_is_the_other_side(head):
    """A vertex' twin in the layout is its twin in space."""
    vertex = np.empty(len(head.uv), np.int64)
    vertex[head.uv_triangles.numpy()] = head.triangles.numpy()
    where = {tuple(np.round(uv, 4)): number for number, uv in enumerate(head.uv.numpy())}
    twins = [where.get(tuple(np.round(uv, 4))) for uv in head.uv_mirror.numpy()]
    known = np.array([number for number, twin in enumerate(twins) if twin is not None])
    assert len(known) > 0.9 * len(twins)
    mean, twin = head.mean.numpy(), np.array([twins[number] for number in known])
    away = np.linalg.norm(mean[vertex[known]] * (-1, 1, 1) - mean[vertex[twin]], axis=1)
    assert np.quantile(away, 0.99) < 0.1


def test_steady_cameras_come_back(head):
    codes = head.complete(codes_of(*sample(2)))
    back = unsteady(steady(codes))
    assert back["camera"].numpy() == pytest.approx(codes["camera"].numpy(), rel=1e-5)


def test_codes_that_do_not_fit_are_refused(head):
    with pytest.raises(UsageError, match="hold no identity"):
        head.decode(Codes({"expression": torch.zeros(1, 57)}))
    with pytest.raises(UsageError, match="ICT-FaceKit has 100 numbers of it"):
        head.decode(codes_of(np.zeros((1, 200)), np.zeros((1, 57))))
    with pytest.raises(UsageError, match="'camera' is"):
        head.decode(codes_of(*sample(1), camera=[[1, 2, 3]]))


def test_rendered_heads_know_mediapipes_points(ict_file):
    from facecli.data.formula_head import FormulaHead
    from facecli.data.ict_head import IctHead as Heads
    from facecli.data.render_head import HeadRenderer
    from facecli.data.scene import SETS

    head = HeadRenderer(Heads(ict_file), SETS["easy"], 128).render(5, 1)
    points = head.landmarks478
    assert points.shape == (478, 2)
    size = np.ptp(head.landmarks[:, 1])
    # The nose's tip, the chin, and the corners of the mouth are in both sets.
    for ours, ibug in ((1, 30), (152, 8), (61, 48), (291, 54)):
        assert np.linalg.norm(points[ours] - head.landmarks[ibug]) < 0.08 * size
    assert HeadRenderer(FormulaHead(), SETS["easy"], 64).render(5, 1).landmarks478 is None
