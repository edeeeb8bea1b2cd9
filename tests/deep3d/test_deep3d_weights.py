"""epoch_20.pth into Deep3DFaceRecon's regressor, and files that aren't it."""

from __future__ import annotations

import pytest
import torch

from facecli.errors import InputError
from facecli_deep3d.network import ReconNet
from facecli_deep3d.weights import load_network
from standins.checkpoints import flat_state

R50 = "deep3d/manifest_net_recon_resnet50.json"
R18 = "deep3d/manifest_net_recon_resnet18.json"
VARIANTS = {R50: (2048, False), R18: (512, False), "deep3d/manifest_net_recon_resnet50_last_fc.json": (2048, True)}


@pytest.fixture
def saved(tmp_path):
    def save(content):
        path = tmp_path / "epoch_20.pth"
        torch.save(content, path)
        return path

    return save


def official(state: dict[str, torch.Tensor]) -> dict:
    """Beside the network: what Adam and its schedule were at."""
    group = {"lr": 1e-4, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0, "amsgrad": False, "params": [0, 1]}
    moments = {"step": 7, "exp_avg": torch.zeros(3), "exp_avg_sq": torch.zeros(3)}
    schedule = {"step_size": 10, "gamma": 0.2, "base_lrs": [1e-4], "last_epoch": 20, "_last_lr": [1e-4]}
    return {"net_recon": state, "opt_00": {"state": {0: moments}, "param_groups": [group]}, "sched_00": schedule}


def refusal(path) -> str:
    with pytest.raises(InputError) as caught:
        load_network(source=path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message


@pytest.mark.parametrize("manifest", VARIANTS)
def test_the_variant_is_seen_in_the_file(manifest, saved):
    width, use_last_fc = VARIANTS[manifest]
    network = load_network(source=saved(official(flat_state(manifest))), fused=False)
    assert isinstance(network, ReconNet) and not network.training
    assert network.backbone.width == width and network.use_last_fc == use_last_fc
    assert network.backbone.layer4[1].bn2.weight.unique() == 0.25


def test_made_faster_it_gives_the_same(saved):
    path = saved(official(flat_state(R18)))
    images = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        wanted, found = (load_network(source=path, fused=fused)(images) for fused in (False, True))
    assert found.shape == (1, 257) and torch.allclose(found, wanted, rtol=1e-4)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"final_layers.6.bias": None},
            "doesn't fit Deep3DFaceRecon's network: it lacks 1 of the network's 332 tensors",
        ),
        ({"backbone.fc.weight": torch.ones(1000, 2048)}, "it lacks 1 of the network's 320 tensors"),
        ({"final_layers.0.bias": torch.ones(100)}, "final_layers.0.bias has the shape [100], not [80]"),
        ({"backbone.layer4.3.conv1.weight": torch.ones(1)}, "it has 1 tensors that the network doesn't know"),
    ],
)
def test_what_does_not_fit(change, words, saved):
    state = {key: value for key, value in (flat_state(R50) | change).items() if value is not None}
    assert words in refusal(saved(official(state)))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"E_flame": {"encoder.conv1.weight": torch.ones(1)}}, "holds DECA's weights, not Deep3DFaceRecon's"),
        ({"state_dict": {"module.I2P.a": torch.ones(1)}}, "holds SynergyNet's weights, not Deep3DFaceRecon's"),
        ({"state_dict": {"module.fc_param.a": torch.ones(1)}}, "holds 3DDFA_V2's weights, not Deep3DFaceRecon's"),
        ({"prelu.weight": torch.ones(64)}, "holds ArcFace's weights, not Deep3DFaceRecon's"),
        ({"conv1.weight": torch.ones(1)}, "holds no weights of Deep3DFaceRecon's network"),
        ({"net_recon": torch.ones(1)}, "holds no weights of Deep3DFaceRecon's network"),
    ],
)
def test_another_file(content, words, saved):
    assert words in refusal(saved(content))


def test_a_file_that_is_cut(saved):
    path = saved(official(flat_state(R50)))
    path.write_bytes(path.read_bytes()[:-5000])
    assert "is cut" in refusal(path)
