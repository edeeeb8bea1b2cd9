"""The network's file."""

import json
from importlib.resources import files

import numpy as np
import pytest
import torch

from facecli.errors import InputError
from facecli_open.inputs import INPUTS
from facecli_open.network import OUTPUTS, HeadNet
from facecli_open.second_look import SECOND_INPUTS
from facecli_open.weights import NAME, Weights, read_weights, write_weights


def network(inputs: int, hidden: int) -> HeadNet:
    made = HeadNet(inputs, hidden)
    made.mean.normal_().copy_(made.mean.half())
    made.scale.uniform_(0.5, 2).copy_(made.scale.half())
    return made


@pytest.fixture(scope="module")
def weights() -> Weights:
    torch.manual_seed(0)
    facts = {"command": "facecli train open"}
    return Weights(network(INPUTS, 16), network(SECOND_INPUTS, 24), np.linspace(0.1, 1, OUTPUTS), facts)


@pytest.fixture
def file(weights, tmp_path):
    path = tmp_path / "open.safetensors"
    write_weights(path, weights)
    return path


@pytest.mark.parametrize("look", ["first", "second"])
def test_what_is_read_guesses_what_was_written(weights, file, look):
    read = read_weights(file)
    assert read.facts == {"command": "facecli train open"}
    assert read.spread[0] == pytest.approx(0.1)
    assert read.spread[-1] == pytest.approx(1)
    before, after = getattr(weights, look), getattr(read, look)
    inputs = torch.randn(5, len(before.mean), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        before, after = before(inputs), after(inputs)
    # Eight bits for each of 5,700 numbers that are added up.
    assert (before - after).abs().max() < 0.02 * before.abs().max()


def test_files_that_are_no_network(file, tmp_path):
    content = file.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    cases = {"missing": None, "empty": b"", "cut": content[: len(content) // 2], "text": b"hello, world" * 50}
    renamed = json.dumps({name.replace("second.tell", "second.told"): value for name, value in header.items()}).encode()
    cases["renamed"] = len(renamed).to_bytes(8, "little") + renamed + content[8 + length :]
    start = 8 + length + header["spread"]["data_offsets"][0]
    cases["infinite"] = content[:start] + np.array([np.inf], np.float32).tobytes() + content[start + 4 :]
    for name, case in cases.items():
        path = tmp_path / f"{name}.safetensors"
        if case is not None:
            path.write_bytes(case)
        with pytest.raises(InputError, match=rf"{name}\.safetensors") as error:
            read_weights(path)
        assert "\n" not in str(error.value)


def test_the_weights_that_come_with_facecli():
    read = read_weights()
    assert read.facts["command"].startswith("facecli train open")
    assert read.facts["license"] == "MIT"
    assert float(read.facts["face_mm"]) < 0.7 * float(read.facts["mean_face_mm"])
    assert float(read.facts["face_mm"]) < float(read.facts["first_look_face_mm"])
    assert files("facecli_open").joinpath(NAME).stat().st_size < 1_000_000
