"""Checkpoints that mention classes of packages that aren't here, as Lightning's do: read where they are only mentioned,
refused where something is made of them."""

from __future__ import annotations

import sys
import types

import pytest
import torch

from facecli.errors import InputError
from facecli.io.safe_pickle import load_checkpoint

NAME = "absent_package.callbacks.Callback"


@pytest.fixture
def absent(monkeypatch):
    """A class of a package that is only there while something is written."""
    made = type("Callback", (), {"__module__": "absent_package.callbacks"})
    for name in ("absent_package", "absent_package.callbacks"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    sys.modules["absent_package.callbacks"].Callback = made
    return made


@pytest.mark.parametrize("zipped", [True, False])
def test_a_class_for_a_key_becomes_its_name(zipped, absent, tmp_path):
    path = tmp_path / "a.ckpt"
    content = {"first": 1, "callbacks": {absent: {"best": torch.tensor(2.0)}, "other": absent}, "last": 3}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    found = load_checkpoint(path, inert=[NAME], mmap=True)
    assert found == {"first": 1, "callbacks": {NAME: {"best": torch.tensor(2.0)}, "other": NAME}, "last": 3}
    assert list(found) == ["first", "callbacks", "last"]


def test_what_is_not_named_stays_refused(absent, tmp_path):
    torch.save({absent: 1}, path := tmp_path / "a.ckpt")
    for inert in ([], ["absent_package.callbacks.Other"], ["absent_package.Callback"]):
        with pytest.raises(InputError, match=r"besides weights it asks for absent_package\.callbacks\.Callback"):
            load_checkpoint(path, inert=inert)


@pytest.mark.parametrize("with_state", [True, False])
def test_nothing_is_made_of_it(with_state, absent, tmp_path):
    thing = absent()
    if with_state:
        thing.best = 1
    torch.save({"callback": thing}, path := tmp_path / "a.ckpt")
    with pytest.raises(InputError, match=r"a\.ckpt: is refused"):
        load_checkpoint(path, inert=[NAME])


def test_it_is_not_called(absent, tmp_path):
    class Call:
        def __reduce__(self):
            return absent, ()

    torch.save({"callback": Call()}, path := tmp_path / "a.ckpt")
    with pytest.raises(InputError, match="is refused"):
        load_checkpoint(path, inert=[NAME])


def test_left_in_the_file_tensors_are_the_same(tmp_path):
    content = {"a": torch.arange(5.0), "nested": {"b": torch.eye(3, dtype=torch.float16)}, "shared": None}
    content["shared"] = content["a"][2:]
    torch.save(content, path := tmp_path / "a.pt")
    found = load_checkpoint(path, mmap=True)
    assert torch.equal(found["a"], content["a"]) and torch.equal(found["nested"]["b"], content["nested"]["b"])
    assert torch.equal(found["shared"], content["a"][2:])


@pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
def test_cut_files_are_refused_when_left_in_place_too(kept, tmp_path):
    torch.save({"a": torch.rand(50_000)}, path := tmp_path / "a.pt")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(InputError, match="is cut"):
        load_checkpoint(path, mmap=True)
