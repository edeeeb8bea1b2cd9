"""Heads by formula: one closed surface, symmetric, of human size, with points where a landmarker finds them."""

from __future__ import annotations

import numpy as np
import pytest

from facecli.data.formula_face import EAR
from facecli.data.formula_head import LARGEST_IDENTITY, FormulaHead
from facecli.data.formula_skull import distance, in_front
from facecli.data.head_model import FIELDS, HeadModel
from facecli.data.render_head import HeadRenderer
from facecli.data.scene import SETS
from facecli.detect.landmarks import IBUG68_GROUPS, convert, flip_indices
from facecli.geometry.normals import face_normals

MIRROR = np.array([-1, 1, 1])


@pytest.fixture(scope="module")
def model() -> FormulaHead:
    return FormulaHead()


@pytest.fixture(scope="module")
def mean(model) -> np.ndarray:
    return _head(model)


@pytest.fixture(scope="module")
def people(model) -> np.ndarray:
    """[200, V, 3] people at rest."""
    rng = np.random.default_rng(0)
    identity = np.stack([model.sample_identity(rng) for _ in range(200)])
    return model.vertices(identity, np.zeros((200, model.n_expression)))


def _head(model: FormulaHead, identity: dict[str, float] | None = None, **expression: float) -> np.ndarray:
    """[V, 3] float64 of named codes."""
    codes = np.zeros((1, model.n_identity)), np.zeros((1, model.n_expression))
    for name, value in (identity or {}).items():
        codes[0][0, model.identity_names.index(name)] = value
    for name, value in expression.items():
        codes[1][0, model.expression_names.index(name)] = value
    return model.vertices(*codes)[0].astype(np.float64)


def _edges(triangles: np.ndarray) -> np.ndarray:
    """[3 F, 2] directed edges."""
    return np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])


# --- the plain head and its mesh ----------------------------------------------------------------------------------


def test_points_seen_from_the_front_are_on_the_plain_head():
    x, y = np.array([0, 20, 45]), np.array([-40, 60, 5])
    points = in_front(x, y)
    assert np.abs(distance(points)).max() < 1e-5
    assert np.array_equal(points[:, :2], np.stack([x, y], 1))
    assert (points[:, 2] > 50).all()


def test_an_ears_rings_are_where_its_radius_says():
    ring = EAR.ring(0.9, 40)
    assert np.allclose(EAR.radius(np.insert(ring, 0, 75, axis=1)), 0.9)


def test_keeps_the_contract(model, mean):
    assert isinstance(model, HeadModel)
    assert mean.shape == (len(model.mesh.points), 3)
    assert model.vertices(np.zeros((2, model.n_identity)), np.zeros((2, model.n_expression))).dtype == np.float32
    assert model.triangles.dtype == np.int64
    assert model.skin.shape == model.face.shape == (len(model.triangles),)
    assert not (model.face & ~model.skin).any()
    assert 0.25 < model.face.mean() < model.skin.mean() < 1
    assert len(set(model.identity_names)) == model.n_identity
    assert len(set(model.expression_names)) == model.n_expression


def test_is_one_surface_open_at_the_neck_alone(model, mean):
    directed = _edges(model.triangles)
    assert len(np.unique(directed, axis=0)) == len(directed)  # neighbours agree about the outside
    edges, uses = np.unique(np.sort(directed, 1), axis=0, return_counts=True)
    assert set(uses) == {1, 2}
    rim = edges[uses == 1]
    assert np.allclose(model.mesh.points[rim, 1], model.mesh.points[:, 1].min())
    assert len(mean) - len(edges) + len(model.triangles) == 1  # Euler: a disc, and every vertex is used
    assert np.isin(np.arange(len(mean)), model.triangles).all()


def test_faces_outwards(model, mean):
    normals, middles = face_normals(mean, model.triangles), mean[model.triangles].mean(1)
    assert np.linalg.norm(normals, axis=1).min() > 1e-3  # no triangle without area
    volume = (normals * middles).sum() / 6e6
    assert 3.5 < volume < 6.5  # litres
    front = model.face & (np.abs(middles[:, 0]) < 40)
    assert (normals[front, 2] > 0).mean() > 0.97


def test_is_fine_on_the_face_and_coarse_behind(model, mean):
    edges = _edges(model.triangles)
    lengths, middles = np.linalg.norm(np.diff(mean[edges], axis=1)[:, 0], axis=1), mean[edges].mean(1)
    by_eye = np.linalg.norm(middles - [31.5, 35, 95], axis=1) < 20
    by_mouth = np.linalg.norm(middles - [0, -34, 114], axis=1) < 22
    assert np.median(lengths[by_eye]) < 1.6
    assert np.median(lengths[by_mouth]) < 1.8
    assert 4 < np.median(lengths[middles[:, 2] < -50]) < 12
    assert lengths.max() < 30
    assert 8_000 < len(mean) < 15_000


