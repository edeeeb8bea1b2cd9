"""Files that are made of what their publishers hand out: of an archive, fetched or brought, or of a folder; once."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from facecli.assets import places, store
from facecli.assets.catalogue import Asset
from facecli.assets.download import FetchError
from facecli.cli.assets import app
from facecli.errors import EXIT_MISSING_FILE, EXIT_SOME_FAILED, EXIT_USAGE, InputError
from facecli.morphable import ict_convert
from facecli.morphable.ict_assets import ICT_FACEKIT
from facecli.morphable.ict_files import read_ict
from standins import ict as standin

FILES = {"neutral.txt": b"1 2 3", "smile.txt": b"4 5"}
NUMBERS = Asset(
    "numbers", "numbers.npz", url="http://nowhere.invalid/master.zip", archive="numbers-master.zip", license="MIT",
    member="Model/neutral.txt", extract="test_assets_extract:to_npz",
)  # fmt: skip


def to_npz(source, target):
    """The tests' own extraction: all numbers in a row."""
    if source.is_dir():
        texts = [(source / name).read_text() for name in FILES]
    else:
        with zipfile.ZipFile(source) as archive:
            root = next(n for n in archive.namelist() if n.endswith("neutral.txt")).removesuffix("neutral.txt")
            texts = [archive.read(root + name).decode() for name in FILES]
    if "nonsense" in texts:
        raise InputError(f"{source}:Model/smile.txt", "holds nonsense", "get it again")
    np.savez(target, numbers=np.array(" ".join(texts).split(), float))


def interrupted(source, target):
    target.write_bytes(b"half")
    raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def known_numbers(known):
    known(NUMBERS)


@pytest.fixture
def published(server, known, tmp_path):
    """The asset, whose archive the server has; `behaviour` says how it gives it."""

    def publish(files=FILES, **behaviour) -> Asset:
        body = pack(tmp_path / "published.zip", files).read_bytes()
        publish.behaviour = server.serve("/master.zip", body, **behaviour)
        asset = replace(NUMBERS, url=server.url("/master.zip"))
        known(asset)
        return asset

    return publish


def pack(path: Path, files=FILES, root: str = "numbers-master/Model/") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("numbers-master/texture.png", np.random.default_rng(0).bytes(20_000))
        for name, body in files.items():
            archive.writestr(root + name, body)
    return path


def write(folder: Path, files=FILES) -> Path:
    folder.mkdir(parents=True)
    for name, body in files.items():
        (folder / name).write_bytes(body)
    places.rescan()
    return folder


def numbers(path: Path) -> list[float]:
    with np.load(path) as archive:
        return archive["numbers"].tolist()


def visible() -> set[str]:
    folder = places.data_folder()
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"} if folder.exists() else set()


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


# ------------------------------------------------------------------------------------------------------ fetching


def test_what_is_fetched_is_made_once_and_the_archive_goes(published):
    published()
    result = run("get", "numbers")
    made = places.data_folder() / "numbers.npz"
    assert result.exit_code == 0 and result.stdout == f"{made}\n" and "making it of numbers-master.zip" in result.stderr
    assert numbers(made) == [1, 2, 3, 4, 5] and visible() == {"numbers.npz"}
    assert "is there already" in run("get", "numbers").stderr and len(published.behaviour.requests) == 1
    assert run("check", "numbers").stdout.startswith(f"ok       numbers: {made} (no known hash; right by the checksums")


def test_a_cut_download_goes_on(published):
    asset = published(break_after=8000, etag='"1"')
    assert numbers(store.fetch(asset)) == [1, 2, 3, 4, 5] and visible() == {"numbers.npz"}
    assert [request.get("Range") for request in published.behaviour.requests] == [None, "bytes=8000-", "bytes=16000-"]


def test_making_that_was_cut_off_needs_no_second_download(published, known):
    asset = published()
    with pytest.raises(KeyboardInterrupt):
        store.fetch(replace(asset, extract="test_assets_extract:interrupted"))
    assert visible() == {"numbers-master.zip.part", "numbers-master.zip.part.json"}
    assert numbers(store.fetch(asset)) == [1, 2, 3, 4, 5]
    assert len(published.behaviour.requests) == 1 and visible() == {"numbers.npz"}


