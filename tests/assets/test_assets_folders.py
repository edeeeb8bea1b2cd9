"""Models that are folders: found, checked, fetched as archives, imported; whole or not at all."""

from __future__ import annotations

import io
import json
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from facecli.assets import archives, importing, places, store
from facecli.assets.catalogue import Asset, Login
from facecli.cli.assets import app
from facecli.errors import EXIT_SOME_FAILED, InputError, MissingAssetError


def checkpoint(content: bytes = bytes(5000)) -> bytes:
    """A zip archive, as PyTorch's checkpoints are."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("archive/data.pkl", content)
    return packed.getvalue()


CKPT = "detail/checkpoints/deca-epoch=03-val_loss/dataloader_idx_0=3.25.ckpt"
FILES = {"cfg.yaml": b"detail: {model: {}}\n", CKPT: checkpoint()}
MARKS = ("cfg.yaml", "**/*.ckpt")
MODEL = Asset("emoca_v2", "EMOCA_v2", license="research only", register="https://emoca.example.org", contains=MARKS)
OTHER = Asset("emoca_v1", "EMOCA", license="research only", register="https://emoca.example.org", contains=MARKS)


@pytest.fixture(autouse=True)
def catalogue(known):
    known(MODEL, OTHER)


def write(folder: Path, files: dict[str, bytes] = FILES) -> Path:
    for name, body in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    places.rescan()
    return folder


def pack(path: Path, root: str = "EMOCA_v2/", files: dict[str, bytes] = FILES) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, body in files.items():
            archive.writestr(root + name, body)
    return path


def here(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def visible() -> set[str]:
    """What lies in the data folder; nothing half-made may be left there."""
    folder = places.data_folder()
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"} if folder.exists() else set()


# ------------------------------------------------------------------------------------------------ finding


def test_folder_is_found_where_research_systems_keep_it(tmp_path):
    model = write(tmp_path / "work" / "assets" / "EMOCA" / "models" / "EMOCA_v2")
    assert store.require(MODEL) == store.find(MODEL) == model
    # a folder that merely has the name of a model is none
    assert store.state(OTHER).status == "missing"
    inner = write(tmp_path / "work" / "assets" / "EMOCA" / "models" / "EMOCA")
    assert store.require(OTHER) == inner


def test_place_may_be_the_folder_itself(tmp_path, monkeypatch):
    monkeypatch.setenv(places.FOLDERS_VARIABLE, str(write(tmp_path / "EMOCA_v2")))
    assert store.find(MODEL) == tmp_path / "EMOCA_v2"


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"cfg.yaml": b"x"}, r"holds no \*\.ckpt"),
        ({"cfg.yaml": b"", CKPT: FILES[CKPT]}, r"cfg\.yaml is empty"),
        ({"cfg.yaml": b"x", CKPT: FILES[CKPT][:-40]}, r"dataloader_idx_0=3\.25\.ckpt is no whole archive"),
        ({"cfg.yaml": b"x", CKPT: b"<!DOCTYPE html>"}, "web page"),
    ],
)
def test_half_a_folder_is_bad_and_says_what_is_wrong(tmp_path, files, words):
    write(places.data_folder() / "EMOCA_v2", files)
    assert store.find(MODEL) is None
    with pytest.raises(MissingAssetError, match=words) as caught:
        store.require(MODEL)
    assert "https://emoca.example.org" in str(caught.value)


def test_check_reads_checkpoints_to_their_end():
    model = write(places.data_folder() / "EMOCA_v2")
    result = CliRunner().invoke(app, ["check"])
    assert result.exit_code == 0 and f"{model} (no known hash; right by the checksums in it)" in result.stdout
    damaged = bytearray(FILES[CKPT])
    damaged[2000] ^= 1
    (model / CKPT).write_bytes(damaged)
    assert store.find(MODEL)  # a quick look sees a whole archive
    result = CliRunner().invoke(app, ["check"])
    assert result.exit_code == EXIT_SOME_FAILED
    assert f"{CKPT} is damaged: the checksum of archive/data.pkl in it is wrong" in result.stdout


def test_list_shows_it_as_any_file():
    model = write(places.data_folder() / "EMOCA_v2")
    rows = [json.loads(line) for line in CliRunner().invoke(app, ["list", "--json"]).stdout.splitlines()]
    assert [(row["file"], row["status"], row["kind"]) for row in rows] == [
        ("EMOCA_v2", "present", "folder"), ("EMOCA", "missing", "folder"),
    ]  # fmt: skip
    assert rows[0]["path"] == str(model)


# ------------------------------------------------------------------------------------------------ fetching


def fetchable(server, body: bytes) -> Asset:
    server.serve("/models/EMOCA_v2.zip", body)
    return Asset("emoca_v2", "EMOCA_v2", url=server.url("/models/EMOCA_v2.zip"), contains=MARKS)


@pytest.mark.parametrize("root", ["EMOCA_v2/", "", "models/EMOCA_v2/"])
def test_fetched_archive_is_unpacked(server, tmp_path, root):
    wanted = fetchable(server, pack(tmp_path / "x.zip", root, FILES | {"detail/notes.txt": b"hello"}).read_bytes())
    final = store.fetch(wanted)
    assert final == places.data_folder() / "EMOCA_v2"
    assert here(final) == FILES | {"detail/notes.txt": b"hello"} and visible() == {"EMOCA_v2"}
    assert store.require(wanted) == final
    store.fetch(wanted)
    assert len(server.paths["/models/EMOCA_v2.zip"].requests) == 1


def test_fetched_with_a_login(secure, tmp_path):
    from facecli.assets.login import Credentials

    body = pack(tmp_path / "x.zip").read_bytes()
    secure.serve("/get.php?file=EMOCA_v2.zip", body, login=("me", "secret"))
    login = Login(secure.url(""), secure.url("/get.php?file=EMOCA_v2.zip"), "TEST")
    wanted = Asset("emoca_v2", "EMOCA_v2", contains=MARKS, login=login)
    assert here(store.fetch(wanted, credentials=lambda _: Credentials("me", "secret"))) == FILES


def test_mirror_has_the_archive(server, tmp_path, monkeypatch):
    server.serve("/mirror/EMOCA_v2.zip", pack(tmp_path / "x.zip").read_bytes())
    monkeypatch.setenv(places.MIRROR_VARIABLE, server.url("/mirror"))
    assert here(store.fetch(MODEL)) == FILES


def test_bad_folder_is_replaced(server, tmp_path):
    write(places.data_folder() / "EMOCA_v2", {"cfg.yaml": b"", "old.txt": b"old"})
    wanted = fetchable(server, pack(tmp_path / "x.zip").read_bytes())
    assert here(store.fetch(wanted)) == FILES and visible() == {"EMOCA_v2"}


def test_archive_of_something_else_leaves_nothing(server, tmp_path):
    wanted = fetchable(server, pack(tmp_path / "x.zip", "EMOCA/").read_bytes())
    with pytest.raises(MissingAssetError, match=r"holds no folder EMOCA_v2 with cfg\.yaml and"):
        store.fetch(wanted)
    assert visible() == set()


def test_damaged_archive_leaves_nothing(server, tmp_path):
    body = bytearray(pack(tmp_path / "x.zip").read_bytes())
    body[len(body) // 2] ^= 1
    with pytest.raises(MissingAssetError, match="damaged archive"):
        store.fetch(fetchable(server, bytes(body)))
    assert visible() == set()


# ------------------------------------------------------------------------------------------------ hostile archives


def link(name: str, target: str = "/etc/passwd") -> tuple[zipfile.ZipInfo, str]:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info, target


def hostile_zip(path: Path, *more: tuple[zipfile.ZipInfo | str, str | bytes]) -> Path:
    pack(path)
    with zipfile.ZipFile(path, "a") as archive:
        for name, body in more:
            archive.writestr(name, body)
    return path


@pytest.mark.parametrize(
    ("member", "words"),
    [
        (("EMOCA_v2/../../evil.txt", b"evil"), "leads out of its folder"),
        (("EMOCA_v2/a/../../evil.txt", b"evil"), "leads out of its folder"),
        (("EMOCA_v2/..\\evil.txt", b"evil"), "leads out of its folder"),
        (("EMOCA_v2/C:evil.txt", b"evil"), "leads out of its folder"),
        (("EMOCA_v2//etc/evil.txt", b"evil"), "leads out of its folder"),
        (link("EMOCA_v2/passwd"), "is a link"),
    ],
)
def test_hostile_members_spoil_the_archive(tmp_path, member, words):
    with pytest.raises(InputError, match=words) as caught:
        importing.import_file(hostile_zip(tmp_path / "model.zip", member))
    assert "\n" not in str(caught.value) and visible() == set()
    assert not list(tmp_path.rglob("evil.txt"))


def test_links_of_a_tar_spoil_it(tmp_path):
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as archive:
        for name, body in FILES.items():
            info = tarfile.TarInfo(f"EMOCA_v2/{name}")
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
        info = tarfile.TarInfo("EMOCA_v2/passwd")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(InputError, match="is a link"):
        importing.import_file(tmp_path / "model.tar.gz")
    assert visible() == set()


def test_absurd_sizes_are_refused_before_they_are_written(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "LARGEST_FOLDER", 10_000)
    with zipfile.ZipFile(pack(tmp_path / "model.zip"), "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("EMOCA_v2/bomb", bytes(1 << 20))
    with pytest.raises(InputError, match=r"unpacks to 1,05\d,\d+ bytes"):
        importing.import_file(tmp_path / "model.zip")
    assert visible() == set()


def test_members_outside_the_folder_are_left_alone(tmp_path):
    path = hostile_zip(tmp_path / "model.zip", ("../evil.txt", b"evil"), ("readme.txt", b"hello"), link("latest"))
    (taken,) = importing.import_file(path)
    assert here(taken.path) == FILES and visible() == {"EMOCA_v2"}


# ------------------------------------------------------------------------------------------------ importing


def test_import_of_archives(tmp_path):
    both = pack(tmp_path / "both.zip", "models/EMOCA_v2/")
    with zipfile.ZipFile(both, "a") as archive:
        for name, body in FILES.items():
            archive.writestr(f"models/EMOCA/{name}", body)
    assert {taken.asset for taken in importing.import_file(both)} == {MODEL, OTHER}
    assert here(store.require(OTHER)) == FILES


def test_import_of_an_archive_without_a_folder_goes_by_its_name(tmp_path):
    with pytest.raises(InputError, match="none of the files"):
        importing.import_file(pack(tmp_path / "download.zip", ""))
    (taken,) = importing.import_file(pack(tmp_path / "EMOCA_v2 (1).zip", ""))
    assert taken.asset == MODEL and here(taken.path) == FILES


def test_import_of_folders_below_one(tmp_path):
    downloads = tmp_path / "downloads"
    write(downloads / "EMOCA" / "models" / "EMOCA_v2")
    write(downloads / "EMOCA" / "models" / "EMOCA", {"cfg.yaml": b"x"})
    (downloads / "holiday.jpg").write_bytes(b"jpg")
    result = CliRunner().invoke(app, ["import", str(downloads)])
    assert result.exit_code == EXIT_SOME_FAILED
    assert result.stdout == f"{places.data_folder() / 'EMOCA_v2'}\n" and here(store.require(MODEL)) == FILES
    assert "holds no *.ckpt" in result.stderr and visible() == {"EMOCA_v2"}


def test_import_of_the_folder_itself_and_of_what_is_there(tmp_path, monkeypatch):
    monkeypatch.chdir(write(tmp_path / "EMOCA_v2"))
    (taken,) = importing.import_path(".")
    assert here(taken.path) == FILES
    (again,) = importing.import_path(taken.path)
    assert again.path == taken.path and here(taken.path) == FILES


def test_import_follows_links_to_a_large_disk(tmp_path):
    model = write(tmp_path / "EMOCA_v2")
    (model / CKPT).rename(tmp_path / "weights.ckpt")
    (model / CKPT).symlink_to(tmp_path / "weights.ckpt")
    (taken,) = importing.import_path(model)
    assert here(taken.path) == FILES and not (taken.path / CKPT).is_symlink()
