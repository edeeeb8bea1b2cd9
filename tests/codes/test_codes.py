"""Codes: batches, mixing, and their files."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from facecli.codes import Codes, load_codes, save_codes, summarize_codes, unpack_codes
from facecli.errors import InputError


@given(hnp.arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 5)), elements=st.floats(width=32)))
def test_files_keep_every_bit(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("codes") / "codes.npz"
    codes = Codes({"identity": torch.from_numpy(values), "pose": torch.zeros(len(values), 3)}, "some", "flame")
    save_codes(path, codes, time=np.arange(3.0))
    back = load_codes(path)
    assert (back.codes.model, back.codes.family) == ("some", "flame")
    np.testing.assert_array_equal(back.codes["identity"].numpy(), values)
    np.testing.assert_array_equal(back.extras["time"], [0, 1, 2])
    assert set(back.codes.values) == {"identity", "pose"}


def test_select_concatenate_and_mix():
    codes = Codes({"expression": torch.arange(6.0).reshape(3, 2), "jaw": torch.zeros(3, 3)}, "m", "f")
    assert len(codes) == 3
    parts = [codes.select(i) for i in range(3)]
    again = Codes.concatenate(parts)
    assert (again["expression"] == codes["expression"]).all()
    mixed = codes.replace(jaw=torch.ones(3, 3))
    assert (codes["jaw"] == 0).all()
    assert (mixed["jaw"] == 1).all()
    assert mixed.family == "f"
    with pytest.raises(ValueError, match="different lengths"):
        Codes({"a": torch.zeros(2, 1), "b": torch.zeros(3, 1)})


def test_files_that_are_none_are_named(tmp_path):
    pickled = tmp_path / "pickled.npz"
    np.savez(pickled, a=np.array([{"a": 1}], dtype=object))
    other = tmp_path / "other.npz"
    np.savez(other, a=np.zeros(3))
    words = tmp_path / "words.npz"
    words.write_text("no archive")
    for path, says in ((pickled, "not a readable"), (other, "no facecli codes"), (words, "not a readable")):
        with pytest.raises(InputError, match=says) as caught:
            load_codes(path)
        assert path.name in str(caught.value)
    with pytest.raises(InputError, match="no such file"):
        load_codes(tmp_path / "none.npz")


def test_a_file_tells_what_it_is_about(tmp_path):
    path = tmp_path / "codes.npz"
    codes = Codes({"identity": torch.rand(3, 5), "pose": torch.rand(3, 3)}, "some", "flame")
    save_codes(path, codes)
    summary = summarize_codes(path)
    assert (summary.model, summary.family, summary.of_video, len(summary)) == ("some", "flame", False, 3)
    assert summary.shapes == {"identity": (3, 5), "pose": (3, 3)}
    save_codes(path, codes, time=np.arange(3.0), note=np.array("words"))
    assert summarize_codes(path).of_video
    unpacked = unpack_codes(path, tmp_path / "unpacked")
    for name, value in codes.values.items():
        np.testing.assert_array_equal(unpacked.codes[name].numpy(), value.numpy())
    assert isinstance(unpacked.extras["time"], np.memmap)


def header(*words):
    return {"__facecli_codes__": np.array(words)}


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({**header("m", "f", "2"), "a": np.zeros((1, 2))}, r"newer facecli \(format 2\) \(update facecli\)"),
        ({**header("m"), "a": np.zeros((1, 2))}, "damaged header"),
        ({"__facecli_codes__": np.zeros(2), "a": np.zeros((1, 2))}, "damaged header"),
        (header("m", "f"), "without any code"),
        ({**header("m", "f"), "a": np.zeros(2), "b": np.zeros(3)}, "different lengths"),
        ({**header("m", "f"), "a": np.array(1.0)}, "different lengths"),
        ({**header("m", "f"), "a": np.array(["x", "y"])}, "not numbers"),
    ],
)
def test_codes_files_that_are_wrong_are_named(tmp_path, arrays, says):
    path = tmp_path / "wrong.npz"
    np.savez(path, **arrays)
    for read in (load_codes, summarize_codes, lambda path: unpack_codes(path, tmp_path / "unpacked")):
        with pytest.raises(InputError, match=says) as caught:
            read(path)
        assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


@pytest.mark.parametrize("keep", [0, 10, 0.3, 0.9])
def test_cut_codes_files_are_named(tmp_path, keep):
    path = tmp_path / "cut.npz"
    save_codes(path, Codes({"a": torch.rand(50, 40)}, "m", "f"))
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if keep < 1 else keep])
    with pytest.raises(InputError, match=r"cut\.npz"):
        load_codes(path)


def test_files_of_the_first_format_are_read(tmp_path):
    np.savez(tmp_path / "old.npz", **header("some", "flame"), identity=np.ones((1, 2), np.float32))
    assert load_codes(tmp_path / "old.npz").codes.family == "flame"
