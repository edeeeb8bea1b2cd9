"""The network's file."""

import json

import numpy as np
import pytest
import torch

from facecli.errors import InputError
from facecli_open.inputs import INPUTS
from facecli_open.network import OUTPUTS, HeadNet
from facecli_open.regressor import Regressor, write_regressor


@pytest.fixture(scope="module")
def network() -> HeadNet:
    torch.manual_seed(0)
    made = HeadNet(hidden=16).eval()
    made.mean.normal_().copy_(made.mean.half())
    made.scale.uniform_(0.5, 2).copy_(made.scale.half())
    return made


@pytest.fixture
def file(network, tmp_path):
    path = tmp_path / "open.safetensors"
    write_regressor(path, network, np.linspace(0.1, 1, OUTPUTS), {"command": "facecli train open"})
    return path


def test_what_is_read_guesses_what_was_written(network, file):
    read = Regressor.load(file)
    assert read.facts == {"command": "facecli train open"}
    assert read.identity_spread[0] == pytest.approx(0.1)
    assert read.distance_spread == pytest.approx(1)
    inputs = torch.randn(5, INPUTS, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        before, after = network(inputs), read.network(inputs)
    # Eight bits for each of 5,700 numbers that are added up.
    assert (before - after).abs().max() < 0.02 * before.abs().max()


def test_a_batch_gives_what_single_faces_give(file):
    read = Regressor.load(file)
    inputs = np.random.default_rng(2).standard_normal((4, INPUTS)).astype(np.float32)
    together = read.of_inputs(inputs)
    for number in range(4):
        alone = read.of_inputs(inputs[number : number + 1])
        assert np.array_equal(alone.identity[0], together.identity[number])
        assert np.array_equal(alone.expression[0], together.expression[number])
    assert 0 <= together.expression.min() <= together.expression.max() <= 1
    assert read.of_inputs(inputs[:0]).identity.shape == (0, 100)


def test_files_that_are_no_network(file, tmp_path):
    content = file.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    cases = {"missing": None, "empty": b"", "cut": content[: len(content) // 2], "text": b"hello, world" * 50}
    renamed = json.dumps({name.replace("tell", "told"): value for name, value in header.items()}).encode()
    cases["renamed"] = len(renamed).to_bytes(8, "little") + renamed + content[8 + length :]
    start = 8 + length + header["spread"]["data_offsets"][0]
    cases["infinite"] = content[:start] + np.array([np.inf], np.float32).tobytes() + content[start + 4 :]
    for name, case in cases.items():
        path = tmp_path / f"{name}.safetensors"
        if case is not None:
            path.write_bytes(case)
        with pytest.raises(InputError, match=rf"{name}\.safetensors") as error:
            Regressor.load(path)
        assert "\n" not in str(error.value)


def test_the_weights_that_come_with_facecli():
    read = Regressor.load()
    assert read.facts["command"].startswith("facecli train open")
    assert read.facts["license"] == "MIT"
    assert float(read.facts["face_mm"]) < 0.75 * float(read.facts["mean_face_mm"])
    assert len(read.identity_spread) == 100
    assert len(read.expression_spread) == 57
