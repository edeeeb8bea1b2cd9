"""AFLW2000-3D's folder: the same from `.mat` and `.npy` files; what is broken is named, the rest is used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facecli.benchmark.aflw2000 import dataset
from facecli.errors import InputError, MissingAssetError, UsageError
from standins.aflw2000 import face_points, write_case, write_mat

NAMES = [f"image{number:05d}" for number in (2, 4, 6, 8, 13, 14)]
ANGLES = np.array([[0, 5, 5], [30, 0, 0], [-31, 10, 0], [61, 0, -20], [-90, 3, 1], [10, 120, 0]], float)
POINTS = np.stack([face_points(225 + 5 * row, 230, 150 + row) for row in range(len(NAMES))])


@pytest.fixture
def folder(tmp_path) -> Path:
    made = tmp_path / "AFLW2000-3D"
    for name, points, angles in zip(NAMES, POINTS, ANGLES, strict=True):
        write_case(made, name, points, angles, np.full((450, 450, 3), 90, np.uint8))
    return made


def write_npy(folder: Path) -> None:
    """What 3DDFA's and SynergyNet's programs read, with all rows for all pictures."""
    folder.mkdir(exist_ok=True)
    deep = np.concatenate([POINTS, np.zeros((6, 68, 1))], 2).transpose(0, 2, 1)
    np.save(folder / dataset.LANDMARKS["original"], deep.astype(np.float32))
    np.save(folder / dataset.LANDMARKS["reannotated"], (deep[:, :2] + 1).astype(np.float32))
    np.save(folder / dataset.YAW, ANGLES[:, 0].astype(np.float32))
    np.save(folder / dataset.SKIP, np.array([5]))
    np.save(folder / dataset.POSE, ANGLES[:5, [1, 0, 2]])
    np.save(folder / dataset.ROI, np.tile([[100, 100, 300, 300]], (6, 1)).astype(np.float32))


def test_from_mat_files_alone(folder):
    data = dataset.read(folder)
    assert data.names == NAMES
    assert list(data.landmarks) == ["original"]
    np.testing.assert_allclose(data.landmarks["original"], POINTS, atol=1e-4)
    np.testing.assert_allclose(data.yaw, ANGLES[:, 0], atol=1e-4)
    np.testing.assert_allclose(data.angles[:5], ANGLES[:5], atol=1e-4)
    assert np.isnan(data.angles[5]).all()  # beyond 99 degrees
    assert not data.problems
    reannotated, bins = data.notes
    assert dataset.LANDMARKS["reannotated"] in reannotated and "3DDFA" in reannotated
    assert dataset.YAW in bins


@pytest.mark.parametrize("where", ["", "eval", "../eval"])
def test_from_npy_files_without_any_mat(folder, where):
    from_mats = dataset.read(folder)
    for path in folder.glob("*.mat"):
        path.unlink()
    write_npy(folder / where)
    data = dataset.read(folder)
    for name in ("yaw", "angles", "boxes"):
        np.testing.assert_allclose(getattr(data, name), getattr(from_mats, name), atol=1e-3)
    np.testing.assert_allclose(data.landmarks["reannotated"], POINTS + 1, atol=1e-3)
    assert data.roi.shape == (6, 4)
    assert not data.problems and not data.notes


def test_rows_go_by_the_list_where_there_is_one(folder):
    """A picture that nobody listed has no row, and is none of the data set's."""
    write_npy(folder)
    order = [3, 0, 5, 1]
    (folder / dataset.LIST).write_text("".join(f"AFLW2000-3D_crop/{NAMES[row]}.jpg\n" for row in order))
    for name in dataset.LANDMARKS.values():
        np.save(folder / name, np.load(folder / name)[order])
    for name in (dataset.YAW, dataset.ROI):
        np.save(folder / name, np.load(folder / name)[order])
    np.save(folder / dataset.SKIP, np.array([2]))
    np.save(folder / dataset.POSE, ANGLES[[3, 0, 1]][:, [1, 0, 2]])
    data = dataset.read(folder)
    assert data.names == [NAMES[row] for row in order]
    np.testing.assert_allclose(data.landmarks["original"], POINTS[order], atol=1e-4)
    np.testing.assert_allclose(data.angles[[0, 1, 3]], ANGLES[[3, 0, 1]])
    assert np.isnan(data.angles[2]).all()