# --- people -------------------------------------------------------------------------------------------------------


def test_sides_are_alike_without_asymmetry(model, mean):
    mirror = model.mesh.mirror
    assert np.array_equal(mirror[mirror], np.arange(len(mirror)))
    assert np.abs(mean[mirror] * MIRROR - mean).max() < 1e-4
    wide = _head(model, {"jaw width": 2, "eye slant": -2, "ear size": 2, "nose width": 1.5})
    assert np.abs(wide[mirror] * MIRROR - wide).max() < 1e-4
    surface = {tuple(sorted(triangle)) for triangle in model.triangles}
    assert {tuple(sorted(triangle)) for triangle in mirror[model.triangles]} == surface
    uneven = _head(model, {"one eye higher": 2})
    assert np.abs(uneven[mirror] * MIRROR - uneven).max() > 1


def test_the_sides_of_an_expression_are_the_two_halves_of_it(model):
    left, right = _head(model, mouthSmile_L=1, eyeBlink_L=0.5), _head(model, mouthSmile_R=1, eyeBlink_R=0.5)
    assert np.abs(left[model.mesh.mirror] * MIRROR - right).max() < 1e-4
    assert np.abs(left - right).max() > 5


def test_the_same_codes_are_the_same_head(model):
    other = FormulaHead()
    identity = model.sample_identity(np.random.default_rng(4))
    assert np.array_equal(identity, other.sample_identity(np.random.default_rng(4)))
    expression = model.sample_expression(np.random.default_rng(4))
    assert np.array_equal(expression, other.sample_expression(np.random.default_rng(4)))
    assert np.array_equal(model.vertices(identity, expression), other.vertices(identity, expression))
    both = model.vertices(np.stack([identity, 0 * identity]), np.stack([0 * expression, expression]))
    assert np.allclose(both[0], model.vertices(identity, 0 * expression)[0], atol=1e-4)
    assert np.allclose(both[1], model.vertices(0 * identity, expression)[0], atol=1e-4)


def test_no_identity_is_beyond_its_limit(model):
    rng = np.random.default_rng(0)
    drawn = np.stack([model.sample_identity(rng) for _ in range(300)])
    assert np.abs(drawn).max() <= LARGEST_IDENTITY
    assert np.allclose(drawn.std(), 0.95, atol=0.03)  # a normal distribution cut at 2.5
    assert abs(drawn.mean()) < 0.03


@pytest.mark.parametrize(
    ("measure", "mean_mm", "sd_mm"),
    [
        ("head breadth", (148, 160), (4.5, 7.5)),
        ("head length", (188, 202), (5.5, 8.5)),
        ("nasion to menton", (108, 126), (5, 9)),
        ("pupil to pupil", (60, 66), (2.3, 4.5)),
        ("nose height", (46, 56), (3, 5.5)),
        ("nose protrusion", (13, 22), (1.5, 3.2)),
        ("mouth width", (44, 54), (2.5, 4.5)),
        ("eye width", (26, 33), (0.8, 2)),
    ],
)
def test_sizes_are_human(model, people, measure, mean_mm, sd_mm):
    points = model.landmarks(people)
    x, z = people[..., 0], people[..., 2]
    scalp = model.mesh.points[:, 1] > 50  # above the ears
    pupils = points[:, [36, 37, 38, 39, 40, 41]].mean(1) - points[:, [42, 43, 44, 45, 46, 47]].mean(1)
    sizes = {
        "head breadth": np.ptp(x[:, scalp], axis=1),
        "head length": np.ptp(z[:, scalp], axis=1),
        "nasion to menton": points[:, 27, 1] - points[:, 8, 1],
        "pupil to pupil": np.abs(pupils[:, 0]),
        "nose height": points[:, 27, 1] - points[:, 33, 1],
        "nose protrusion": points[:, 30, 2] - points[:, 33, 2],
        "mouth width": points[:, 54, 0] - points[:, 48, 0],
        "eye width": points[:, 45, 0] - points[:, 42, 0],
    }[measure]
    assert mean_mm[0] < sizes.mean() < mean_mm[1]
    assert sd_mm[0] < sizes.std() < sd_mm[1]


def test_nobodys_skin_is_folded(model, mean, people):
    outwards = face_normals(mean, model.triangles)
    rng = np.random.default_rng(1)
    lively = model.vertices(np.zeros((40, model.n_identity)), [model.sample_expression(rng) for _ in range(40)])
    for head in (*people[::4], *lively):
        turned = (face_normals(head.astype(np.float64), model.triangles) * outwards).sum(1) < 0
        assert not turned[model.skin].any()
    lengths = [np.linalg.norm(np.diff(h[_edges(model.triangles)], axis=1), axis=2) for h in (mean, people[3])]
    longer = lengths[1] / lengths[0]
    assert longer.min() > 0.3
    assert longer.max() < 2


# --- faces --------------------------------------------------------------------------------------------------------


