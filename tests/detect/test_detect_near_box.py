"""A landmarker's faces for boxes of somebody else: the right ones, each once, small ones too."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from facecli.detect.face import Face
from facecli.detect.near_box import SAME_FACE, face_near, faces_near, overlap
from standins import tiny as drawn

blobs = drawn.BlobLandmarker()


@given(
    st.floats(8, 150), st.floats(8, 110), st.floats(3.0, 5.5), st.floats(-0.3, 0.3), st.floats(0.8, 1.3)
)  # half-way out of the picture, too
@settings(max_examples=40)
def test_small_faces_are_found_in_the_enlarged_region(x, y, size, shift, scale):
    ellipse = (x, y, size, size)
    image = drawn.picture([ellipse, (80.0, 60.0, 3.0, 3.0)])
    seen = np.argwhere((image[..., 0] > 150) & (np.hypot(*(np.indices(image.shape[:2]) - [[[y]], [[x]]])) <= size + 1))
    exact = np.concatenate([seen.min(0)[::-1], seen.max(0)[::-1]]).astype(float)
    box = np.array(
        [x + shift * size - scale * size, y - scale * size, x + shift * size + scale * size, y + scale * size]
    )
    if np.hypot(x - 80, y - 60) < 12 or overlap(exact, box) < SAME_FACE + 0.1:
        return
    found = face_near(lambda picture: blobs.detect([picture])[0], image, box)
    assert found is not None
    assert np.abs(found.box - exact).max() < 1.0
    assert np.abs(found.points[:, :2].mean(0) - (found.box[:2] + found.box[2:]) / 2).max() < size


def test_of_several_faces_the_one_with_the_largest_overlap_is_taken():
    near, beside = Face(np.array([0.0, 0, 10, 10]), 0.2), Face(np.array([4.0, 0, 14, 10]), 0.9)
    assert face_near(lambda _: [beside, near], np.zeros((20, 20, 3), np.uint8), np.array([0.0, 0, 11, 10])) is near


def test_a_neighbour_is_nobodys_face():
    seen = []

    def detect(image):
        seen.append(image.shape)
        return [Face(np.array([0.0, 0, 10, 10]), 1.0)]

    assert face_near(detect, np.zeros((50, 60, 3), np.uint8), np.array([8.0, 0, 18, 10])) is None
    assert seen == [(50, 60, 3), (512, 512, 3)]


def test_regions_are_moved_back_exactly():
    """Depth is scaled with the rest."""
    image = np.zeros((100, 100, 3), np.uint8)
    image[30:40, 60:70] = 255

    def detect(picture):
        if picture.shape[0] == 100:
            return []
        rows, columns = np.nonzero(picture[..., 0] > 127)
        box = np.array([columns.min(), rows.min(), columns.max(), rows.max()], float)
        points = np.array([[*box[:2], 512.0], [*box[2:], 0.0]])
        return [Face(box, 1.0, points, matrix=np.eye(4))]

    found = face_near(detect, image, np.array([60.0, 30.0, 69.0, 39.0]))
    factor = 512 / 18
    edges = 0.5 - 0.5 / factor  # of the first and last pixel that are white when enlarged
    assert np.abs(found.box - [60 - edges, 30 - edges, 69 + edges, 39 + edges]).max() < 1 / factor
    assert np.allclose(found.points[:, :2].ravel(), found.box) and np.allclose(found.points[:, 2], [18, 0])
    assert found.matrix is None


# --- several boxes ---------------------------------------------------------------------------------------------------


def boxed(x0: float, y0: float, x1: float, y1: float) -> Face:
    return Face(np.array([x0, y0, x1, y1], float), 0.9)


def seen_as(faces: list[Face], calls: list | None = None):
    """A landmarker that finds `faces` in the whole picture, and nobody when it looks closer."""

    def detect(image):
        if calls is not None:
            calls.append(image.shape)
        return faces if image.shape[0] != 512 else []

    return detect


BLANK = np.zeros((100, 200, 3), np.uint8)


def test_each_box_gets_its_face_from_one_look_at_the_picture():
    left, right, calls = boxed(10, 10, 50, 60), boxed(110, 20, 150, 70), []
    found = faces_near(seen_as([left, right], calls), BLANK, [right.box + 3, left.box - 3])
    assert found[0] is right and found[1] is left
    assert calls == [(100, 200, 3)]


def test_a_face_goes_to_the_box_that_it_overlaps_most_whatever_their_order():
    face = boxed(10, 10, 50, 60)
    boxes = [face.box + 15, face.box + 2]
    assert overlap(face.box, boxes[0]) > SAME_FACE
    assert faces_near(seen_as([face]), BLANK, boxes) == [None, face]
    assert faces_near(seen_as([face]), BLANK, boxes[::-1]) == [face, None]


def test_a_face_that_is_found_again_beside_its_own_box_counts_once():
    blobs = drawn.BlobLandmarker()
    image = drawn.picture([(80.0, 60.0, 20.0, 20.0)])

    def detect(picture):
        return blobs.detect([picture])[0]

    own, beside = np.array([60.0, 40, 100, 80]), np.array([78.0, 40, 118, 80])
    assert overlap(own, beside) > SAME_FACE  # it would do where the other box isn't
    assert face_near(detect, image, beside) is not None
    first, second = faces_near(detect, image, [beside, own])
    assert first is None and second is not None


def test_nobody_looks_closer_at_boxes_of_monstrous_size():
    calls = []
    assert faces_near(seen_as([], calls), BLANK, [np.array([-4e8, -4e8, 4e8, 4e8])]) == [None]
    assert calls == [(100, 200, 3)]


def test_no_box_no_face():
    assert faces_near(seen_as([boxed(0, 0, 9, 9)]), BLANK, []) == []