def test_limit_is_the_first_so_many(folder):
    write_npy(folder / "eval")
    data = dataset.read(folder, limit=2)
    assert data.names == NAMES[:2]
    assert {len(part) for part in (data.yaw, data.angles, data.roi, *data.landmarks.values())} == {2}


def broken_mats(folder: Path) -> dict[str, str]:
    """File -> what its error says."""
    (folder / f"{NAMES[0]}.mat").write_bytes(b"MATLAB 5.0 MAT-file" + bytes(300))
    (folder / f"{NAMES[1]}.mat").write_bytes(b"")
    (folder / f"{NAMES[2]}.mat").unlink()
    from scipy.io import savemat

    savemat(folder / f"{NAMES[3]}.mat", {"pt3d_68": np.zeros((3, 21)), "Pose_Para": np.zeros((1, 7))})
    write_mat(folder / f"{NAMES[4]}.mat", np.full((68, 2), np.nan), (0, 0, 0))
    words = ("can't be read as a MATLAB file", "is empty", "no such file", "[3, 21], not [3, 68]", "not finite")
    return dict(zip(NAMES, words, strict=False))


def test_every_broken_mat_is_named_and_the_others_are_read(folder):
    expected = broken_mats(folder)
    data = dataset.read(folder)
    told = {Path(problem.source).stem: str(problem) for problem in data.problems}
    assert told.keys() == expected.keys()
    for name, words in expected.items():
        assert words in told[name]
    assert np.isnan(data.landmarks["original"][:5]).all()
    np.testing.assert_allclose(data.landmarks["original"][5], POINTS[5], atol=1e-4)


def test_a_mat_without_its_arrays(folder):
    from scipy.io import savemat

    savemat(folder / f"{NAMES[0]}.mat", {"pt2d": np.zeros((2, 21))})
    (problem,) = dataset.read(folder).problems
    assert "has no pt3d_68" in str(problem)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (dataset.LANDMARKS["original"], np.zeros((5, 3, 68)), "has 5 rows, not 6"),
        (dataset.YAW, np.zeros((6, 2)), "has the shape [6, 2], not [N]"),
        (dataset.LANDMARKS["original"], np.array([{}] * 6), "can't be read as an array"),
        (dataset.ROI, np.array(["a"] * 6), "holds no numbers"),
        (dataset.POSE, np.zeros((6, 3)), "has 6 rows, not 5"),
    ],
)
def test_a_wrong_npy_is_named_and_done_without(folder, name, content, words):
    """What it should have told is taken from the .mat files."""
    expected = dataset.read(folder)
    np.save(folder / dataset.SKIP, np.array([5]))
    np.save(folder / name, content, allow_pickle=True)
    data = dataset.read(folder)
    (problem,) = data.problems
    assert Path(problem.source).name == name and words in str(problem)
    for part in ("yaw", "angles", "boxes"):
        np.testing.assert_array_equal(getattr(data, part), getattr(expected, part))


def test_re_annotated_landmarks_of_other_pictures_are_not_used(folder):
    write_npy(folder)
    path = folder / dataset.LANDMARKS["reannotated"]
    np.save(path, np.load(path) + 200)
    data = dataset.read(folder)
    assert list(data.landmarks) == ["original"]
    assert "another order" in str(data.problems[0])


def test_only_re_annotated_ones_wanted_and_not_there(folder):
    with pytest.raises(MissingAssetError, match=r"Reannotated\.pts68\.npy"):
        dataset.read(folder, labels=("reannotated",))


def test_a_picture_without_mat_and_a_mat_without_picture_are_cases(folder):
    (folder / f"{NAMES[0]}.mat").unlink()
    (folder / f"{NAMES[1]}.png").unlink()
    data = dataset.read(folder)
    assert data.names == NAMES
    assert len(data.problems) == 1
    assert [image.exists() for image in data.images][:3] == [True, False, True]


def test_the_programs_crops_are_not_the_pictures(folder):
    from facecli.io.images import write_image

    for name in NAMES:
        write_image(folder / f"{name}.png", np.zeros((120, 120, 3), np.uint8))
    with pytest.raises(InputError, match="not the programs' crops"):
        dataset.read(folder)


def test_no_folder_no_pictures(tmp_path):
    with pytest.raises(UsageError, match="no such folder"):
        dataset.read(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="no pictures"):
        dataset.read(tmp_path)
    with pytest.raises(UsageError, match="--eval-files"):
        dataset.read(tmp_path, eval_files=tmp_path / "nowhere")