def test_points_are_in_their_places(model, mean, people):
    points = model.landmarks(mean[None])[0]
    assert np.abs(points[list(flip_indices("ibug68"))] * MIRROR - points).max() < 1e-4
    assert (np.diff(points[:17, 0]) > 0).all()  # from the subject's right ear along the jaw to the left one
    assert (np.diff(points[17:27, 0]) > 0).all()
    assert (np.diff(points[27:31, 1]) < 0).all()
    assert points[:, 2].argmax() == 30
    assert (points[[37, 38], 1] > points[[41, 40], 1] + 5).all()
    assert points[48:60, 1].min() == points[57, 1] > points[8, 1]
    assert np.array_equal(model.landmarks(people[:2])[1, 40], people[1, model._ibug68[40]])


def test_eyes_close_and_open(model, mean):
    def slit(head):
        points = model.landmarks(head[None])[0]
        return (points[[43, 44], 1] - points[[47, 46], 1]).mean()

    assert 8 < slit(mean) < 12
    assert slit(_head(model, eyeBlink_L=1)) < 0.5
    assert slit(_head(model, eyeBlink_L=1, eyeSquint_L=1)) > -0.2  # the lids don't pass each other
    assert slit(_head(model, eyeWide_L=1)) > slit(mean) + 1.5
    assert abs(slit(_head(model, eyeBlink_R=1)) - slit(mean)) < 1e-3


def test_a_mouth_is_shut_at_rest_and_opens(model, mean):
    def gap(head):
        points = model.landmarks(head[None])[0]
        return points[62, 1] - points[66, 1]

    assert 0 < gap(mean) < 0.15
    assert 22 < gap(_head(model, jawOpen=1)) < 40
    opened = _head(model, jawOpen=1)
    assert np.abs(opened - mean)[mean[:, 1] > 30].max() < 1e-3
    corners = [model.landmarks(head[None])[0, 54] for head in (mean, _head(model, mouthSmile_L=1))]
    assert (corners[1] - corners[0] > [3, 4, -9]).all()


def test_fields_say_where_things_are(model, mean):
    fields = model.fields()
    assert set(fields) <= set(FIELDS)
    assert {field.dtype for field in fields.values()} == {np.dtype(np.float32)}
    points = model._ibug68

    def inside(name):
        return fields[name] > 0.5

    assert not (inside("iris") & ~inside("eyeball")).any()
    assert not (inside("pupil") & ~inside("iris")).any()
    assert not (inside("teeth") & ~inside("mouth")).any()
    pupil = mean[inside("pupil") & (mean[:, 0] > 0)].mean(0)
    assert np.linalg.norm(pupil[:2] - [31.5, 35]) < 1
    red = mean[inside("lips") & ~inside("mouth")]
    assert np.abs([red[:, 0].max() - 23, red[:, 1].max() + 27, red[:, 1].min() + 43]).max() < 3
    brow = mean[inside("brows") & (mean[:, 0] > 0)]
    assert model.landmarks(mean[None])[0, 43, 1] + 6 < brow[:, 1].min() < brow[:, 1].max() < 62
    hair = inside("hair")
    assert hair[mean[:, 1].argmax()]
    assert not hair[points].any()
    assert 0 <= fields["flush"].min() < fields["flush"].max() <= 1
    for name in ("iris", "lips", "brows"):  # distances: about 1/4 a millimetre near their edges
        edges = _edges(model.triangles)
        near = (np.abs(fields[name][edges] - 0.5) < 0.4).all(1) & (mean[edges, 2] > 85).all(1)
        length = np.linalg.norm(np.diff(mean[edges[near]], axis=1)[:, 0], axis=1)
        steepness = np.abs(np.diff(fields[name][edges[near]], axis=1)[:, 0]) / length
        assert 0.1 < np.percentile(steepness, 90) < 0.4, name


def test_mediapipe_finds_pictures_of_them_and_its_points_where_they_are(model):
    from facecli import registry

    renderer = HeadRenderer(model, SETS["easy"], 256)
    pictures = [renderer.render(11, index) for index in range(4)]
    landmarker = registry.landmarker("mediapipe", confidence=0.5)
    found = landmarker.detect([picture.image for picture in pictures])
    landmarker.close()
    assert [len(faces) for faces in found] == [1] * len(pictures)
    apart = []
    for picture, faces in zip(pictures, found, strict=True):
        points = convert(faces[0].points, faces[0].point_set, "ibug68")[:, :2]
        eyes = np.linalg.norm(picture.landmarks_3d[36] - picture.landmarks_3d[45])
        pixels = eyes * picture.view.camera.focal / picture.view.distance
        apart.append(np.linalg.norm(points - picture.landmarks, axis=1) / pixels)
    apart = np.mean(apart, 0)
    assert apart.mean() < 0.05
    for group in ("right_eye", "left_eye", "outer_lips", "nose_bottom"):
        assert apart[IBUG68_GROUPS[group]].mean() < 0.06, group
