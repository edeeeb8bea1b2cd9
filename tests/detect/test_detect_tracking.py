"""People keep their numbers."""

import numpy as np
import pytest

from facecli.detect.face import Face
from facecli.detect.tracking import FaceTracker, describe

RNG = np.random.default_rng(3)
LOOKS = [look / np.linalg.norm(look) for look in RNG.standard_normal((4, 432))]


def face(x, y, size=50.0):
    return Face(np.array([x, y, x + size, y + size]), 1.0)


def looks(person, noise=0.1):
    look = LOOKS[person] + noise * RNG.standard_normal(432) / np.sqrt(432)
    return look / np.linalg.norm(look)


def test_first_numbers_go_by_size():
    numbers = FaceTracker().update(0, [face(0, 0, 20), face(100, 0, 60)], [looks(0), looks(1)])
    assert numbers == [1, 0]


def test_two_people_cross_each_other():
    tracker = FaceTracker()
    for frame in range(60):
        left, right = face(10 + 6 * frame, 50), face(364 - 6 * frame, 50)
        order = [(left, looks(0)), (right, looks(1))]
        if frame % 2:
            order.reverse()
        numbers = tracker.update(frame, [f for f, _ in order], [a for _, a in order])
        if frame % 2:
            numbers.reverse()
        if frame == 0:
            first = numbers
        assert numbers == first


def test_somebody_returns_after_a_long_time():
    tracker = FaceTracker(patience=10)
    assert tracker.update(0, [face(0, 0), face(200, 0, 40)], [looks(0), looks(1)]) == [0, 1]
    for frame in range(1, 50):
        assert tracker.update(frame, [face(0, 0)], [looks(0)]) == [0]
    assert tracker.update(50, [face(0, 0), face(300, 200, 90)], [looks(0), looks(1)]) == [0, 1]
    assert tracker.update(51, [face(0, 0), face(300, 200, 90)], [looks(0), looks(2)])[0] == 0


def test_a_cut_to_somebody_else_gives_a_new_number():
    tracker = FaceTracker()
    assert tracker.update(0, [face(0, 0)], [looks(0)]) == [0]
    assert tracker.update(1, [face(300, 100, 120)], [looks(1)]) == [1]
    assert tracker.update(2, [face(0, 0)], [looks(0)]) == [0]


def test_no_number_twice_in_a_frame_and_no_face_no_number():
    tracker = FaceTracker()
    assert tracker.update(0, [], []) == []
    same = [face(0, 0), face(2, 0), face(4, 0)]
    assert sorted(tracker.update(1, same, [looks(0)] * 3)) == [0, 1, 2]
    assert sorted(tracker.update(2, same, [looks(0)] * 3)) == [0, 1, 2]


@pytest.mark.parametrize("box", [(-20, -20, 30, 30), (90, 90, 140, 150), (200, 200, 220, 230), (10, 10, 10, 10)])
def test_faces_at_and_beyond_the_border_are_described(box):
    image = RNG.integers(0, 255, (100, 100, 3), np.uint8)
    appearance = describe(image, Face(np.array(box, float), 1.0))
    assert appearance.shape == (432,)
    assert np.isfinite(appearance).all()


def test_light_does_not_change_who_somebody_is():
    image = RNG.integers(0, 120, (100, 100, 3), np.uint8)
    one = describe(image, face(20, 20))
    brighter = describe((image * 1.5 + 20).astype(np.uint8), face(20, 20))
    assert one @ brighter > 0.95
