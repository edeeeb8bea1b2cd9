"""Landmark files: what is written is what each system's own code reads, and it reads back the same."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facecli.detect import formats
from facecli.detect.face import Face, box_of_points
from facecli.detect.formats import Landmarks
from facecli.detect.landmarks import POINT_SETS, convert
from facecli.errors import InputError, OutputError, UsageError

GOLDEN = Path(__file__).parents[1] / "golden/landmarks"
in_a_folder = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def landmarks_of(
    point_set: str, *, frames: int = 1, faces: int = 1, seed: int = 0, fps: float | None = None, dimensions: int = 3
) -> Landmarks:
    """Random landmarks on a 640 × 480 picture; of a video, every third frame has no face."""
    generator = np.random.default_rng(seed)
    points = generator.uniform(-50, 700, (frames, faces, POINT_SETS[point_set].count, dimensions))
    boxes = np.concatenate([points[..., :2].min(2), points[..., :2].max(2)], axis=-1)
    scores = generator.random((frames, faces))
    if fps is not None:
        for values in (points, boxes, scores):
            values[1::3] = np.nan
    times = np.arange(frames) / (fps or 1)
    return Landmarks(points, scores, boxes, point_set, (640, 480), times, fps)


@pytest.fixture(scope="module")
def astronaut() -> Landmarks:
    with np.load(GOLDEN / "mediapipe_astronaut.npz") as archive:
        points = archive["mediapipe_refine1"].astype(np.float64) * 512
    face = Face(box_of_points(points), 0.9, points, "mediapipe478")
    return Landmarks.of_picture([face], "mediapipe478", (512, 512))


# --- native ----------------------------------------------------------------------------------------------------------


@in_a_folder
@given(
    point_set=st.sampled_from(list(POINT_SETS)),
    frames=st.integers(1, 6),
    faces=st.integers(1, 3),
    fps=st.sampled_from([None, 24.0, 29.97]),
    seed=st.integers(0, 2**32 - 1),
    dimensions=st.sampled_from([2, 3]),
)
def test_npz_round_trip(tmp_path, point_set, frames, faces, fps, seed, dimensions):
    frames = 1 if fps is None else frames
    original = landmarks_of(point_set, frames=frames, faces=faces, seed=seed, fps=fps, dimensions=dimensions)
    path = tmp_path / "a.npz"
    formats.write_npz(path, original, face_axis=True)
    read = formats.read_npz(path)
    np.testing.assert_array_equal(read.points, original.points.astype(np.float32))
    np.testing.assert_array_equal(read.scores, original.scores.astype(np.float32))
    np.testing.assert_array_equal(read.boxes, original.boxes.astype(np.float32))
    np.testing.assert_array_equal(read.times, original.times)
    assert (read.point_set, read.size, read.fps) == (point_set, (640, 480), fps)


def test_npz_has_the_documented_arrays(tmp_path):
    video = landmarks_of("mediapipe478", frames=7, faces=2, fps=25.0)
    formats.write_npz(tmp_path / "a.npz", video)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
        arrays = dict(archive)
    assert arrays["points"].shape == (7, 478, 3) and arrays["points"].dtype == np.float32
    assert arrays["score"].shape == (7,) and arrays["box"].shape == (7, 4)
    assert str(arrays["set"]) == "mediapipe478" and float(arrays["fps"]) == 25.0
    assert arrays["size"].tolist() == [640, 480]
    np.testing.assert_array_equal(np.isnan(arrays["points"]).all((1, 2)), [0, 1, 0, 0, 1, 0, 0])
    np.testing.assert_array_equal(formats.read_npz(tmp_path / "a.npz").points, arrays["points"][:, None])


def test_npz_keeps_what_else_the_landmarker_gave(tmp_path):
    generator = np.random.default_rng(3)
    faces = [
        Face(
            np.arange(4.0),
            0.5,
            generator.random((478, 3)),
            "mediapipe478",
            blendshapes={"_neutral": 0.25, "jawOpen": float(index)},
            matrix=np.eye(4) * (index + 1),
        )
        for index in range(2)
    ]
    formats.write_npz(tmp_path / "a.npz", Landmarks.of_picture(faces, "mediapipe478", (9, 9)), face_axis=True)
    extras = formats.read_npz(tmp_path / "a.npz").extras
    assert extras["blendshape_names"].tolist() == ["_neutral", "jawOpen"]
    np.testing.assert_array_equal(extras["blendshapes"], [[[0.25, 0], [0.25, 1]]])
    np.testing.assert_array_equal(extras["matrix"][0, 1], np.eye(4) * 2)


# --- SMIRK -----------------------------------------------------------------------------------------------------------


def test_smirk_mediapipe_is_golden(tmp_path, astronaut):
    """SMIRK: `np.load(path)` gives [478, 3] float64 with z as MediaPipe has it."""
    formats.write_smirk_mediapipe(tmp_path / "a.npy", astronaut)
    points = np.load(tmp_path / "a.npy")
    with np.load(GOLDEN / "mediapipe_astronaut.npz") as archive:
        golden = archive["smirk_478"]
    assert points.dtype == np.float64
    np.testing.assert_allclose(points, golden, atol=1e-6, rtol=0)
    np.testing.assert_array_equal(formats.read_smirk_mediapipe(tmp_path / "a.npy"), points)


def test_smirk_video_has_a_row_a_frame(tmp_path):
    video = landmarks_of("mediapipe478", frames=5, fps=30.0)
    formats.write_smirk_mediapipe(tmp_path / "a.npy", video)
    points = formats.read_smirk_mediapipe(tmp_path / "a.npy")
    assert points.shape == (5, 478, 3)
    np.testing.assert_array_equal(np.isnan(points).all((1, 2)), [0, 1, 0, 0, 1])
    np.testing.assert_allclose(points[0, :, 2] * 640, video.points[0, 0, :, 2])


@in_a_folder
@given(faces=st.integers(1, 4), seed=st.integers(0, 2**32 - 1))
def test_smirk_fan_picture_round_trip(tmp_path, faces, seed):
    picture = landmarks_of("ibug68", faces=faces, seed=seed, dimensions=2)
    formats.write_smirk_fan(tmp_path / "a.npy", picture)
    read = formats.read_smirk_fan(tmp_path / "a.npy")
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, picture.points[0].astype(np.float32))


@in_a_folder
@given(frames=st.integers(1, 8), seed=st.integers(0, 2**32 - 1))
def test_smirk_fan_video_round_trip(tmp_path, frames, seed):
    video = landmarks_of("ibug68", frames=frames, seed=seed, fps=25.0)
    formats.write_smirk_fan(tmp_path / "a.pkl", video)
    with (tmp_path / "a.pkl").open("rb") as file:  # as SMIRK does
        official = pickle.load(file)
    ours = formats.read_smirk_fan(tmp_path / "a.pkl")
    assert len(official) == len(ours) == frames
    for index, (one, other) in enumerate(zip(official, ours, strict=True)):
        if index % 3 == 1:
            assert one is None and other is None
        else:
            np.testing.assert_array_equal(one, video.points[index, 0, :, :2].astype(np.float32))
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("nothing", [None, np.zeros(1), np.array(0)])
def test_smirk_s_ways_to_say_no_face(tmp_path, nothing):
    np.save(tmp_path / "a.npy", nothing, allow_pickle=True)
    assert formats.read_smirk_fan(tmp_path / "a.npy").shape == (0, 68, 2)


# --- DECA ------------------------------------------------------------------------------------------------------------


@in_a_folder
@given(seed=st.integers(0, 2**32 - 1))
def test_deca_round_trip(tmp_path, seed):
    picture = landmarks_of("ibug68", seed=seed)
    formats.write_deca(tmp_path / "a.txt", picture)
    points = picture.points[0, 0, :, :2]
    np.testing.assert_array_equal(np.loadtxt(tmp_path / "a.txt"), points)  # as DECA does
    np.testing.assert_array_equal(formats.read_deca(tmp_path / "a.txt"), points)


def test_deca_takes_mediapipe_points(tmp_path, astronaut):
    formats.write_deca(tmp_path / "a.txt", astronaut)
    with np.load(GOLDEN / "mediapipe_astronaut.npz") as archive:
        np.testing.assert_allclose(formats.read_deca(tmp_path / "a.txt"), archive["to68"], atol=1e-6, rtol=0)


def test_deca_mat(tmp_path):
    import scipy.io

    points = np.random.default_rng(0).random((3, 68))
    scipy.io.savemat(tmp_path / "a.mat", {"pt3d_68": points, "Pose_Para": np.zeros((1, 7))})
    np.testing.assert_array_equal(formats.read_deca(tmp_path / "a.mat"), points.T)
    scipy.io.savemat(tmp_path / "b.mat", {"pt2d": points})
    with pytest.raises(InputError, match=r"b\.mat: holds no pt3d_68"):
        formats.read_deca(tmp_path / "b.mat")
    (tmp_path / "c.mat").write_bytes(b"MATLAB")
    with pytest.raises(InputError, match=r"c\.mat: not a readable \.mat"):
        formats.read_deca(tmp_path / "c.mat")


# --- EMOCA -----------------------------------------------------------------------------------------------------------


@in_a_folder
@given(
    point_set=st.sampled_from(["ibug68", "mediapipe478", "mediapipe468"]),
    version=st.sampled_from([1, 2]),
    seed=st.integers(0, 2**32 - 1),
)
def test_emoca_round_trip(tmp_path, point_set, version, seed):
    picture = landmarks_of(point_set, seed=seed)
    formats.write_emoca(tmp_path / "a.pkl", picture, version=version)
    with (tmp_path / "a.pkl").open("rb") as file:  # as EMOCA does: one load after the other
        official = [pickle.load(file) for _ in range(version + 1)]
    read = formats.read_emoca(tmp_path / "a.pkl")
    whole = point_set == "mediapipe478"
    expected = picture.points[0, 0] if whole else convert(picture.points[0, 0], point_set, "ibug68")[:, :2]
    assert official[0] == read.type_name == ("mediapipe" if whole else "kpt68")
    np.testing.assert_array_equal(official[-1], expected)
    np.testing.assert_array_equal(read.points, expected)
    assert read.confidence == (picture.scores[0, 0] if version == 2 else None)


def test_emoca_list_of_a_video(tmp_path):
    video = landmarks_of("ibug68", frames=5, fps=25.0)
    formats.write_emoca(tmp_path / "a.pkl", video)
    frames = formats.read_emoca_list(tmp_path / "a.pkl")
    assert [frame is None for frame in frames] == [False, True, False, False, True]
    np.testing.assert_array_equal(frames[3], video.points[3, 0, :, :2])


def test_pickles_name_only_modules_that_old_numpys_have(tmp_path):
    formats.write_emoca(tmp_path / "a.pkl", landmarks_of("ibug68"))
    content = (tmp_path / "a.pkl").read_bytes()
    assert b"numpy.core.multiarray" in content and b"numpy._core" not in content


# --- Deep3D ----------------------------------------------------------------------------------------------------------


@in_a_folder
@given(seed=st.integers(0, 2**32 - 1))
def test_deep3d_round_trips(tmp_path, seed):
    picture = landmarks_of("ibug68", seed=seed)
    points = picture.points[0, 0, :, :2]
    formats.write_deep3d_detection(tmp_path / "five.txt", picture)
    np.testing.assert_array_equal(
        formats.read_deep3d_detection(tmp_path / "five.txt"), convert(points, "ibug68", "five")
    )
    formats.write_deep3d_landmarks(tmp_path / "68.txt", picture)
    np.testing.assert_allclose(np.loadtxt(tmp_path / "68.txt")[:, 1], 479 - points[:, 1])  # y up
    np.testing.assert_allclose(formats.read_deep3d_landmarks(tmp_path / "68.txt", 480), points, atol=1e-9)


# --- layouts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layout", "point_set", "video", "expected"),
    [
        ("npz", "mediapipe478", False, ["a/b.c.npz"]),
        ("npz", "five", True, ["a/b.c.npz"]),
        ("smirk", "mediapipe478", False, ["mediapipe_landmarks/a/b.c.npy"]),
        ("smirk", "mediapipe478", True, ["mediapipe_landmarks/a/b.c.npy"]),
        ("smirk", "ibug68", False, ["fan_landmarks/a/b.c.npy"]),
        ("smirk", "ibug68", True, ["fan_landmarks/a/b.c.pkl"]),
        ("deca", "mediapipe478", False, ["a/b.c.txt"]),
        ("emoca", "ibug68", False, ["landmarks/a/b.c.pkl"]),
        ("emoca-v2", "mediapipe478", True, ["landmarks/a/b.c.pkl"]),
        ("deep3d", "ibug68", False, ["a/detections/b.c.txt", "a/landmarks/b.c.txt"]),
        ("deep3d", "five", False, ["a/detections/b.c.txt"]),
    ],
)
def test_layouts_write_where_they_say(tmp_path, layout, point_set, video, expected):
    relative = Path("a/b.c")
    given_landmarks = landmarks_of(point_set, frames=4 if video else 1, fps=25.0 if video else None)
    assert [str(path) for path in formats.output_paths(layout, point_set, relative, video)] == expected
    written = formats.write_layout(layout, tmp_path, relative, given_landmarks)
    assert written == [tmp_path / path for path in expected]
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(written)


@pytest.mark.parametrize(
    ("layout", "point_set", "many", "word"),
    [
        ("smirk", "mediapipe468", False, "irises"),
        ("deca", "five", False, "can't be turned into ibug68"),
        ("emoca", "now7", False, "can't be turned into ibug68"),
        ("deca", "ibug68", True, "room for one face"),
        ("mica", "ibug68", False, "unknown layout 'mica'"),
    ],
)
def test_what_a_layout_can_not_hold_is_refused_before_work(layout, point_set, many, word):
    with pytest.raises(UsageError, match=word):
        formats.check_layout(layout, point_set, many_faces=many)


@pytest.mark.parametrize("layout", formats.LAYOUTS)
def test_every_layout_takes_mediapipe_and_fan(layout):
    for point_set in ("mediapipe478", "ibug68"):
        formats.check_layout(layout, point_set, many_faces=False)


def test_a_video_in_a_layout_for_pictures_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no place for videos"):
        formats.write_layout("deca", tmp_path, Path("a"), landmarks_of("ibug68", frames=2, fps=1.0))
    assert not list(tmp_path.iterdir())


# --- bad files -------------------------------------------------------------------------------------------------------

READERS = {
    "npz": formats.read_npz,
    "smirk mediapipe": formats.read_smirk_mediapipe,
    "smirk fan": formats.read_smirk_fan,
    "deca": formats.read_deca,
    "emoca": formats.read_emoca,
    "emoca list": formats.read_emoca_list,
    "deep3d": formats.read_deep3d_detection,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("content", [None, b"", b"\x80\x04garbage", b"1 2\n3\n", b"1 2 3\n" * 68, b"\xff\xfe" * 50])
def test_bad_files_get_one_line_that_names_them(tmp_path, reader, content):
    path = tmp_path / "bad.file"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.file") as caught:
        READERS[reader](path)
    assert "\n" not in str(caught.value)


def test_wrong_contents_are_named(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((468, 3)))
    with pytest.raises(InputError, match=r"a\.npy: has an array of shape \[468, 3\] \(mediapipe478 points"):
        formats.read_smirk_mediapipe(tmp_path / "a.npy")
    np.savez(tmp_path / "b.npz", points=np.zeros((1, 68, 2)))
    with pytest.raises(InputError, match=r"b\.npz: holds no landmarks: box, fps, score, set, size, times missing"):
        formats.read_npz(tmp_path / "b.npz")
    (tmp_path / "c.txt").write_text("1 2\n" * 67)
    with pytest.raises(InputError, match=r"c\.txt: holds 67 lines of 2 numbers \(68 lines"):
        formats.read_deca(tmp_path / "c.txt")


class _Hostile:
    def __reduce__(self):
        return eval, ("__import__('pathlib').Path('pwned').touch()",)


@pytest.mark.parametrize("reader", ["smirk fan", "emoca", "emoca list"])
def test_hostile_pickles_are_refused(tmp_path, monkeypatch, reader):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps(_Hostile()) * 2)
    with pytest.raises(InputError, match=r"evil\.pkl"):
        READERS[reader](path)
    np.save(tmp_path / "evil.npy", np.array(_Hostile(), dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"evil\.npy"):
        formats.read_smirk_fan(tmp_path / "evil.npy")
    assert not (tmp_path / "pwned").exists()


def test_an_unwritable_place_is_one_line_and_leaves_nothing(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="can't be written"):
        formats.write_layout("npz", tmp_path / "file", Path("a"), landmarks_of("ibug68"))
