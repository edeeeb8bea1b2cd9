"""The network's file."""

import json
from importlib.resources import files

import numpy as np
import pytest
import torch

from facecli.errors import InputError
from facecli_open.gradients import LIMIT, NUMBERS
from facecli_open.network import OUTPUTS, HeadNet
from facecli_open.weights import LOOKS, NAME, Weights, read_weights, write_weights


def network(look: str, local: int, hidden: int) -> HeadNet:
    made = HeadNet(*LOOKS[look], local, hidden)
    made.mean.normal_().copy_(made.mean.half())
    made.scale.uniform_(0.5, 2).copy_(made.scale.half())
    return made


@pytest.fixture(scope="module")
def weights() -> Weights:
    torch.manual_seed(0)
    facts = {"command": "facecli train open"}
    return Weights(network("first", 3, 16), network("second", 4, 24), np.linspace(0.1, 1, OUTPUTS), facts)


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
    chance = torch.Generator().manual_seed(1)
    geometry = torch.randn(5, len(before.mean), generator=chance)
    picture = LIMIT * torch.rand(5, len(before.places), NUMBERS, generator=chance)
    with torch.inference_mode():
        before, after = before(geometry, picture), after(geometry, picture)
    # Five bits for each of thousands of numbers that are added up.
    assert (before - after).std() < 0.1 * before.std()


def test_what_was_read_is_written_as_it_was(file, tmp_path):
    write_weights(tmp_path / "again.safetensors", read_weights(file))
    assert (tmp_path / "again.safetensors").read_bytes() == file.read_bytes()


def test_what_is_usual_may_be_told_or_taken_in():
    torch.manual_seed(2)
    net = network("first", 3, 16).eval()
    geometry, picture = torch.randn(4, len(net.mean)), torch.rand(4, len(net.places), NUMBERS)
    usual = torch.rand(len(net.places), NUMBERS)
    with torch.inference_mode():
        told, plain = net(geometry, picture, usual), net(geometry, picture)
        net.take_in(usual)
        assert (net(geometry, picture) - told).abs().max() < 1e-4 < 1e-2 < (plain - told).abs().max()


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
    assert float(read.facts["face_mm"]) < 0.6 * float(read.facts["mean_face_mm"])
    assert float(read.facts["face_mm"]) < float(read.facts["first_look_face_mm"])
    assert files("facecli_open").joinpath(NAME).stat().st_size < 1_000_000
