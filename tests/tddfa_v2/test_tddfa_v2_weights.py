"""3DDFA_V2's files into its networks: names that they have beside the network's, widths, and files of others."""

from __future__ import annotations

import pytest
import torch

from facecli.errors import InputError
from facecli_tddfa_v2.network import MobileNet, ResNet22
from facecli_tddfa_v2.weights import load_network
from standins.checkpoints import flat_state

X1 = "synergynet/manifest_tddfa_v2_mobilenet_x1.json"
X05 = "synergynet/manifest_tddfa_v2_mobilenet_x05.json"
RESNET = "synergynet/manifest_tddfa_v2_resnet22.json"


@pytest.fixture
def saved(tmp_path):
    def save(state, name: str = "mb1_120x120.pth", legacy: bool = True):
        path = tmp_path / name
        torch.save({"epoch": 62, "state_dict": state}, path, _use_new_zipfile_serialization=not legacy)
        return path

    return save


def official(manifest: str) -> dict[str, torch.Tensor]:
    """As the official files are: saved from DataParallel, with a second head for landmarks."""
    state = {}
    for key, value in flat_state(manifest, "module.").items():
        state[key.replace("module.fc.", "module.fc_param.")] = value
    width = state["module.fc_param.weight"].shape[1]
    return state | {"module.fc_lm.weight": torch.ones(136, width), "module.fc_lm.bias": torch.ones(136)}


def refusal(path) -> str:
    with pytest.raises(InputError) as caught:
        load_network(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message


@pytest.mark.parametrize("legacy", [True, False])
@pytest.mark.parametrize(("manifest", "width"), [(X1, 1024), (X05, 512)])
def test_mobilenet_of_any_width(manifest, width, legacy, saved):
    state = official(manifest)
    state["module.fc_param.bias"] = torch.arange(62.0)
    network = load_network(saved(state, legacy=legacy), fused=False)
    assert isinstance(network, MobileNet) and network.width == width and not network.training
    assert torch.equal(network.fc.bias, torch.arange(62.0)) and network.dw3_1.bn_sep.weight.unique() == 0.25


def test_resnet22_and_names_without_wrappings(saved):
    network = load_network(saved(flat_state(RESNET, "module."), "resnet22.pth"), fused=False)
    assert isinstance(network, ResNet22) and network.conv_param.bias.unique() == 0.25
    network = load_network(saved(flat_state(X05)))
    with torch.inference_mode():
        assert network(torch.rand(2, 3, 120, 120)).shape == (2, 62)


@pytest.mark.parametrize("numbers", [72, 141])
def test_networks_that_tell_more_of_a_face(numbers, saved):
    state = flat_state(X05) | {"fc.weight": torch.ones(numbers, 512), "fc.bias": torch.ones(numbers)}
    assert load_network(saved(state)).numbers == numbers


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"fc.weight": torch.ones(102, 512), "fc.bias": torch.ones(102)},
            "gives 102 numbers a face; known is what 62, 72",
        ),
        ({"fc_ori.bias": torch.ones(12)}, "has 1 tensors that the network doesn't know, the first being fc_ori.bias"),
        ({"fc.weight": torch.ones(62, 500)}, "fc.weight has the shape [62, 500], not [62, 512]"),
        ({"dw6.conv_sep.weight": torch.ones(3, 3)}, "conv1.weight has the shape [16, 3, 3, 3], not [1, 3, 3, 3]"),
        ({"dw6.conv_sep.weight": torch.ones(())}, "holds no weights of 3DDFA_V2's network"),
        ({"fc.weight": torch.ones(0, 512)}, "holds no weights of 3DDFA_V2's network"),
    ],
)
def test_what_does_not_fit(change, words, saved):
    assert words in refusal(saved(flat_state(X05) | change))


@pytest.mark.parametrize(
    ("state", "system"),
    [
        ({"module.I2P.backbone.dw6.conv_sep.weight": torch.ones(1)}, "SynergyNet"),
        ({"inception1.branch1x1.conv.weight": torch.ones(1)}, "FaceBoxes"),
        ({"m0.b1_4.bn1.weight": torch.ones(1)}, "FAN"),
    ],
)
def test_another_systems_file(state, system, saved):
    assert f"holds {system}'s weights, not 3DDFA_V2's" in refusal(saved(state))


@pytest.mark.parametrize("legacy", [True, False])
def test_a_file_that_is_cut(legacy, saved):
    path = saved(official(X05), legacy=legacy)
    path.write_bytes(path.read_bytes()[:-1000])
    assert "is cut" in refusal(path)
