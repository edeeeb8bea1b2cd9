"""Damaged, foreign and hostile checkpoints are refused in one line that names the file, and nothing in them runs."""

from __future__ import annotations

import os
import pickle

import pytest
import torch
from torch import nn

from facecli.errors import FacecliError, InputError
from facecli.nn import checkpoints
from facecli.nn.fan import FAN
from facecli.nn.retinaface import RetinaFace
from facecli_fan import files

pytestmark = pytest.mark.usefixtures("trust_any_hash")


class Tiny(nn.Module):
    """A network whose checkpoint is small."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)


class Hostile:
    """Unpickled freely, it would make the file `marker`."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def refusal(asset, architecture=Tiny) -> str:
    with pytest.raises(FacecliError) as caught:
        checkpoints.read_state(asset, architecture)
    message = str(caught.value)
    assert "\n" not in message and asset.filename in message
    return message


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("wrapped", [False, True])
def test_every_official_wrapping_is_read(prefix, wrapped, own_folder):
    state = {prefix + key: value for key, value in Tiny().state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state} if wrapped else state, own_folder / files.RETINAFACE.filename)
    module = checkpoints.load_module(files.RETINAFACE, Tiny, "cpu")
    assert torch.equal(module.conv.weight, state[f"{prefix}conv.weight"])
    assert not module.training


def test_checkpoints_from_before_batch_counters_are_read(own_folder):
    state = {key: value for key, value in Tiny().state_dict().items() if "num_batches" not in key}
    torch.save(state, own_folder / files.RETINAFACE.filename, _use_new_zipfile_serialization=False)
    assert checkpoints.load_module(files.RETINAFACE, Tiny, "cpu").norm.num_batches_tracked == 0


@pytest.mark.parametrize("keep", [0.5, 0.9, 0.999])
@pytest.mark.parametrize("zipped", [False, True])
def test_truncated(keep, zipped, own_folder):
    path = own_folder / files.RETINAFACE.filename
    torch.save(Tiny().state_dict(), path, _use_new_zipfile_serialization=zipped)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    refusal(files.RETINAFACE)


def test_foreign(own_folder):
    torch.save(RetinaFace().state_dict(), own_folder / files.IBUG_2DFAN2_ALT.filename)
    message = refusal(files.IBUG_2DFAN2_ALT, FAN)
    assert "isn't the official 2dfan2_alt.pth" in message and "facecli assets get ibug_2dfan2_alt" in message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop("conv.bias"), "lacks 1 of the network's 7 tensors, the first being conv.bias"),
        (lambda state: state.update(head=torch.ones(2)), "1 tensors that the network doesn't know.*head"),
        (lambda state: state.update({"conv.bias": torch.ones(5)}), r"conv.bias has the shape \[5\], not \[4\]"),
    ],
)
def test_what_is_foreign_is_said(change, words, own_folder):
    state = Tiny().state_dict()
    change(state)
    torch.save(state, own_folder / files.RETINAFACE.filename)
    with pytest.raises(InputError, match=words):
        checkpoints.read_state(files.RETINAFACE, Tiny)


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", b"<html>no"])
def test_what_broken_downloads_leave(content, own_folder):
    (own_folder / files.RETINAFACE.filename).write_bytes(content)
    refusal(files.RETINAFACE)


@pytest.mark.parametrize("value", [[1, 2], "text", torch.ones(3), {"state_dict": 5}])
def test_checkpoints_that_hold_something_else(value, own_folder):
    torch.save(value, own_folder / files.RETINAFACE.filename)
    refusal(files.RETINAFACE)


@pytest.mark.parametrize("form", ["zip", "legacy", "plain"])
@pytest.mark.parametrize("asset", [files.DEPTH, files.SFD, files.IBUG_2DFAN2_ALT], ids=lambda asset: asset.name)
def test_hostile(form, asset, own_folder, tmp_path):
    marker = tmp_path / "ran"
    checkpoint = {"state_dict": Tiny().state_dict(), "best": Hostile(marker)}
    path = own_folder / asset.filename
    if form == "plain":
        path.write_bytes(pickle.dumps(checkpoint))
    else:
        torch.save(checkpoint, path, _use_new_zipfile_serialization=form == "zip")
    refusal(asset)
    assert not marker.exists()


def test_a_hostile_depth_network_never_reaches_the_package(own_folder, standins, tmp_path):
    """The package itself would unpickle this one freely."""
    fan = pytest.importorskip("facecli_fan.fan")
    for asset in (files.SFD, files.FAN_3D):
        (own_folder / asset.filename).symlink_to(standins / asset.filename)
    marker = tmp_path / "ran"
    torch.save({"state_dict": {}, "best": Hostile(marker)}, own_folder / files.DEPTH.filename)
    with pytest.raises(FacecliError, match="depth-2a464da4ea"):
        fan.Fan3d()
    assert not marker.exists()
