"""What heads of the set `wild` wear: it is the person's, fits the head, and leaves the labels alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import cKDTree

from facecli.data import head_set
from facecli.data.dress import Dress, sample_dress
from facecli.data.formula_head import FormulaHead
from facecli.data.glasses import fit_glasses, sample_glasses
from facecli.data.hand import put_hand, sample_hand
from facecli.data.head_set import HeadSet
from facecli.data.heads import HeadChoice
from facecli.data.long_hair import hang_hair, sample_long_hair
from facecli.data.render_head import HeadRenderer, streams
from facecli.data.scene import SETS
from facecli.geometry.normals import vertex_normals

SIZE = 128


@pytest.fixture(scope="module")
def full() -> HeadRenderer:
    return HeadRenderer(FormulaHead(), SETS["full"], SIZE)


@pytest.fixture(scope="module")
def wild(full) -> HeadRenderer:
    other = object.__new__(HeadRenderer)
    other.__dict__.update(full.__dict__)
    other.scene = SETS["wild"]
    return other


@pytest.fixture(scope="module")
def dressed(wild) -> list[int]:
    """The first heads of seed 5 with glasses, with long hair, with a hand."""

    def first(name: str) -> int:
        return next(index for index in range(99) if getattr(_dress(wild, index), name) is not None)

    return [first("glasses"), first("hair"), first("hand")]


def _dress(renderer: HeadRenderer, index: int, person: int | None = None) -> Dress:
    parts = streams(5, index, person)
    return sample_dress(renderer.scene.dressed, False, parts["dress"], parts["hand"])


def test_wild_is_full_with_what_people_wear(full, wild, monkeypatch):
    assert replace(SETS["wild"], name="full", dressed=0.0) == SETS["full"]
    monkeypatch.setattr(head_set, "renderer", lambda heads: {"full": full, "wild": wild}[heads.scenes])
    choice = HeadChoice("formula")
    assert HeadSet(choice, "wild").fingerprint.endswith(" dress 1")
    assert "dress" not in HeadSet(choice, "full").fingerprint


def test_a_person_keeps_glasses_and_hair_but_not_the_hand(wild):
    for person in range(12):
        dresses = [_dress(wild, index, person) for index in range(40)]
        assert all(repr((each.glasses, each.hair)) == repr((dresses[0].glasses, dresses[0].hair)) for each in dresses)
    assert 0 < sum(each.hand is not None for each in dresses) < 20


def test_shares_are_those_of_the_set(wild):
    dresses = [_dress(wild, index) for index in range(700)]
    for name, share in (("glasses", 0.22), ("hair", 0.35), ("hand", 0.08)):
        assert np.mean([getattr(each, name) is not None for each in dresses]) == pytest.approx(share, abs=0.05)
    bald = sample_dress(1.0, True, np.random.default_rng(0), np.random.default_rng(1))
    assert bald.hair is None and not sample_dress(0.0, False, np.random.default_rng(0), np.random.default_rng(1))


def test_labels_are_those_of_the_bare_head(full, wild, dressed):
    for index in dressed:
        bare, head = full.render(5, index), wild.render(5, index)
        if head.dress:
            assert (bare.image != head.image).any()
        assert (bare.vertices == head.vertices).all() and (bare.landmarks == head.landmarks).all()
        for name in ("depth", "normals", "head", "skin", "face"):
            assert (getattr(bare.labels, name) == getattr(head.labels, name)).all()
        assert head.covered.sum() > bare.covered.sum()
        assert (wild.render(5, index).image == head.image).all()


def test_glasses_are_before_the_eyes_and_outside_the_face(full):
    points = full.model.landmarks(full._mean[None])[0]
    for number in range(20):
        glasses = sample_glasses(np.random.default_rng(number))
        frame, lenses = fit_glasses(glasses, full._mean, points)
        eyes = points[36:48].reshape(2, 6, 3).mean(1)
        for eye, lens in zip(eyes, np.split(lenses.vertices, 2), strict=True):
            assert lens[0, :2] == pytest.approx(eye[:2], abs=9)
            assert 5 < lens[0, 2] - eye[2] < 28
        rims = frame.vertices[frame.vertices[:, 2] > eyes[0, 2]]
        assert _inside(full, rims) < 4
        # The temples end at the ears, not before and not far behind them.
        assert -30 < frame.vertices[:, 2].min() - (points[0, 2] - 40) < 10
        assert np.abs(frame.vertices[:, 0]).max() < np.abs(full._mean[:, 0]).max() + 12


def test_hair_lies_around_the_head_and_leaves_the_face_free(full):
    points = full.model.landmarks(full._mean[None])[0]
    for number in range(20):
        hair = replace(sample_long_hair(np.random.default_rng(number)), fringe="none")
        vertices = hang_hair(hair, full._mean, points).vertices
        over = vertices[vertices[:, 1] > points[8, 1]]
        assert _inside(full, over) < 8
        low = vertices[:, 1].min()
        assert low == pytest.approx(points[8, 1] - hair.length, abs=45)
        middle = vertices[(vertices[:, 1] < points[19, 1]) & (vertices[:, 2] > points[0, 2])]
        assert (np.abs(middle[:, 0]) > 35).all()  # eyes, nose and mouth


def test_hands_touch_the_face_from_outside(full):
    points = full.model.landmarks(full._mean[None])[0]
    normals = vertex_normals(full._mean.astype(np.float64), full._triangles)
    for number in range(8):
        hand = put_hand(sample_hand(np.random.default_rng(number)), full._mean, normals, points)
        fingers = hand.vertices[hand.place[:, 1] > 10]
        apart = cKDTree(full._mean).query(fingers)[0]
        assert apart.min() < 14
        assert _inside(full, fingers[::3]) < 6


def _inside(renderer: HeadRenderer, points: np.ndarray) -> float:
    """How far the deepest of `points` lies within the mean head, mm."""
    mean = renderer._mean.astype(np.float64)
    normals = vertex_normals(mean, renderer._triangles)
    _, nearest = cKDTree(mean).query(points)
    return float(-((points - mean[nearest]) * normals[nearest]).sum(1).min())