def test_a_wrong_archive_is_told_in_one_line_and_goes(published):
    published(FILES | {"smile.txt": b"nonsense"})
    result = run("get", "numbers")
    assert result.exit_code == EXIT_MISSING_FILE and visible() == set()
    (line,) = [line for line in result.stderr.replace("\n", " ").split("error: ") if "nonsense" in line]
    assert "master.zip: Model/smile.txt holds nonsense; what came was deleted" in line
    assert len(published.behaviour.requests) == 1


def test_a_left_over_part_of_something_else_is_begun_anew(published, tmp_path):
    asset = published()
    places.data_folder().mkdir(parents=True)
    pack(places.data_folder() / "numbers-master.zip.part", FILES | {"smile.txt": b"nonsense"})
    assert numbers(store.fetch(asset)) == [1, 2, 3, 4, 5] and visible() == {"numbers.npz"}


def test_a_mirror_has_the_made_file(server, monkeypatch, tmp_path):
    to_npz(write(tmp_path / "Model"), tmp_path / "made.npz")
    server.serve("/mirror/numbers.npz", (tmp_path / "made.npz").read_bytes())
    monkeypatch.setenv(places.MIRROR_VARIABLE, server.url("/mirror"))
    assert numbers(store.fetch(NUMBERS)) == [1, 2, 3, 4, 5]


# -------------------------------------------------------------------------------------- what people have already


@pytest.mark.parametrize("what", ["archive", "folder", "clone", "made"])
def test_import_takes_it_in_whatever_form(what, tmp_path):
    path = {
        "archive": lambda: pack(tmp_path / "downloads.zip"),
        "folder": lambda: write(tmp_path / "Model"),
        "clone": lambda: write(tmp_path / "numbers/Model").parent,
        "made": lambda: to_npz(write(tmp_path / "Model"), tmp_path / "numbers.npz") or tmp_path / "numbers.npz",
    }[what]()
    result = run("import", path)
    assert result.exit_code == 0, result.output
    assert numbers(places.data_folder() / "numbers.npz") == [1, 2, 3, 4, 5] and visible() == {"numbers.npz"}
    assert path.exists()


@pytest.mark.parametrize("packed", [True, False])
def test_import_of_what_is_broken_is_one_line(packed, tmp_path):
    broken = FILES | {"smile.txt": b"nonsense"}
    path = pack(tmp_path / "x.zip", broken) if packed else write(tmp_path / "Model", broken)
    result = run("import", path)
    assert result.exit_code == EXIT_SOME_FAILED and result.stderr.count("error:") == 1
    assert "holds nonsense" in result.stderr.replace("\n", " ") and visible() == set()


def test_a_folder_in_a_place_counts_and_can_be_made_into_the_file(tmp_path):
    folder = write(tmp_path / "work/assets/clones/numbers/Model")
    assert store.require(NUMBERS) == folder
    (row,) = [json.loads(line) for line in run("list", "--json").stdout.splitlines()]
    assert (row["status"], row["path"]) == ("present", str(folder))
    assert run("check").stdout == f"ok       numbers: {folder} (no known hash)\n"
    result = run("convert", "--to", tmp_path / "work/assets")
    made = tmp_path / "work/assets/numbers.npz"
    assert result.exit_code == 0 and result.stdout == f"{made}\n" and numbers(made) == [1, 2, 3, 4, 5]
    places.rescan()
    assert store.require(NUMBERS) == made  # the file comes before the folder in one place
    assert "none of the files that gain by it" in run("convert").stderr


def test_a_folder_whose_mark_is_empty_is_bad(tmp_path):
    folder = write(tmp_path / "work/assets/Model", {"neutral.txt": b""})
    assert store.state(NUMBERS) == store.State("bad", folder, "is empty (0 bytes)")
    write(tmp_path / "work/assets/other/Model", {"smile.txt": b"1"})  # without its mark it is any folder
    assert store.candidates(NUMBERS) == [folder]


