"""Finding, checking and importing files of models."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import zipfile

import pytest
from badserver import sha256
from hypothesis import given
from hypothesis import strategies as st

from facecli import registry
from facecli.assets import catalogue, importing, places, store, verify
from facecli.assets.catalogue import FACE_LANDMARKER_TASK, Asset
from facecli.errors import InputError, MissingAssetError, UsageError
from facecli.plugin import Plugin

BODY = bytes(range(256)) * 40
MODEL = Asset(
    "model", "model.bin", url="https://example.org/model.bin", size=len(BODY), sha256=sha256(BODY), license="MIT",
    alternatives=("model_v1.bin",),
)  # fmt: skip
LICENSED = Asset(
    "flame", "generic_model.pkl", register="https://flame.example.org", license="research only",
    member="F/generic_model.pkl",
)  # fmt: skip


def put(path, body=BODY):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    places.rescan()
    return path


# ------------------------------------------------------------------------------------------------ catalogue


def test_catalogue_has_the_shared_and_the_plugins_assets(monkeypatch):
    mine, clash = Asset("mine", "mine.pth"), Asset("face_landmarker", "other.task")
    plugins = {
        "a": Plugin("a", "", "", "", assets=(mine, FACE_LANDMARKER_TASK)),
        "b": Plugin("b", "", "", "", assets=(clash,), optional_assets=(mine,)),
    }
    monkeypatch.setattr(registry, "plugins", lambda: plugins)
    shared = {asset.name: asset for asset in catalogue.shared()}
    assert "face_landmarker" in shared and "flame" in shared
    assert catalogue.catalogue() == shared | {"mine": mine, "b:face_landmarker": clash}
    assert catalogue.users_of(mine) == ["a", "b (optional)"]


def test_lookup_by_name_and_file_name(known):
    known(MODEL, LICENSED)
    assert catalogue.lookup(["flame", "model_v1.bin", "model"]) == [LICENSED, MODEL]
    assert catalogue.lookup(["FLAME", "generic_model.pkl"]) == [LICENSED]
    with pytest.raises(UsageError, match=r"unknown asset 'modle'\. Did you mean model"):
        catalogue.lookup(["modle"])


def test_model_is_no_file(known, monkeypatch):
    known(MODEL)
    monkeypatch.setattr(registry, "plugins", lambda: {"smirk": Plugin("smirk", "", "", "")})
    with pytest.raises(UsageError, match=r"SMIRK is a model, not a file: `--model smirk` means its files"):
        catalogue.lookup(["SMIRK"])


def test_asset_refuses_what_cannot_be_checked():
    with pytest.raises(ValueError, match="hex"):
        Asset("x", "x", sha256="ABC")
    with pytest.raises(ValueError, match="folder"):
        Asset("x", "../x")


def test_installed_plugins_declare_sound_assets():
    """Every asset of the catalogue says how it is come by, and under what licence."""
    for asset in catalogue.catalogue().values():
        assert asset.license, asset.name
        assert asset.url.startswith("https://") or asset.register, asset.name


# ------------------------------------------------------------------------------------------------ finding


def test_places_in_their_order(tmp_path, monkeypatch):
    first, second = tmp_path / "first", tmp_path / "second"
    monkeypatch.setenv(places.FOLDERS_VARIABLE, os.pathsep.join([str(first), str(second)]))
    expected = [
        put(first / "deep" / "deeper" / "model.bin"),
        put(second / "model.bin"),
        put(tmp_path / "work" / "assets" / "model_v1.bin"),
        put(tmp_path / "data" / "model.bin"),
    ]
    for path in expected:
        assert store.require(MODEL) == store.find(MODEL) == path
        path.unlink()
        places.rescan()
    assert store.find(MODEL) is None


def test_shallow_files_come_before_deep_ones_and_depth_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setenv(places.FOLDERS_VARIABLE, str(tmp_path / "a"))
    put(tmp_path / "a" / "b" / "model.bin")
    shallow = put(tmp_path / "a" / "model.bin")
    assert store.require(MODEL) == shallow
    shallow.unlink()
    (tmp_path / "a" / "b" / "model.bin").unlink()
    put(tmp_path.joinpath("a", *"x" * (places.DEPTH + 1), "model.bin"))
    assert store.find(MODEL) is None


def test_folder_loops_end(tmp_path, monkeypatch):
    monkeypatch.setenv(places.FOLDERS_VARIABLE, str(tmp_path / "a"))
    put(tmp_path / "a" / "model.bin")
    (tmp_path / "a" / "loop").symlink_to(tmp_path / "a", target_is_directory=True)
    assert store.require(MODEL) == tmp_path / "a" / "model.bin"


def test_good_file_behind_a_broken_one_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv(places.FOLDERS_VARIABLE, str(tmp_path / "a"))
    put(tmp_path / "a" / "model.bin", b"cut")
    good = put(tmp_path / "data" / "model.bin")
    assert store.require(MODEL) == store.find(MODEL) == good


# ------------------------------------------------------------------------------------------------ demanding


def test_missing_file_names_everything_needed():
    with pytest.raises(MissingAssetError) as caught:
        store.require(MODEL)
    text = str(caught.value)
    wanted = ("model.bin", "facecli assets get model", MODEL.url, "MIT", str(places.data_folder()))
    assert all(word in text for word in wanted) and "\n" not in text and caught.value.exit_code == 3


def test_missing_licensed_file_names_the_page():
    with pytest.raises(MissingAssetError) as caught:
        store.require(LICENSED)
    wanted = ("generic_model.pkl", "https://flame.example.org", "research only", "facecli assets import FILE")
    assert all(word in str(caught.value) for word in wanted)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"x" * 10, f"has 10 bytes, expected {len(BODY):,}"),
        (bytes(len(BODY)), f"has SHA-256 {sha256(bytes(len(BODY)))}, expected {sha256(BODY)}"),
        (b"<html>" + b" " * 100, "web page"),
    ],
)
def test_broken_file_names_expected_and_found(body, words):
    path = put(places.data_folder() / "model.bin", body)
    with pytest.raises(MissingAssetError) as caught:
        store.require(MODEL)
    assert words in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b"\n <!doctype HTML>log in", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "git-LFS"),
    ],
)
def test_impostors_are_known_without_a_hash(body, words):
    path = put(places.data_folder() / "generic_model.pkl", body)
    assert words in verify.problem(LICENSED, path)
    assert store.find(LICENSED) is None


def test_hash_is_computed_once_per_change(monkeypatch):
    path = put(places.data_folder() / "model.bin")
    hashed = []
    real = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda *args: hashed.append(1) or real(*args))
    store.require(MODEL)
    verify._memory.cache_clear()  # as a new process would start
    store.require(MODEL)
    assert len(hashed) == 1
    os.utime(path, ns=(1, 1))
    store.require(MODEL)
    assert len(hashed) == 2
    assert store.state(MODEL, thorough=True).status == "present" and len(hashed) == 3


def test_changed_file_is_noticed_even_at_the_same_length():
    path = put(places.data_folder() / "model.bin")
    store.require(MODEL)
    path.write_bytes(bytes(len(BODY)))
    os.utime(path, ns=(5, 5))
    with pytest.raises(MissingAssetError, match="SHA-256"):
        store.require(MODEL)


@pytest.mark.parametrize("content", ["not json", "[1, 2]", '{"PATH": 3}', '{"PATH": {"file": [1]}}'])
def test_garbled_memory_is_ignored(content):
    path = put(places.data_folder() / "model.bin")
    put(verify.cache_folder() / "verified.json", content.replace("PATH", str(path)).encode())
    assert store.require(MODEL) == path
    assert store.require(MODEL) == path


def test_obtain_fetches_the_permissive_and_asks_for_the_rest(server):
    server.serve("/model.bin", BODY)
    free = Asset("model", "model.bin", url=server.url("/model.bin"), sha256=sha256(BODY), license="MIT")
    notes = []
    assert store.obtain(free, note=notes.append).read_bytes() == BODY
    assert "MIT" in notes[0]
    server.serve("/other.bin", BODY)
    unfree = Asset("other", "other.bin", url=server.url("/other.bin"), license="non-commercial")
    with pytest.raises(MissingAssetError, match="assets get other"):
        store.obtain(unfree)


# ------------------------------------------------------------------------------------------------ importing


def test_import_by_hash_whatever_the_name(tmp_path, known):
    known(MODEL, LICENSED)
    (taken,) = importing.import_file(put(tmp_path / "model (1).bin"))
    assert taken.asset == MODEL and taken.path == places.data_folder() / "model.bin"
    assert store.require(MODEL).read_bytes() == BODY


def test_import_by_short_hash(tmp_path, known):
    short = Asset("short", "short.pth", sha256=sha256(BODY)[:10], license="MIT")
    known(short)
    (taken,) = importing.import_file(put(tmp_path / "download"))
    assert taken.path.name == "short.pth"


def test_import_by_name_where_no_hash_is_known(tmp_path, known):
    known(MODEL, LICENSED)
    (taken,) = importing.import_file(put(tmp_path / "generic_model.pkl", b"\x80\x02"))
    assert taken.asset == LICENSED and taken.path.read_bytes() == b"\x80\x02"


def pack_zip(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in members.items():
            archive.writestr(name, body)


def pack_tar(path, members):
    with tarfile.open(path, "w:gz") as archive:
        for name, body in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))


@pytest.mark.parametrize("pack", [pack_zip, pack_tar])
def test_import_members_of_an_archive(tmp_path, known, pack):
    known(MODEL, LICENSED)
    members = {"x/model.bin": BODY, "x/F/generic_model.pkl": b"\x80\x02", "../../evil.bin": b"evil", "x/doc.txt": b"?"}
    pack(tmp_path / "pack", members)
    taken = importing.import_file(tmp_path / "pack")
    assert {item.asset for item in taken} == {MODEL, LICENSED}
    assert {path.name for path in places.data_folder().iterdir()} == {"model.bin", "generic_model.pkl"}
    assert store.require(MODEL).read_bytes() == BODY
    assert not (tmp_path.parent / "evil.bin").exists()


def test_import_refuses_a_broken_member_and_leaves_nothing(tmp_path, known):
    known(MODEL)
    pack_zip(tmp_path / "pack.zip", {"model.bin": bytes(len(BODY) + 1)})
    with pytest.raises(InputError, match=r"pack\.zip:model\.bin: has more than the 10,240 bytes expected"):
        importing.import_file(tmp_path / "pack.zip")
    assert list(places.data_folder().iterdir()) == []


@pytest.mark.parametrize("pack", [pack_zip, pack_tar])
def test_import_of_a_damaged_archive_is_one_line(tmp_path, known, pack):
    known(MODEL)
    pack(tmp_path / "pack", {"a.bin": os.urandom(20_000), "model.bin": BODY})
    whole = (tmp_path / "pack").read_bytes()
    for damaged in (whole[:9000], whole[:20_030] + bytes(20) + whole[20_050:]):
        (tmp_path / "pack").write_bytes(damaged)
        with pytest.raises(InputError) as caught:
            importing.import_file(tmp_path / "pack")
        assert "\n" not in str(caught.value) and store.find(MODEL) is None


def test_an_archive_without_its_end_is_told_as_such(tmp_path, known):
    known(MODEL)
    with zipfile.ZipFile(tmp_path / "whole.zip", "w") as archive:
        archive.writestr("a.bin", os.urandom(20_000))
    cut = put(tmp_path / "cut.zip", (tmp_path / "whole.zip").read_bytes()[:9000])
    with pytest.raises(InputError, match=r"cut.zip: is the beginning of a zip archive, not a whole one \(download"):
        importing.import_file(cut)


def test_import_of_something_else(tmp_path, known):
    known(MODEL)
    with pytest.raises(InputError, match="none of the files that models need"):
        importing.import_file(put(tmp_path / "holiday.jpg", b"jpg"))
    with pytest.raises(InputError, match="expected 10,240"):
        importing.import_file(put(tmp_path / "model.bin", b"short"))
    with pytest.raises(InputError, match="no such file"):
        importing.import_file(tmp_path / "absent")


@given(st.binary(max_size=300))
def test_anything_can_be_looked_at(body):
    """No content of a file is an exception: it is right, or there are words for what is wrong."""
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.bin"
        path.write_bytes(body)
        assert bool(verify.problem(MODEL, path)) == (body != BODY)
        assert isinstance(verify.quick_problem(FACE_LANDMARKER_TASK, path), str)
