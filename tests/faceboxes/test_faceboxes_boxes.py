"""Priors, decoding and suppression give the official numbers, and suppression is the plain greedy loop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facecli_faceboxes.boxes import OVERLAP, decode, make_priors, suppress

GOLDEN = Path(__file__).resolve().parents[1] / "golden/synergynet"


def golden(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / f"faceboxes_{name}.npz") as archive:
        return dict(archive)


@pytest.mark.parametrize("size", [(720, 1080), (512, 512), (33, 65)])
def test_priors(size):
    known, priors = golden("priors"), make_priors(*size)
    name = "{}x{}_".format(*size)
    assert len(priors) == known[f"{name}count"] and priors.dtype == np.float32
    for part, rows in (("first40", slice(40)), ("last5", slice(-5, None)), ("strided", slice(None, None, 997))):
        assert np.abs(priors[rows] - known[name + part]).max() < 1e-6
    assert np.abs(priors.sum(0, np.float64) - known[f"{name}sum_f64"]).max() < 1e-6 * len(priors)


def test_small_priors_begin_at_their_cells_corner():
    """16 of 32 pixels, 4 of 64, one of 128 in the middle; the trap of the official layout."""
    cell = make_priors(64, 64)[:21] * 64
    assert cell[:5, :2].tolist() == [[0, 0], [8, 0], [16, 0], [24, 0], [0, 8]]
    assert cell[16:, :2].tolist() == [[0, 0], [16, 0], [0, 16], [16, 16], [16, 16]]
    assert cell[:, 2].tolist() == [32] * 16 + [64] * 4 + [128]


def test_decoding():
    known = golden("net")
    priors = make_priors(*known["image"].shape[:2])
    assert np.abs(priors - known["priors"]).max() < 1e-6
    assert np.abs(decode(known["loc"][0], priors) - known["decoded"]).max() < 1e-4


@pytest.mark.parametrize(("overlap", "kept"), [(0.3, "keep_03"), (0.5, "keep_05")])
def test_suppression(overlap, kept):
    known = golden("nms")
    boxes, scores = known["dets"][:, :4], known["dets"][:, 4]
    assert suppress(boxes, scores, overlap).tolist() == known[kept].tolist()
    assert suppress(boxes, scores, overlap, most=9).tolist() == known[kept][:9].tolist()


def plain(boxes: np.ndarray, scores: np.ndarray, overlap: float) -> list[int]:
    """Box by box and pair by pair."""
    kept: list[int] = []
    for this in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        x0, y0, x1, y1 = boxes[this]
        for other in kept:
            left, top, right, bottom = boxes[other]
            width, height = min(x1, right) - max(x0, left) + 1, min(y1, bottom) - max(y0, top) + 1
            common = max(width, 0) * max(height, 0)
            areas = (x1 - x0 + 1) * (y1 - y0 + 1) + (right - left + 1) * (bottom - top + 1)
            if common / (areas - common) >= overlap:
                break
        else:
            kept.append(this)
    return kept


whole = st.integers(0, 24)
box = st.tuples(whole, whole, whole, whole).map(lambda n: (n[0], n[1], n[0] + n[2], n[1] + n[3]))


@given(st.lists(st.tuples(box, st.integers(0, 20)), max_size=40), st.sampled_from([0.1, OVERLAP, 0.5, 1.0]))
@settings(max_examples=300)
def test_suppression_is_the_plain_loop(found, overlap):
    """Whole numbers: overlaps of exactly the limit, equal scores and equal boxes are frequent."""
    boxes = np.array([corners for corners, _ in found], np.float64).reshape(-1, 4)
    scores = np.array([score for _, score in found], np.float64)
    assert suppress(boxes, scores, overlap).tolist() == plain(boxes, scores, overlap)


def test_an_overlap_of_exactly_the_limit_goes():
    """Areas 13 and 13 in whole pixels, 6 in common: 6 / 20."""
    boxes = np.array([[0, 0, 12, 0], [7, 0, 19, 0]], np.float32)
    assert suppress(boxes, np.array([0.9, 0.8], np.float32)).tolist() == [0]
    assert suppress(boxes + [[0], [1e-3]] * np.array([[1, 0, 1, 0]]), np.array([0.9, 0.8])).tolist() == [0, 1]


def test_nothing_is_left_of_nothing():
    assert suppress(np.zeros((0, 4)), np.zeros(0)).tolist() == []
