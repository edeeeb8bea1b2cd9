"""`facecli assets` as users type it."""

from __future__ import annotations

import json
import zipfile

import pytest
from badserver import sha256
from typer.testing import CliRunner

from facecli.assets import places, store
from facecli.assets.catalogue import Asset
from facecli.cli.assets import app
from facecli.errors import MissingAssetError, UsageError

BODY = bytes(range(256)) * 40


@pytest.fixture
def free(server):
    server.serve("/model.bin", BODY)
    return Asset("model", "model.bin", server.url("/model.bin"), len(BODY), sha256(BODY), "MIT")


@pytest.fixture
def restricted(server):
    server.serve("/nc.bin", BODY)
    return Asset("nc", "nc.bin", server.url("/nc.bin"), license="non-commercial research")


FLAME = Asset("flame", "generic_model.pkl", license="FLAME licence", register="https://flame.example.org")


@pytest.fixture(autouse=True)
def catalogue(known, free, restricted, monkeypatch):
    from facecli import registry

    monkeypatch.setattr(registry, "plugins", dict)
    known(free, restricted, FLAME)


def assets(*arguments: str, ok: bool = True, **options):
    result = CliRunner().invoke(app, list(arguments), **options)
    if ok:
        assert result.exit_code == 0, result.output
    return result


def test_list_tells_present_missing_and_bad():
    assets("get", "model")
    (places.data_folder() / "generic_model.pkl").write_bytes(b"<html>")
    places.rescan()
    rows = {row["name"]: row for row in map(json.loads, assets("list", "--json").stdout.splitlines())}
    assert {name: row["status"] for name, row in rows.items()} == {"model": "present", "nc": "missing", "flame": "bad"}
    assert rows["model"]["path"] == str(places.data_folder() / "model.bin")
    table = assets("list").stdout
    assert str(places.data_folder() / "model.bin") in table and "facecli assets get nc" in table
    assert "https://flame.example.org, then facecli assets import" in table


def test_get_prints_the_path_on_stdout_and_the_licence_on_stderr():
    result = assets("get", "model")
    assert result.stdout == f"{places.data_folder() / 'model.bin'}\n"
    assert "licence: MIT" in result.stderr
    assert "is there already" in assets("get", "model").stderr


def test_get_to_another_folder(tmp_path):
    assets("get", "model", "--to", str(tmp_path / "shared"))
    assert (tmp_path / "shared" / "model.bin").read_bytes() == BODY


def test_other_licences_want_a_yes():
    result = assets("get", "nc", ok=False)
    assert result.exit_code == 2 and "--accept-license" in result.stderr and "non-commercial" in result.stderr
    assert store.find(Asset("nc", "nc.bin")) is None
    assets("get", "nc", "--accept-license")
    assert store.find(Asset("nc", "nc.bin"))


def test_get_of_a_registered_file_names_the_page_and_the_rest_is_done(free):
    result = assets("get", "flame", "model", ok=False)
    assert result.exit_code == MissingAssetError.exit_code
    assert "https://flame.example.org" in result.stderr and "facecli assets import" in result.stderr
    assert store.find(free)


def test_all_free_means_permissive(free, restricted):
    assets("get", "--all-free")
    assert store.find(free) and store.find(restricted) is None


def test_empty_and_unknown_names():
    assert isinstance(assets("get", ok=False).exception, UsageError)
    error = assets("get", "modle", ok=False).exception
    assert isinstance(error, UsageError) and "Did you mean model" in str(error)
    assert isinstance(assets("check", "nonsense", ok=False).exception, UsageError)


def test_check_reads_to_the_end():
    assert "none of the files" in assets("check").stderr
    assets("get", "model")
    assert assets("check").stdout.startswith("ok       model: ")
    path = places.data_folder() / "model.bin"
    status = path.stat()
    path.write_bytes(BODY[:-1] + b"?")
    import os

    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # same length and time: only reading finds it
    result = assets("check", ok=False)
    assert result.exit_code == 1 and result.stdout.startswith("bad      model: ") and sha256(BODY) in result.stdout
    assert assets("check", "flame", ok=False).exit_code == 3


def test_bad_file_is_replaced_by_get(free):
    path = places.data_folder() / "model.bin"
    path.parent.mkdir()
    path.write_bytes(b"<html>")
    assets("get", "model")
    assert path.read_bytes() == BODY and store.require(free) == path


def test_import_of_files_folders_and_archives(tmp_path, free):
    folder = tmp_path / "downloads"
    folder.mkdir()
    with zipfile.ZipFile(folder / "FLAME.zip", "w") as archive:
        archive.writestr("FLAME2020/generic_model.pkl", b"\x80\x02 model")
    (folder / "model (1).bin").write_bytes(BODY)
    (folder / "holiday.jpg").write_bytes(b"jpg")
    rows = [json.loads(line) for line in assets("import", str(folder), "--json").stdout.splitlines()]
    assert {row["name"] for row in rows} == {"flame", "model"}
    assert store.require(free) and store.require(FLAME).read_bytes() == b"\x80\x02 model"


def test_import_names_what_it_cannot_use_and_does_the_rest(tmp_path, free):
    (tmp_path / "holiday.jpg").write_bytes(b"jpg")
    (tmp_path / "m").write_bytes(BODY)
    result = assets("import", str(tmp_path / "holiday.jpg"), str(tmp_path / "absent"), str(tmp_path / "m"), ok=False)
    assert result.exit_code == 1 and store.find(free)
    assert "holiday.jpg: is none of the files" in result.stderr and "absent: no such file" in result.stderr


def test_import_of_a_folder_names_a_broken_file(tmp_path, free):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "model.bin").write_bytes(BODY[:-1])
    result = assets("import", str(tmp_path / "d"), ok=False)
    assert result.exit_code == 1 and "has 10,239 bytes, expected 10,240" in result.stderr
