"""Checkpoints into networks: parts of a file, whose weights it holds, what doesn't fit, and what must not happen."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from facecli.errors import InputError
from facecli.nn.checkpoints import Checkpoint, system_of, tensors


class Tiny(nn.Module):
    """A network whose checkpoint is small."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)


def state(prefix: str = "") -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {prefix + key: torch.rand_like(value.float()) for key, value in Tiny().state_dict().items()}


def saved(tmp_path, content, name: str = "weights.pt", **options) -> Checkpoint:
    path = tmp_path / name
    torch.save(content, path, **options)
    return Checkpoint(path, "SMIRK", "get it again")


def refusal(checkpoint: Checkpoint, part) -> str:
    with pytest.raises(InputError) as caught:
        checkpoint.build(Tiny, part, "cpu", "encoder")
    message = str(caught.value)
    assert message.startswith(f"{checkpoint.path}: ") and message.endswith("(get it again)") and "\n" not in message
    return message


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("wrapped", [lambda s: s, lambda s: {"state_dict": s, "epoch": 3}], ids=["flat", "wrapped"])
def test_a_part_by_prefix(wrapped, zipped, tmp_path):
    content = {**state("smirk_encoder."), "smirk_generator.x": torch.ones(2), "step": 7}
    checkpoint = saved(tmp_path, wrapped(content), _use_new_zipfile_serialization=zipped)
    part = checkpoint.state(prefix="smirk_encoder.")
    assert list(part) == list(state())
    net = checkpoint.build(Tiny, part, "cpu", "encoder")
    assert torch.equal(net.conv.weight, state()["conv.weight"]) and not net.training
    assert net.norm.num_batches_tracked.dtype == torch.int64
    assert checkpoint.state(prefix="other.") == {}


def test_a_part_by_entry(tmp_path):
    checkpoint = saved(tmp_path, {"E_flame": state("module."), "opt": {"state": {}}, "batch_size": 8})
    assert list(checkpoint.state("E_flame")) == list(state())
    assert checkpoint.state("E_detail") == checkpoint.state("batch_size") == checkpoint.state("opt") == {}


def test_half_precision_and_old_files_without_counters(tmp_path):
    old = {key: value.half() for key, value in state().items() if "num_batches" not in key}
    net = (checkpoint := saved(tmp_path, old)).build(Tiny, checkpoint.state(), "cpu", "encoder")
    assert net.conv.weight.dtype == torch.float32
    assert torch.equal(net.conv.weight, old["conv.weight"].float())
    assert net.norm.num_batches_tracked == 0


def test_nothing_is_initialised_and_the_file_may_go(tmp_path):
    """Initialisation takes seconds with large networks, and would draw from torch's global random numbers."""
    checkpoint = saved(tmp_path, state())
    before = torch.get_rng_state()
    net = checkpoint.build(Tiny, checkpoint.state(), "cpu", "encoder")
    assert torch.equal(torch.get_rng_state(), before)
    wanted = net.conv.weight.clone()
    del checkpoint
    (tmp_path / "weights.pt").write_bytes(b"overwritten" * 1000)
    assert torch.equal(net.conv.weight, wanted)
    assert net.conv.weight.requires_grad


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("conv.bias"), "doesn't fit SMIRK's encoder: it lacks 1 of the network's 7 tensors, the first"),
        (lambda s: s.update(head=torch.ones(2)), "has 1 tensors that the network doesn't know, the first being head"),
        (lambda s: s.update({"conv.bias": torch.ones(5)}), "conv.bias has the shape [5], not [4]"),
        (lambda s: s.clear(), "holds no weights of SMIRK's encoder"),
    ],
)
def test_what_does_not_fit_is_said(change, words, tmp_path):
    content = state()
    change(content)
    checkpoint = saved(tmp_path, content)
    assert words in refusal(checkpoint, checkpoint.state())


SYSTEMS = {
    "DECA": {"E_flame": {"encoder.conv1.weight": torch.ones(1)}},
    "EMOCA": {"state_dict": {"deca.E_flame.a": torch.ones(1), "deca.E_expression.a": torch.ones(1)}},
    "EMICA": {"state_dict": {"deca.E_flame.a": torch.ones(1), "deca.E_mica.arcface.a": torch.ones(1)}},
    "MICA": {"arcface": {"a": torch.ones(1)}, "flameModel": {"a": torch.ones(1)}},
    "Deep3DFaceRecon": {"net_recon": {"backbone.conv1.weight": torch.ones(1)}, "opt_00": {}},
    "SynergyNet": {
        "state_dict": {"module.I2P.a": torch.ones(1), "module.forwardDirection.conv1.weight": torch.ones(1)}
    },
    "DiffusionRig": {"denoisingUNet.time_embed.0.weight": torch.ones(1), "encoder.fc.weight": torch.ones(1)},
    "3DDFA_V2": {"state_dict": {"module.conv1.weight": torch.ones(1), "module.fc_param.weight": torch.ones(1)}},
    "FaceBoxes": {"inception1.branch1x1.conv.weight": torch.ones(1)},
    "ArcFace": {"prelu.weight": torch.ones(1)},
    "FAN": {"m0.b1_4.bn1.weight": torch.ones(1)},
}


@pytest.mark.parametrize("system", SYSTEMS)
def test_another_systems_file_is_recognised(system, tmp_path):
    checkpoint = saved(tmp_path, SYSTEMS[system])
    assert f"holds {system}'s weights, not SMIRK's" in refusal(checkpoint, checkpoint.state(prefix="smirk_encoder."))


@pytest.mark.parametrize("content", [[1, 2], "text", torch.ones(3), {"state_dict": 5}, {1: torch.ones(1)}, {}, None])
def test_what_is_no_state_dict(content, tmp_path):
    checkpoint = saved(tmp_path, content)
    assert system_of(content) == "" and not {key for key in tensors(content) if key != "1"}
    assert "holds no weights of SMIRK's encoder" in refusal(checkpoint, checkpoint.state(prefix="smirk_encoder."))
