"""Results are whole or not there, whatever happens while they are written."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from facecli.errors import InputError, OutputError
from facecli.io.atomic import (
    TEMPORARY_PREFIX,
    atomic_write,
    output_error,
    remove_leftovers,
    replace_folder,
    temporary_name,
)


def test_whole_on_success(tmp_path):
    path = tmp_path / "new" / "folder" / "a.txt"
    with atomic_write(path) as temporary:
        temporary.write_text("x")
        assert not path.exists() and temporary.suffix == ".txt" and temporary.name.startswith(TEMPORARY_PREFIX)
    assert path.read_text() == "x" and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, InputError("a", "b")])
def test_the_old_one_stays_on_failure(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error if isinstance(error, type) else type(error)), atomic_write(path) as temporary:
        temporary.write_text("half")
        raise error
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("number, words", [
    (errno.ENOSPC, "make room on the disk"), (errno.EACCES, "choose another place with -o"),
    (errno.ENAMETOOLONG, "shorten the name"),
])  # fmt: skip
def test_errors_of_the_system_are_one_line_with_a_mend(tmp_path, number, words):
    with pytest.raises(OutputError, match=words) as caught, atomic_write(tmp_path / "a.txt"):
        raise OSError(number, os.strerror(number))
    assert str(caught.value).startswith(f"{tmp_path}/a.txt: can't be written: ") and "\n" not in str(caught.value)


def test_a_device_without_room(tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    with pytest.raises(OutputError, match="No space left on device"), atomic_write(tmp_path / "a.txt"):
        Path("/dev/full").write_text("x")


def test_a_folder_in_the_way(tmp_path):
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(OutputError, match="can't be written"), atomic_write(tmp_path / "a.txt") as temporary:
        temporary.write_text("x")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("name", ["x" * 251 + ".png", "顔" * 83 + ".png"])
def test_the_longest_names(tmp_path, name):
    """255 bytes are the most that a name may have; ours beside it must not be longer."""
    with atomic_write(tmp_path / name) as temporary:
        temporary.write_text("x")
        assert temporary.suffix == ".png"
    assert (tmp_path / name).exists()


def test_folders_are_exchanged_whole(tmp_path):
    final, new = tmp_path / "result", tmp_path / ".work"
    for folder, word in ((final, "old"), (new, "new")):
        folder.mkdir()
        (folder / word).touch()
    replace_folder(new, final)
    assert [path.name for path in tmp_path.iterdir()] == ["result"] and (final / "new").exists()
    with pytest.raises(OutputError):
        replace_folder(tmp_path / "missing", final)
    assert (final / "new").exists() and [path.name for path in tmp_path.iterdir()] == ["result"]


def test_two_that_put_a_folder_into_one_place_do_not_disturb_each_other(tmp_path):
    final = tmp_path / "result"

    def put(name: str) -> None:
        for number in range(300):
            new = tmp_path / f"{name}{number}"
            new.mkdir()
            (new / name).touch()
            replace_folder(new, final)

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(put, name) for name in ("a", "b")]:
            done.result()
    assert list(tmp_path.iterdir()) == [final]
    assert [path.name for path in final.iterdir()] in (["a"], ["b"])


def test_leftovers_of_killed_runs_go_and_those_of_living_ones_stay(tmp_path):
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom facecli.io.atomic import atomic_write\n"
        "with atomic_write(Path(sys.argv[1]) / 'a.txt') as temporary:\n"
        "    temporary.write_text('half')\n    os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    mine, foreign = temporary_name(tmp_path / "b.txt"), tmp_path / f"{TEMPORARY_PREFIX}0-1-2-c.txt"
    for path in (mine, foreign, tmp_path / "result.txt"):
        path.touch()
    assert len(list(tmp_path.iterdir())) == 4
    assert remove_leftovers(tmp_path) == 1
    assert sorted(tmp_path.iterdir()) == sorted([mine, foreign, tmp_path / "result.txt"])
    assert remove_leftovers(tmp_path / "missing") == 0


def test_output_error_without_words_of_the_system():
    assert "disk on fire" in str(output_error("a", OSError("disk\non fire")))
