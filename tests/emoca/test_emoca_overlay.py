"""Pictures of crops pasted back into photographs, and the panels of EMOCA's video."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facecli.crop import square_around, square_warp, warp_bicubic
from facecli.detect.face import box_of_points
from facecli.errors import UsageError
from facecli_emoca.overlay import GREEN, Panels, Pasted, drawn_head, paste_back

GOLDEN = Path(__file__).parents[1] / "golden/emoca/crop.npz"


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN) as archive:
        return dict(archive)


@pytest.fixture(scope="module")
def photo(astronaut) -> np.ndarray:
    return np.asarray(Image.open(astronaut).convert("RGB"))


@pytest.fixture(scope="module")
def pasted(golden, photo) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The golden video crop, the mask that the program would make of it, and its warp."""
    warp = square_warp(*square_around(box_of_points(golden["kpt68"]), 1.375), 224)
    crop = warp_bicubic(photo, np.linalg.inv(warp), (224, 224)).astype(np.uint8)
    return crop, drawn_head(crop), warp


@pytest.mark.parametrize("opacity", [255, 196])
def test_a_crop_is_pasted_back_as_golden(golden, pasted, opacity):
    """On black and on white, so that picture and mask are both seen."""
    for background in (0, 255):
        canvas = np.full((512, 512, 3), background, np.uint8)
        found = canvas.copy()
        Pasted(*pasted, (512, 512)).over(found, opacity)
        alpha = (golden["video_mask_back"] * opacity).astype(np.uint8)[..., None] / 255
        shown = (golden["video_back"] * 255).astype(np.uint8)
        expected = background * (1 - alpha) + shown * alpha
        assert abs(found[40:220:3, 140:320:3] - expected).max() <= 1
        assert (found[300:] == background).all()


def test_a_window_is_as_good_as_the_whole_photograph(photo, pasted):
    crop, mask, warp = pasted
    shown = warp_bicubic(crop, warp, (512, 512)).astype(np.uint8)
    alpha = (warp_bicubic(mask, warp, (512, 512)) * 255).astype(np.uint8)
    under = Image.fromarray(photo)
    under.paste(Image.fromarray(shown), (0, 0), Image.fromarray(alpha))
    np.testing.assert_array_equal(paste_back(photo, crop, mask, warp), np.asarray(under))


def test_what_lies_outside_is_cut(pasted):
    crop, mask, _ = pasted
    canvas = np.full((60, 80, 3), 7, np.uint8)
    beside = np.array([[1.0, 0, 500], [0, 1, 0], [0, 0, 1]])
    assert (paste_back(canvas, crop, mask, beside) == 7).all()
    over_edge = paste_back(canvas, crop, np.ones_like(mask), np.array([[2.0, 0, 100], [0, 2, 100], [0, 0, 1]]))
    assert (over_edge[:50, :50] != 7).any() and (over_edge[:, 70:] == 7).all()


def test_dark_pixels_count_as_drawn_by_their_product():
    """In wide integers: 16 · 16 · 16 is 0 in a byte."""
    pixels = np.array([[[16, 16, 16], [3, 3, 3], [255, 255, 0], [1, 1, 31], [1, 1, 30]]], np.uint8)
    assert drawn_head(pixels).tolist() == [[1, 0, 0, 1, 0]]


def test_panels(photo, pasted):
    crop, mask, warp = pasted
    frame = Panels().frame(photo, [crop], [mask], [warp])
    assert frame.shape == (3 * 512, 512, 3) and frame.dtype == np.uint8
    original, solid, transparent = np.split(frame, 3)
    changed = (original != photo).any(-1)
    assert (original[changed] == GREEN).all()
    rows, columns = np.nonzero(changed)
    side = 140  # of the square around the face
    assert abs(np.ptp(rows) - side) <= 1 and abs(np.ptp(columns) - side) <= 1
    assert (original[rows.min() : rows.min() + 5, columns.min() : columns.max()] == GREEN).all()
    np.testing.assert_array_equal(solid, paste_back(photo, crop, mask, warp))
    pasted_on = photo.copy()
    Pasted(crop, mask, warp, (512, 512)).over(pasted_on, 196)
    np.testing.assert_array_equal(transparent, pasted_on)
    beside = Panels(cat_dim=1).frame(photo, [crop], [mask], [warp])
    np.testing.assert_array_equal(beside, np.concatenate([original, solid, transparent], 1))


def test_panels_may_be_left_out_and_need_no_face(photo, pasted):
    crop, mask, warp = pasted
    only = Panels(include_original=False, include_transparent=False, black_background=True, use_mask=False)
    found = only.frame(photo, [crop], [mask], [warp])
    np.testing.assert_array_equal(found, paste_back(np.zeros_like(photo), crop, np.ones_like(mask), warp))
    assert (found[:30] == 0).all() and found.any()
    np.testing.assert_array_equal(Panels().frame(photo, [], [], []), np.concatenate([photo] * 3))
    with pytest.raises(UsageError, match="without any panel"):
        Panels(include_original=False, include_rec=False, include_transparent=False)
    with pytest.raises(UsageError, match="image_type is geometry_detail or"):
        Panels(image_type="inputs")


def test_hostile_places_are_drawn_nowhere(photo, pasted):
    """Codes from a file may say anything."""
    crop, mask, _ = pasted
    for scale, shift in ((1e-12, 0.0), (1.0, 1e18), (1e9, -1e9)):
        warp = np.array([[scale, 0, shift], [0, scale, shift], [0, 0, 1]])
        assert Panels().frame(photo, [crop], [mask], [warp]).shape == (1536, 512, 3)
