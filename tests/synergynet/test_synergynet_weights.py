"""best.pth.tar into SynergyNet's networks and face model, and what is said about files that aren't it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from facecli.errors import InputError, MissingAssetError
from facecli_synergynet.network import ARCHITECTURES
from facecli_synergynet.weights import face_model, load_backbone, load_mlps, open_checkpoint
from standins.checkpoints import flat_state

MANIFEST = "synergynet/manifest_synergynet_checkpoint.json"
VERTICES = 53215


@pytest.fixture
def state():
    return flat_state(MANIFEST)


@pytest.fixture
def saved(tmp_path):
    def save(state, **content):
        path = tmp_path / "best.pth.tar"
        torch.save({"epoch": 80, "state_dict": state, **content}, path)
        return open_checkpoint(path)

    return save


def refusal(call) -> str:
    with pytest.raises(InputError) as caught:
        call()
    message = str(caught.value)
    assert "best.pth.tar: " in message and "\n" not in message
    return message


def backbone_state(name: str, prefix: str = "module.I2P.backbone.") -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        made = ARCHITECTURES[name]().state_dict()
    return {prefix + key: torch.full((), 0.01).to(value.dtype).expand(value.shape) for key, value in made.items()}


def test_everything_in_the_official_file(state, saved):
    state["module.I2P.backbone.classifier_exp.1.bias"] = torch.arange(10.0)
    state["module.w_exp"] = torch.full((), 3.0, dtype=torch.float64).expand(3 * VERTICES, 10)
    checkpoint = saved(state)
    network = load_backbone(checkpoint, fused=False)
    assert torch.equal(network.classifier_exp[1].bias, torch.arange(10.0)) and not network.training
    with torch.inference_mode():
        images = torch.rand(2, 3, 120, 120)
        found, pooled = load_backbone(checkpoint)(images)
    assert found.shape == (2, 62) and pooled.shape == (2, 1280)
    refine, guess = load_mlps(checkpoint)
    assert refine.conv6.in_channels == 2418 and guess.bn6_2.weight.unique() == 0.25
    arrays = face_model(checkpoint)
    shapes = {name: array.shape for name, array in arrays.items()}
    assert shapes == {
        "param_mean": (102,), "param_std": (102,), "u": (3 * VERTICES, 1), "w_shp": (3 * VERTICES, 40),
        "w_exp": (3 * VERTICES, 10), "u_base": (204, 1), "w_shp_base": (204, 40), "w_exp_base": (204, 10),
    }  # fmt: skip
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}
    assert (arrays["w_exp"] == 3).all() and arrays["u"].flags.writeable


def test_without_the_training_networks_and_the_face_model(state, saved):
    checkpoint = saved({key: value for key, value in state.items() if ".I2P." in key} | {"module.extra": torch.ones(1)})
    assert face_model(checkpoint) == {}
    assert load_backbone(checkpoint).width == 1280
    assert "holds no weights of SynergyNet's forwardDirection" in refusal(lambda: load_mlps(checkpoint))


@pytest.mark.parametrize("name", ["mobilenet_05", "resnet34", "ghostnet", "resnest50"])
def test_other_architectures_are_recognised_with_and_without_data_parallel(name, saved):
    for prefix in ("module.I2P.backbone.", "I2P.backbone."):
        checkpoint = saved(backbone_state(name, prefix))
        assert isinstance(load_backbone(checkpoint, fused=False), type(ARCHITECTURES[name]()))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"I2P.backbone.features.3.conv.2.weight": None}, "doesn't fit SynergyNet's backbone mobilenet_v2: it"),
        ({"I2P.backbone.features.18.0.weight": None}, "backbone mobilenet_v2: it lacks 1 of"),
        ({"I2P.backbone.classifier_exp.1.bias": torch.ones(29)}, "classifier_exp.1.bias has the shape [29], not [10]"),
        ({"I2P.backbone.classifier_tex.1.bias": torch.ones(40)}, "has 1 tensors that the network doesn't know"),
    ],
)
def test_a_backbone_that_does_not_fit(change, words, state, saved):
    for key, value in change.items():
        state[f"module.{key}"] = value
    checkpoint = saved({key: value for key, value in state.items() if value is not None})
    assert words in refusal(lambda: load_backbone(checkpoint))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"param_std": torch.ones(50)}, "param_std has the shape [50], not [62 or more]"),
        ({"param_mean": torch.ones(62, 1)}, "param_mean has the shape [62, 1], not [62 or more]"),
        ({"u": torch.ones(10, 1)}, "u has the shape [10, 1], not [3V, 1]"),
        ({"w_shp": torch.ones(30, 40)}, "u, w_shp, w_exp are of different face models"),
        ({"w_exp": torch.ones(())}, "w_exp has the shape [], not [3V, 10]"),
        ({"w_shp_base": torch.ones(207, 40)}, "w_shp_base has the shape [207, 40], not [204, 40]"),
        ({"u_base": torch.full((204, 1), torch.nan)}, "u_base has numbers that aren't finite"),
    ],
)
def test_a_face_model_that_can_not_be_one(change, words, state, saved):
    state.update({f"module.{key}": value for key, value in change.items()})
    checkpoint = saved(state)
    assert words in refusal(lambda: face_model(checkpoint))


@pytest.mark.parametrize(
    ("state", "system"),
    [
        ({"module.dw6.conv_sep.weight": torch.ones(1), "module.fc_param.bias": torch.ones(62)}, "3DDFA_V2"),
        ({"module.conv_param.bias": torch.ones(62)}, "3DDFA_V2"),
        ({"inception1.branch1x1.conv.weight": torch.ones(1)}, "FaceBoxes"),
        ({"prelu.weight": torch.ones(64)}, "ArcFace"),
    ],
)
def test_another_systems_file(state, system, saved):
    checkpoint = saved(state)
    assert f"holds {system}'s weights, not SynergyNet's" in refusal(lambda: load_backbone(checkpoint))


def test_a_file_that_is_cut_or_runs_code_or_is_missing(state, saved, tmp_path, own_assets):
    path = saved(state).path
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "is cut" in refusal(lambda: open_checkpoint(path))
    torch.save({"state_dict": state, "x": Runs()}, path)
    assert "is refused" in refusal(lambda: open_checkpoint(path))
    assert not (tmp_path / "ran").exists()
    from facecli_synergynet import files

    with pytest.raises(MissingAssetError, match=r"best\.pth\.tar"):
        open_checkpoint(files.CHECKPOINT)


class Runs:
    """A pickle that would make a file when it is read."""

    def __reduce__(self):
        from pathlib import Path

        return Path.touch, (Path("ran"),)
