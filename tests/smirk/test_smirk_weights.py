"""SMIRK's official file into its networks, and files under its name that are something else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from facecli.assets import places
from facecli.errors import FacecliError, InputError, MissingAssetError
from facecli_smirk.weights import load_encoder, load_generator
from standins.checkpoints import flat_state

ENCODER = ("smirk/manifest_encoder.json", "smirk_encoder.")
GENERATOR = ("smirk/manifest_generator.json", "smirk_generator.")


@pytest.fixture
def folder(own_assets) -> Path:
    return own_assets


def refusal(folder: Path, load=load_encoder) -> str:
    places.rescan()
    with pytest.raises(FacecliError) as caught:
        load()
    message = str(caught.value)
    assert "\n" not in message and "SMIRK_em1.pt" in message
    return message


def test_the_official_file_is_loaded(official):
    raw = torch.load(official / "SMIRK_em1.pt", mmap=True)
    encoder, generator = load_encoder(fused=False), load_generator(fused=False)
    for prefix, network in (("smirk_encoder.", encoder), ("smirk_generator.", generator)):
        for key, value in network.state_dict().items():
            assert torch.equal(value, raw[prefix + key])
        assert not network.training
    images = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        wanted, found = encoder(images), load_encoder()(images)
    for name, value in found.items():
        assert torch.allclose(value, wanted[name], atol=1e-5)
    assert 6 < found["cam"][0, 0] < 8


def test_a_file_of_ones_own(folder, tmp_path):
    path = tmp_path / "mine.pt"
    torch.save(flat_state(*ENCODER) | flat_state(*GENERATOR), path)
    encoder = load_encoder(fused=False, path=path)
    assert encoder.state_dict()["pose_encoder.encoder.conv_stem.weight"].eq(0.25).all()
    assert load_generator(path=str(path)).conv.bias.eq(0.25).all()


def test_missing(folder):
    with pytest.raises(MissingAssetError, match=r"SMIRK_em1\.pt is missing: .*facecli assets get smirk"):
        load_encoder()


def test_the_pretraining_stage_has_an_encoder_only(folder):
    torch.save(flat_state(*ENCODER), folder / "SMIRK_em1.pt")
    load_encoder()
    assert "holds SMIRK's encoder only" in refusal(folder, load_generator)


def test_another_systems_file(folder):
    torch.save({"E_flame": flat_state("deca/manifest_E_flame.json")}, folder / "SMIRK_em1.pt")
    assert "holds DECA's weights, not SMIRK's" in refusal(folder)


def test_what_lacks_and_what_is_foreign(folder):
    state = flat_state(*ENCODER)
    lacking = {key: value for key, value in state.items() if "pose_cam_layers" not in key}
    torch.save(lacking, folder / "SMIRK_em1.pt")
    assert "it lacks 2 of the network's 762 tensors, the first being pose_encoder.pose_cam" in refusal(folder)
    torch.save(state | {"smirk_encoder.head": torch.ones(1)}, folder / "SMIRK_em1.pt")
    assert "has 1 tensors that the network doesn't know, the first being head" in refusal(folder)
    key = "shape_encoder.shape_layers.0.weight"
    torch.save(state | {f"smirk_encoder.{key}": torch.ones(100, 960)}, folder / "SMIRK_em1.pt")
    assert f"{key} has the shape [100, 960], not [300, 960]" in refusal(folder)


def test_truncated(folder, standins):
    with (standins / "SMIRK_em1.pt").open("rb") as file:
        (folder / "SMIRK_em1.pt").write_bytes(file.read(1_000_000))
    assert "cut" in refusal(folder)


@pytest.mark.parametrize("zipped", [True, False])
def test_hostile(zipped, folder, tmp_path):
    class Hostile:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    content = flat_state(*ENCODER) | {"extra": Hostile()}
    torch.save(content, folder / "SMIRK_em1.pt", _use_new_zipfile_serialization=zipped)
    assert "is refused: besides weights it asks for posix.mkdir" in refusal(folder)
    assert not (tmp_path / "ran").exists()


def test_errors_of_the_file_are_input_errors(folder):
    (folder / "SMIRK_em1.pt").write_bytes(b"nothing of the kind" * 100)
    places.rescan()
    with pytest.raises(InputError, match="no torch checkpoint"):
        load_encoder()
