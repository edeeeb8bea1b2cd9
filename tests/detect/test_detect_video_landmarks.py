"""A video's landmarks: who stands where, and what is missing."""

from __future__ import annotations

import numpy as np
import pytest

from facecli.detect.face import Face, box_of_points
from facecli.detect.video_landmarks import VideoLandmarks
from facecli.errors import OutputError


def face(x: float, size: float, *, blendshapes: dict[str, float] | None = None) -> Face:
    """A square face of 68 points whose top-left corner is at (x, 10)."""
    grid = np.linspace(0, size, 68)
    points = np.stack([x + grid, 10 + grid], axis=1)
    return Face(box_of_points(points), 0.5, points, "ibug68", blendshapes=blendshapes)


def look(person: int) -> np.ndarray:
    """An appearance that no other person has."""
    return np.eye(432)[person]


@pytest.fixture
def collected():
    video = VideoLandmarks((640, 480), 25.0)
    yield video
    video.close()


def test_people_come_by_their_size_over_the_video(collected):
    collected.add(0.0, [face(10, 50)], [look(0)])
    for time in (0.04, 0.08, 0.12):
        collected.add(time, [face(10, 50), face(300, 80)], [look(0), look(1)])
    landmarks = collected.landmarks("ibug68", "all")
    assert landmarks.points.shape == (4, 2, 68, 2) and landmarks.size == (640, 480) and landmarks.fps == 25
    np.testing.assert_array_equal(np.isnan(landmarks.scores), [[1, 0], [0, 0], [0, 0], [0, 0]])
    np.testing.assert_array_equal(np.isnan(landmarks.points).all((2, 3)), np.isnan(landmarks.scores))
    np.testing.assert_allclose(landmarks.boxes[1], [[300, 10, 380, 90], [10, 10, 60, 60]])
    np.testing.assert_allclose(landmarks.times, [0, 0.04, 0.08, 0.12])
    assert collected.landmarks("ibug68", 1).points.shape == (4, 1, 68, 2)


def test_the_largest_person_is_followed_though_another_is_larger_for_a_moment(collected):
    for time in range(8):
        collected.add(time, [face(10, 60), face(300, 70 if time == 3 else 40)], [look(0), look(1)])
    landmarks = collected.landmarks("ibug68", "largest")
    np.testing.assert_allclose(landmarks.boxes[:, 0, 0], 10)


def test_in_frames_without_the_largest_person_the_largest_face_stands_in(collected):
    collected.add(0, [face(10, 60), face(300, 40)], [look(0), look(1)])
    collected.add(1, [face(300, 40), face(500, 20)], [look(1), look(2)])
    collected.add(2, [], [])
    collected.add(3, [face(10, 60)], [look(0)])
    landmarks = collected.landmarks("ibug68", "largest")
    np.testing.assert_allclose(landmarks.boxes[:, 0, 0], [10, 300, np.nan, 10])


def test_extras_are_kept_where_every_face_has_them(collected):
    collected.add(0, [face(10, 50, blendshapes={"jawOpen": 0.5, "_neutral": 0.1})], [look(0)])
    collected.add(1, [], [])
    extras = collected.landmarks("ibug68", "largest").extras
    assert extras["blendshape_names"].tolist() == ["jawOpen", "_neutral"]
    np.testing.assert_allclose(extras["blendshapes"][0, 0], [0.5, 0.1])
    assert np.isnan(extras["blendshapes"][1]).all()
    collected.add(2, [face(10, 50)], [look(0)])
    assert not collected.landmarks("ibug68", "largest").extras


def test_results_outlive_the_collector():
    video = VideoLandmarks((640, 480), 25.0)
    assert not video
    video.add(0, [face(10, 50)], [look(0)])
    assert video
    landmarks = video.landmarks("ibug68", "largest")
    video.close()
    np.testing.assert_allclose(landmarks.points[0, 0], face(10, 50).points, rtol=1e-6)


def test_a_full_temporary_folder_is_one_line(collected, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    collected.add(0, [face(10, 50)], [look(0)])
    monkeypatch.setattr("os.posix_fallocate", full, raising=False)
    with pytest.raises(OutputError, match=r"no room for temporary files: No space left on device \(set TMPDIR"):
        collected.landmarks("ibug68", "largest")