def test_convert_takes_an_archive_or_a_folder(tmp_path):
    for path in (pack(tmp_path / "x.zip"), write(tmp_path / "elsewhere")):
        result = run("convert", "numbers", path)
        assert result.exit_code == 0 and numbers(Path(result.stdout.strip())) == [1, 2, 3, 4, 5]
        Path(result.stdout.strip()).unlink()
    assert run("convert", "numbers", tmp_path / "x.zip", tmp_path / "elsewhere").exit_code == EXIT_USAGE
    result = run("convert", "numbers")
    assert result.exit_code == EXIT_MISSING_FILE
    assert "there is no folder Model to make numbers.npz of: `facecli assets get numbers`" in " ".join(
        result.stderr.split()
    )


def test_a_mark_needs_a_folder():
    with pytest.raises(ValueError, match="known by a file in a folder"):
        replace(NUMBERS, member="neutral.txt")


# --------------------------------------------------------------------------------------------------- ICT-FaceKit


@pytest.fixture
def few(monkeypatch):
    """Two shapes are all that is asked for."""
    few = (1, ("jawOpen",))
    monkeypatch.setattr(ict_convert.ict_content, "__defaults__", few)
    return standin.formula(*few)


def test_ict_facekit_from_the_server_to_the_reader(server, known, few, tmp_path):
    files = standin.obj_files(few)
    body = pack(tmp_path / "x.zip", files, "ICT-FaceKit-master/FaceXModel/").read_bytes()
    server.serve("/master.zip", body)
    known(replace(ICT_FACEKIT, url=server.url("/master.zip")))
    result = run("get", "ict-facekit")
    assert result.exit_code == 0, result.output
    assert visible() == {"ict_facekit.npz"}
    arrays = read_ict(result.stdout.strip())
    assert np.array_equal(arrays.identity, few["identity"].astype(np.float32) * 10) and len(arrays.mean) == 14_388


def test_ict_facekit_that_is_not_to_be_trusted(server, known, few, tmp_path):
    files = standin.obj_files(few) | {"../../evil": b"x"}
    known(ICT_FACEKIT)
    path = pack(tmp_path / "x.zip", files, "ICT-FaceKit-master/FaceXModel/")
    result = run("import", path)
    assert result.exit_code == EXIT_SOME_FAILED and visible() == set()
    assert "is not to be trusted: it holds a file '../../evil'" in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"gone, but politely", "the archive is no folder and no archive of OBJ files"),
        ({"readme": b"x"}, r"the archive holds no FaceXModel/generic_neutral_mesh\.obj"),
        (
            {"generic_neutral_mesh.obj": b"version https://git-lfs.github.com/spec/v1", "identity000.obj": b"v",
             "jawOpen.obj": b"v"},
            r"ICT-FaceKit-master/FaceXModel/generic_neutral_mesh\.obj is git-LFS's placeholder",
        ),
        ({"generic_neutral_mesh.obj": b"v 1 2 3"}, r"ICT-FaceKit-master/FaceXModel/ lacks identity000\.obj, jawOpen"),
    ],
)  # fmt: skip
def test_what_is_not_ict_facekit_is_told_and_deleted(server, few, tmp_path, body, words):
    if isinstance(body, dict):
        body = pack(tmp_path / "x.zip", body, "ICT-FaceKit-master/FaceXModel/").read_bytes()
    server.serve("/master.zip", body)
    with pytest.raises(FetchError, match=words) as raised:
        store.fetch(replace(ICT_FACEKIT, url=server.url("/master.zip")))
    assert ".part" not in str(raised.value) and "\n" not in str(raised.value) and visible() == set()


def test_the_catalogue_has_it():
    from facecli_open import plugin

    assert ICT_FACEKIT in plugin.assets
    assert ICT_FACEKIT.permissive and ICT_FACEKIT.fetchable and ICT_FACEKIT.packed and not ICT_FACEKIT.is_folder
    assert ICT_FACEKIT.raw == ("FaceXModel", "generic_neutral_mesh.obj")
    assert ICT_FACEKIT.archive_name == "ICT-FaceKit-master.zip"
