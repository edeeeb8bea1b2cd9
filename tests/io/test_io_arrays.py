"""Arrays are in their files whole, and a full disk is one line without a traceback."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from facecli.io.arrays import write_npy, write_npz

ARRAYS = {
    "points": np.arange(24, dtype=np.float32).reshape(2, 3, 4)[:, 1],
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "extra/name": np.array(["é", "b"]),
    "number": np.array(3.5),
    "none": np.zeros((0, 4), np.int64),
    "frames": np.array([(1, 0.5)], [("index", np.int64), ("time", np.float64)]),
}


@pytest.mark.parametrize("compressed", [True, False])
def test_numpy_reads_them(tmp_path, compressed):
    write_npz(tmp_path / "new/a.npz", ARRAYS, compressed=compressed)
    with np.load(tmp_path / "new/a.npz", allow_pickle=False) as read:
        assert read.files == list(ARRAYS)
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(read[name], array)
            assert read[name].dtype == array.dtype and read[name].shape == array.shape
    write_npy(tmp_path / "a.npy", ARRAYS["points"])
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), ARRAYS["points"])


def test_objects_are_refused_and_the_old_file_stays(tmp_path):
    write_npz(tmp_path / "a.npz", {"a": np.zeros(1)})
    objects = np.array([{}])
    with pytest.raises(ValueError, match="allow_pickle"):
        write_npz(tmp_path / "a.npz", {"a": objects})
    with pytest.raises(ValueError, match="allow_pickle"):
        write_npy(tmp_path / "b.npy", objects)
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"] and np.load(tmp_path / "a.npz")["a"] == 0


FULL = """
import resource, sys
import numpy as np
from facecli.codes import Codes, save_codes
from facecli.detect.face import Face
from facecli.detect.formats import Landmarks, write_npz as write_landmarks
from facecli.errors import OutputError
from facecli.io.arrays import write_npy, write_npz
import torch

noise = np.random.default_rng(0).random((1, 478, 3)).astype(np.float32)
face = Face(points=noise[0], point_set="mediapipe478", box=np.zeros(4), score=1.0)
writes = (
    lambda: write_npz("a.npz", {"a": noise, "b": noise}),
    lambda: write_npz("a.npz", {"a": noise, "b": noise}, compressed=False),
    lambda: write_npy("a.npy", noise),
    lambda: save_codes("c.npz", Codes({"identity": torch.from_numpy(noise)})),
    lambda: write_landmarks("l.npz", Landmarks.of_picture([face], "mediapipe478", (9, 9))),
)
for limit in map(int, sys.argv[1:]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    for write in writes:
        try:
            write()
        except OutputError as error:
            print(limit, error)
"""


def test_a_full_disk_is_a_line_and_no_traceback(tmp_path):
    """The limit on a file's size stands for the full disk: it strikes in the header, in an array, or at the end."""
    limits = ["0", "40", "4000"]
    ran = subprocess.run([sys.executable, "-c", FULL, *limits], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert [line.split()[0] for line in lines] == [limit for limit in limits for _ in range(5)]
    assert all("can't be written: File too large" in line for line in lines)
    assert ran.stderr == ""
    assert not list(tmp_path.iterdir())
