"""Deformation transfer on MediaPipe's surface."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facecli_mediapipe.carry import (
    INNER_LIPS,
    LIDS,
    carry_surfaces,
    eye_opening,
    guess_rest,
    mouth_opening,
    resting,
)
from facecli_mediapipe.surface import load_surface

MEAN = load_surface().mean
LOWER = MEAN[:, 1] < -44  # lower lip and chin, about
UPPER = np.array(INNER_LIPS)[:, 0]


def face(seed):
    """Somebody: the mean face, smoothly bent and wider or narrower."""
    random = np.random.default_rng(seed)
    bend = random.normal(0, 0.0006, (3, 3)) * 1.0
    stretched = MEAN * (1 + random.normal(0, 0.05, 3))
    return stretched + (MEAN**2) @ bend * 0.1


def speaking(points, opening=12.0, smile=0.0):
    """`points` with the lower face moved down, and the mouth's corners outwards and up."""
    moved = points.copy()
    jaw = np.clip((-46 - MEAN[:, 1]) / 25, 0, 1)
    jaw[np.array(INNER_LIPS)[:, 1]] = np.maximum(jaw[np.array(INNER_LIPS)[:, 1]], 0.6)
    jaw[UPPER] = 0
    moved[:, 1] -= opening * jaw
    corner = np.exp(-(np.linalg.norm(MEAN[:, None] - MEAN[[61, 291]], axis=2) ** 2) / 200)
    moved[:, 0] += smile * (corner[:, 1] - corner[:, 0]) * np.sign(MEAN[291, 0])
    moved[:, 1] += smile * corner.sum(1)
    return moved


def one(points):
    return points[None]


@given(seed=st.integers(0, 50), other=st.integers(0, 50), opening=st.floats(0, 15))
def test_a_face_at_rest_changes_nothing(seed, other, opening):
    source, target = face(seed), speaking(face(other), opening)
    np.testing.assert_array_equal(carry_surfaces(one(source), one(target), one(target))[0], source)


@given(seed=st.integers(0, 50), opening=st.floats(0, 15), smile=st.floats(0, 5))
def test_ones_own_expression_comes_back(seed, opening, smile):
    rest = face(seed)
    target = speaking(rest, opening, smile)
    carried = carry_surfaces(one(rest), one(target), one(rest))[0]
    assert np.abs(carried - target)[:468].max() < 0.5  # millimetres, about
    assert np.abs(carried - target).max() < 1


def test_batches_are_single_faces():
    sources, targets = np.stack([face(1), face(2)]), np.stack([speaking(face(3)), speaking(face(3), 4, 3)])
    rest = np.stack([face(3)] * 2)
    whole = carry_surfaces(sources, targets, rest)
    for n in range(2):
        single = carry_surfaces(sources[n : n + 1], targets[n : n + 1], rest[n : n + 1])
        np.testing.assert_allclose(whole[n : n + 1], single, atol=1e-9)


def test_a_mouth_opens_by_the_sources_size():
    """The same jaw on a face a fifth larger moves a fifth more; the forehead stays."""
    rest, large = face(4), face(4) * 1.2
    target = speaking(rest, 12)
    moved = carry_surfaces(one(large), one(target), one(rest))[0] - large
    expected = 1.2 * (target - rest)
    assert np.abs(moved - expected)[14] == pytest.approx([0, 0, 0], abs=1.5)
    assert np.abs(moved[10]).max() < 0.5  # top of the forehead
    assert moved[152, 1] == pytest.approx(expected[152, 1], rel=0.15)  # chin


def test_lips_do_not_cross():
    """A mouth that was open at rest and shuts, on a face whose mouth is shut already."""
    shut, open_ = face(5), speaking(face(6), 10)
    carried = carry_surfaces(one(shut), one(face(6)), one(open_))[0]
    upper, lower = np.array(INNER_LIPS).T
    gap = carried[upper, 1] - carried[lower, 1]
    least = np.minimum(0, np.minimum(shut[upper, 1] - shut[lower, 1], face(6)[upper, 1] - face(6)[lower, 1]))
    assert (gap >= least - 0.1).all()
    offsets = shut + face(6) - open_  # what would be without
    assert (offsets[upper, 1] - offsets[lower, 1]).min() < -3


def test_lids_shut_by_their_share():
    """A blink of wide eyes shuts narrow ones, and no further."""
    wide, narrow = face(7), face(8)
    for lids in LIDS:
        for upper, lower in lids:
            middle = (narrow[upper] + narrow[lower]) / 2
            narrow[upper], narrow[lower] = (0.5 * (narrow[n] + middle) for n in (upper, lower))
    blink = wide.copy()
    for lids in LIDS:
        for upper, lower in lids:
            blink[upper] = wide[lower] + 0.1 * (wide[upper] - wide[lower])
    carried = carry_surfaces(one(narrow), one(blink), one(wide))
    ratio = eye_opening(carried) / eye_opening(one(narrow))
    np.testing.assert_allclose(ratio, 0.1, atol=0.05)
    offsets = one(narrow + blink - wide)
    upper, lower = np.array(LIDS[0][:3]).T
    assert (offsets[0, upper, 1] < offsets[0, lower, 1]).any()  # lids through each other, without


def test_irises_go_where_the_target_looks():
    rest = face(9)
    target = rest.copy()
    target[468:] += (2.0, 0.5, 0)
    source = face(10)
    moved = carry_surfaces(one(source), one(target), one(rest))[0] - source
    assert np.abs(moved[:468]).max() < 1e-6
    np.testing.assert_allclose(moved[468:, 1] / moved[468:, 0], 0.25, atol=1e-6)
    assert (np.abs(moved[468:, 0] - 2) < 0.5).all()


def test_the_resting_frame_is_shut_awake_and_usual():
    rest = face(11)
    random = np.random.default_rng(0)
    faces = [speaking(rest, 3 + 10 * abs(np.sin(n)), 2) for n in range(40)]
    faces[7:20] = [rest + random.normal(0, 0.05, rest.shape) for _ in range(13)]
    blink = rest.copy()
    for lids in LIDS:
        for upper, lower in lids:
            blink[upper] = rest[lower]
    faces[12] = blink
    poses = random.normal(0, 0.02, (40, 3))
    poses[9] = (0, 1.2, 0)  # looks away
    found = resting(np.stack(faces), poses)
    assert found in set(range(7, 20)) - {9, 12}


def test_one_frame_is_at_rest_with_itself():
    assert resting(one(face(1)), np.zeros((1, 3))) == 0


def test_a_guessed_rest_has_the_firm_parts_and_a_shut_mouth():
    rest = face(12)
    target = speaking(rest, 14, 4)
    guess = guess_rest(target)
    assert mouth_opening(one(guess))[0] < 0.5 * mouth_opening(one(target))[0]
    firm = [6, 168, 10, 151, 9]  # bridge of the nose, forehead
    assert np.abs(guess - target)[firm].max() < 2
    assert np.abs(guess - rest)[:468].mean() < np.abs(MEAN - rest)[:468].mean()
