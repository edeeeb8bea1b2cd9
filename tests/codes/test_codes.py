"""Codes: batches, mixing, and their files."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from facecli.codes import Codes, load_codes, save_codes
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
