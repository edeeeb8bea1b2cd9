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


def test_files_of_one_model(free, restricted, monkeypatch):
    from facecli import registry
    from facecli.plugin import Plugin

    plugin = Plugin("net", "", "MIT", "research only", assets=(free, restricted), optional_assets=(FLAME,))
    monkeypatch.setattr(registry, "plugins", lambda: {"net": plugin})
    rows = [json.loads(line) for line in assets("list", "--model", "net", "--json").stdout.splitlines()]
    assert [(row["name"], row["used_by"]) for row in rows] == [
        ("model", ["net"]), ("nc", ["net"]), ("flame", ["net (optional)"]),
    ]  # fmt: skip
    result = assets("get", "--model", "net", "--accept-license")
    assert result.stdout.split() == [str(places.data_folder() / name) for name in ("model.bin", "nc.bin")]
    assert "3 files known, 1 missing" in assets("list", "--model", "net").stderr
    assert isinstance(assets("get", "--model", "nett", ok=False).exception, UsageError)


def test_one_question_a_licence(server, known, monkeypatch):
    for name in ("a", "b"):
        server.serve(f"/{name}.bin", BODY)
    known(*(Asset(name, f"{name}.bin", server.url(f"/{name}.bin"), license="research only") for name in ("a", "b")))
    monkeypatch.setattr("facecli.cli.assets._is_terminal", lambda: True)
    result = assets("get", "a", "b", input="y\n")
    assert result.stderr.count("Do you accept this licence (research only)?") == 1
    assert result.stdout.count(".bin\n") == 2
    for name in ("a", "b"):
        (places.data_folder() / f"{name}.bin").unlink()
    places.rescan()
    result = assets("get", "a", input="n\n", ok=False)
    assert result.exit_code == UsageError.exit_code and "not fetched" in result.stderr


def test_table_fits_a_terminal(known, monkeypatch):
    """Long lists stay readable on 100 columns: a line an asset, but for long addresses."""
    import io

    from rich.console import Console

    from facecli.cli import console
    from facecli.morphable import files

    known(*(value for value in vars(files).values() if isinstance(value, Asset)))
    terminal = Console(file=io.StringIO(), force_terminal=True, color_system=None, width=100)
    monkeypatch.setattr(console, "stdout_console", lambda: terminal)
    assets("list")
    lines = terminal.file.getvalue().splitlines()
    assert max(map(len, lines)) <= 100
    (flame,) = (line for line in lines if line.startswith("flame "))
    assert flame.split() == ["flame", "missing", "generic_model.pkl:", "get,", "with", "your", "log-in"]
    assert len(lines) <= 2 + 2 * len(catalogue_names())


def catalogue_names() -> list[str]:
    from facecli.assets import catalogue as module

    return list(module.catalogue())


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
