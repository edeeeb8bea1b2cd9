"""DECA's official file into its networks, and files under its name that are something else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from facecli.assets import places
from facecli.errors import FacecliError, MissingAssetError
from facecli_deca.weights import NETWORKS, load_networks
from standins.checkpoints import flat_state


@pytest.fixture
def folder(own_assets) -> Path:
    return own_assets


def refusal(folder: Path, content, names=tuple(NETWORKS)) -> str:
    torch.save(content, folder / "deca_model.tar")
    places.rescan()
    with pytest.raises(FacecliError) as caught:
        load_networks(names=names)
    message = str(caught.value)
    assert "\n" not in message and "deca_model.tar" in message
    return message


def small(*names: str) -> dict:
    return {name: flat_state(f"deca/manifest_{name}.json") for name in names}


def test_the_official_file_is_loaded(official):
    raw = torch.load(official / "deca_model.tar", mmap=True)
    networks = load_networks(fused=False)
    assert list(networks) == ["E_flame", "E_detail", "D_detail"]
    for name, network in networks.items():
        assert not network.training
        for key, value in network.state_dict().items():
            assert torch.equal(value, raw[name][key])


def test_training_checkpoints_and_parts(folder, tmp_path):
    """Optimisers and counters are left alone; what isn't asked for needn't be there (stage one has E_flame only)."""
    content = small("E_flame") | {"opt": {"state": {0: {"step": 5}}}, "global_step": 7, "batch_size": 64}
    path = tmp_path / "model.tar"
    torch.save(content, path)
    networks = load_networks(names=("E_flame",), path=path)
    assert list(networks) == ["E_flame"]
    assert networks["E_flame"].layers[2].bias.eq(0.25).all()
    assert "holds no weights of DECA's E_detail" in refusal(folder, content)


def test_missing(folder):
    with pytest.raises(MissingAssetError, match=r"deca_model\.tar is missing: .*facecli assets get deca"):
        load_networks()


def test_another_systems_file(folder):
    assert "holds SMIRK's weights, not DECA's" in refusal(
        folder, flat_state("smirk/manifest_encoder.json", "smirk_encoder.")
    )
    emoca = {"state_dict": {"deca.E_expression.layers.0.bias": torch.ones(2), "deca.E_flame.a": torch.ones(1)}}
    assert "holds EMOCA's weights, not DECA's" in refusal(folder, emoca)


def test_what_does_not_fit_names_the_network(folder):
    content = small("E_flame", "E_detail")
    del content["E_detail"]["encoder.layer3.5.bn2.running_var"]
    message = refusal(folder, content, ("E_flame", "E_detail"))
    assert "doesn't fit DECA's E_detail: it lacks 1 of the network's 322 tensors, the first being encoder.l" in message
    content = small("E_flame")
    content["E_flame"]["layers.2.weight"] = torch.ones(200, 1024)
    assert "layers.2.weight has the shape [200, 1024], not [236, 1024]" in refusal(folder, content, ("E_flame",))
