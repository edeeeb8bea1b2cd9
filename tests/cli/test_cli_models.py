"""`facecli models`: what each plugin offers, its licences, and whether its files are here."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from facecli import registry
from facecli.assets import places, verify
from facecli.assets.catalogue import Asset
from facecli.cli.main import app
from facecli.plugin import Plugin

WEIGHTS = Asset("weights", "weights.pth", url="https://example.org/weights.pth", license="MIT")
EXTRA = Asset("extra", "extra.pth", register="https://example.org", license="research only")
PLUGIN = Plugin(
    "alpha", "an example", "MIT", "research only", family="flame", reconstructor="nowhere:Nothing",
    landmarkers={"beta": "nowhere:Nobody"}, assets=(WEIGHTS,), optional_assets=(EXTRA,), packages=("json",),
)  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "data_folder", lambda: tmp_path / "data")
    monkeypatch.setattr(verify, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setenv(places.FOLDERS_VARIABLE, str(tmp_path / "assets"))
    (tmp_path / "assets").mkdir()
    places.rescan()
    yield tmp_path / "assets"
    places.rescan()


@pytest.fixture
def installed(monkeypatch):
    def install(*plugins, broken=()):
        monkeypatch.setattr(registry, "plugins", lambda: {plugin.name: plugin for plugin in plugins})
        monkeypatch.setattr(registry, "broken_plugins", lambda: {item.name: item for item in broken})

    return install


def rows() -> dict[str, dict]:
    result = CliRunner().invoke(app, ["models", "--json"])
    assert result.exit_code == 0, result.output
    return {row["name"]: row for row in map(json.loads, result.stdout.splitlines())}


def test_missing_and_present_files(folder, installed):
    installed(PLUGIN)
    row = rows()["alpha"]
    assert (row["ready"], row["files_missing"], row["optional_files_missing"]) == (False, ["weights"], ["extra"])
    assert row["offers"] == ["reconstruct", "landmarks: beta"] and row["weights_license"] == "research only"
    (folder / "weights.pth").write_bytes(b"weights")
    places.rescan()
    row = rows()["alpha"]
    assert (row["ready"], row["files_present"], row["files_missing"]) == (True, ["weights"], [])


def test_broken_file_is_not_present(folder, installed):
    installed(PLUGIN)
    (folder / "weights.pth").write_bytes(b"<!DOCTYPE html>")
    places.rescan()
    assert rows()["alpha"]["files_missing"] == ["weights"]


def test_missing_package_is_named(folder, installed):
    installed(Plugin("gamma", "", "MIT", "MIT", packages=("no_such_package", "json", "no_such.inner")))
    row = rows()["gamma"]
    assert row["packages_missing"] == ["no_such_package", "no_such.inner"] and not row["ready"]


def test_table_and_broken_plugins(folder, installed):
    installed(PLUGIN, broken=[registry.BrokenPlugin("delta", "delta-dist", "ImportError: no wonder")])
    result = CliRunner().invoke(app, ["models"])
    assert result.exit_code == 0
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("alpha")]
    assert "missing: weights" in line and "1 optional missing" in line and "flame" in line
    assert "warning: plugin delta (of delta-dist) can't be used: ImportError: no wonder" in result.stderr.splitlines()
    assert "delta" not in result.stdout


def test_installed_plugins_are_described(folder):
    listed = rows()
    assert listed["mediapipe"]["ready"] and "reconstruct" in listed["mediapipe"]["offers"]
    assert all(row["code_license"] and row["weights_license"] and row["summary"] for row in listed.values())
