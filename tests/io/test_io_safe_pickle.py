"""Data comes out of pickles as it went in; code never does."""

from __future__ import annotations

import argparse
import contextlib
import copyreg
import io
import os
import pickle
import struct
import sys
import types
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from facecli.errors import InputError
from facecli.io import safe_pickle
from facecli.io.safe_pickle import Ch, load_checkpoint, load_object_npy, load_pickle, load_pickles

WEIGHTS = Path(__file__).parents[3] / "shared" / "data" / "weights"
PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


def loads(content: bytes):
    return load_pickle(io.BytesIO(content))


def refusal(content: bytes) -> str:
    with pytest.raises(InputError) as caught:
        loads(content)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def equal(a, b) -> bool:
    """Equal in value and type, all the way down."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        if a.dtype.hasobject:
            return a.shape == b.shape and all(equal(x, y) for x, y in zip(a.flat, b.flat, strict=True))
        native = b.astype(b.dtype.newbyteorder("="))  # numpy's own unpickling makes arrays native, too
        same = a.dtype.newbyteorder("=") == native.dtype and a.shape == b.shape
        return same and a.astype(native.dtype).tobytes() == native.tobytes()
    if isinstance(a, np.generic):
        return a.dtype == b.dtype and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return list(a) == list(b) and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b or (a != a and b != b)


dtypes = (
    hnp.boolean_dtypes() | hnp.integer_dtypes(endianness="?") | hnp.unsigned_integer_dtypes(endianness="?")
    | hnp.floating_dtypes(endianness="?", sizes=(16, 32, 64)) | hnp.complex_number_dtypes(sizes=(64, 128))
    | hnp.byte_string_dtypes(max_len=5) | hnp.unicode_string_dtypes(max_len=5)
)  # fmt: skip
arrays = hnp.arrays(dtypes, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
leaves = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=8)
    | st.complex_numbers() | arrays | arrays.filter(lambda a: a.size).map(lambda a: a.flat[0])
    | st.sets(st.integers(), max_size=3) | st.frozensets(st.text(max_size=3), max_size=3)
)  # fmt: skip
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=4), inner, max_size=3)
        | st.dictionaries(st.text(max_size=4), inner, max_size=3).map(OrderedDict)
    ),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(value=values, protocol=st.sampled_from(PROTOCOLS))
def test_data_comes_back(value, protocol):
    assert equal(loads(pickle.dumps(value, protocol)), value)


@settings(max_examples=60, deadline=None)
@given(arrays, st.sampled_from(PROTOCOLS))
def test_fortran_order_comes_back(array, protocol):
    array = np.asfortranarray(array)
    got = loads(pickle.dumps(array, protocol))
    assert equal(got, array) and type(got) is np.ndarray and got.flags.writeable


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_object_arrays_and_shared_and_circular_objects(protocol):
    inner = np.arange(3.0)
    array = np.empty((2, 2), object)
    array[:] = [[inner, None], ["text", {"again": inner}]]
    circle = [array]
    circle.append(circle)
    got = loads(pickle.dumps(circle, protocol))
    assert got[1] is got
    assert equal(got[0][0, 0], inner) and got[0][0, 0] is got[0][1, 1]["again"]


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60))
def test_garbage_never_escapes_as_another_error(content):
    try:
        loads(content)
    except InputError as error:
        assert "\n" not in str(error)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_damaged_pickles_never_escape_as_another_error(data):
    content = bytearray(
        pickle.dumps({"a": np.arange(4.0), "b": [np.float32(1), "x"]}, data.draw(st.sampled_from(PROTOCOLS)))
    )
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(InputError):
        loads(bytes(content))


# --- what old face models hold ---------------------------------------------------------------------------------------


def python2_array(values: np.ndarray) -> bytes:
    """An array the way Python 2 pickled it: bytes as text, no _codecs."""
    content = values.tobytes()
    return (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01"
        + b"(" + b"".join(b"J" + struct.pack("<i", n) for n in values.shape) + b"t"
        + b"cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        + b"\x89T" + struct.pack("<i", len(content)) + content + b"tb"
    )  # fmt: skip


def test_a_pickle_of_python_2():
    values = np.random.default_rng(0).normal(size=(5, 3))
    got = loads(b"\x80\x02}U\x0av_template" + python2_array(values) + b"s.")
    assert equal(got, {"v_template": values})


@pytest.fixture
def chumpy(monkeypatch):
    """Modules of chumpy's names, so that pickles that name it can be written."""
    modules = {name: types.ModuleType(name) for name in ("chumpy", "chumpy.ch", "chumpy.reordering")}
    for module, name in (("chumpy.ch", "Ch"), ("chumpy.reordering", "Select")):
        setattr(modules[module], name, type(name, (), {"__module__": module}))
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    return modules


def instance(cls, **state):
    made = cls()
    made.__dict__.update(state)
    return made


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_flame_without_chumpy(chumpy, protocol):
    shapes = np.random.default_rng(0).normal(size=(4, 3, 2))
    regressor = scipy.sparse.random(5, 4, 0.5, "csc", random_state=0)
    model = {
        "shapedirs": instance(chumpy["chumpy.ch"].Ch, x=shapes, _dirty_vars=set(), _itr=None, _status="new"),
        "picked": instance(chumpy["chumpy.reordering"].Select, a=shapes, idxs=np.array([3, 1]), preferred_shape=(2, 1)),
        "J_regressor": regressor,
        "f": np.arange(6, dtype=np.uint32).reshape(2, 3),
        "bs_type": "lrotmin",
    }
    got = loads(pickle.dumps(model, protocol))
    assert isinstance(got["shapedirs"], Ch)
    assert equal(np.asarray(got["shapedirs"]), shapes) and equal(got["shapedirs"].r, shapes)
    assert equal(got["picked"], shapes.ravel()[[3, 1]].reshape(2, 1))
    assert scipy.sparse.isspmatrix_csc(got["J_regressor"])
    assert np.array_equal(got["J_regressor"].toarray(), regressor.toarray())
    assert equal(got["f"], model["f"]) and got["bs_type"] == "lrotmin"


def test_old_scipys_name_of_csc(monkeypatch):
    matrix = scipy.sparse.csc_matrix(np.eye(3))
    content = pickle.dumps(matrix, 2).replace(b"scipy.sparse._csc\n", b"scipy.sparse.csc\n")
    assert b"cscipy.sparse.csc\n" in content
    assert np.array_equal(loads(content).toarray(), np.eye(3))


def test_broken_sparse_matrix_is_refused():
    matrix = scipy.sparse.csc_matrix(np.eye(3))
    matrix.indices = np.array([0, 1, 10**6], np.int32)
    assert "sparse matrix of it is broken" in refusal(pickle.dumps(matrix, 2))


def test_odd_chumpy_state_is_refused(chumpy):
    ch = chumpy["chumpy.ch"].Ch
    assert "odd state: compute" in refusal(pickle.dumps(instance(ch, x=np.zeros(1), compute=1), 2))
    assert "odd state" in refusal(pickle.dumps(instance(ch, other=np.zeros(1)), 2))


def test_several_pickles_in_one_file(tmp_path):
    path = tmp_path / "landmarks.pkl"
    with path.open("wb") as file:
        for value in ("kpt68", None, np.zeros((68, 2))):
            pickle.dump(value, file)
    assert [type(v) for v in load_pickles(path)] == [str, type(None), np.ndarray]
    assert load_pickle(path) == "kpt68"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="is cut"):
        load_pickles(path)


@pytest.mark.parametrize("value", [
    {"static_lmk_faces_idx": np.arange(51), "lists": [[1, 2], [0.5]]}, np.array([None, "x", 3.0], object), np.eye(2),
])  # fmt: skip
def test_npy_with_and_without_objects(tmp_path, value):
    path = tmp_path / "embedding.npy"
    np.save(path, np.array(value) if isinstance(value, dict) else value, allow_pickle=True)
    assert equal(load_object_npy(path), value)


def test_npy_refusals(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.array(Hostile(), object), allow_pickle=True)
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"is refused: it asks for posix\.system"):
        load_object_npy(path)
    np.save(path, np.array({"a": 1}))
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(InputError, match=r"x\.npy: is cut"):
        load_object_npy(path)
    path.write_bytes(before.replace(b"'shape': ()", b"'shape':(2)"))
    with pytest.raises(InputError):
        load_object_npy(path)
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(InputError, match=r"is not a NumPy \.npy file .*download it again"):
        load_object_npy(path)
    np.save(path, np.zeros(3, [("a", object)]), allow_pickle=True)
    with pytest.raises(InputError, match="holds an array of"):
        load_object_npy(path)
    np.save(path, np.zeros((4, 3)))
    path.write_bytes(path.read_bytes().replace(b"}", b"("))
    with pytest.raises(InputError, match=r"is not a NumPy \.npy file"):
        load_object_npy(path)
    with path.open("wb") as file:  # of ten terabytes, it says
        header = {"descr": "<f4", "fortran_order": False, "shape": (900_000_000_000, 3)}
        np.lib.format.write_array_header_1_0(file, header)
    with pytest.raises(InputError, match="is cut"):
        load_object_npy(path)


# --- hostile pickles -------------------------------------------------------------------------------------------------


class Hostile:
    """Runs a command when unpickled freely."""

    def __reduce__(self):
        return os.system, ("touch hacked",)


def stack_global(module: str, name: str) -> bytes:
    def text(word):
        return b"\x8c" + bytes([len(word)]) + word.encode()

    return text(module) + text(name) + b"\x93"


PROTO = b"\x80\x04"
NDARRAY = stack_global("numpy", "ndarray")
F8 = stack_global("numpy", "dtype") + b"\x8c\x02f8\x89\x88\x87R"
RECONSTRUCT = stack_global("numpy.core.multiarray", "_reconstruct")
EMPTY_ARRAY = RECONSTRUCT + NDARRAY + b"K\x00\x85C\x01b\x87R"


@pytest.mark.parametrize("content, words", [
    (pickle.dumps(Hostile(), 0), "asks for posix.system"),
    (pickle.dumps(Hostile(), 4), "asks for posix.system"),
    (PROTO + stack_global("builtins", "eval") + b"\x8c\x041+10\x85R.", "asks for builtins.eval"),
    (PROTO + stack_global("builtins", "getattr") + b".", "asks for builtins.getattr"),
    (PROTO + stack_global("numpy", "f2py.os.system") + b".", "asks for numpy.f2py.os.system"),
    (PROTO + stack_global("numpy", "load") + b".", "asks for numpy.load"),
    (PROTO + stack_global("numpy.core.multiarray", "_reconstruct.__globals__") + b".", "asks for"),
    (PROTO + stack_global("torch.storage", "_load_from_bytes") + b".", "holds code where data should be"),
    (PROTO + stack_global("builtins", "bytes") + b"J\xff\xff\xff\x7f\x85R.", "makes bytes"),
    (PROTO + stack_global("builtins", "bytearray") + b"J\xff\xff\xff\x7f\x85R.", "codec"),
    (PROTO + stack_global("_codecs", "encode") + b"\x8c\x01a\x8c\x03hex\x86R.", "codec hex"),
    (b"\x80\x02U\x01x\x51.", "outside itself"),
    # arrays: an allocation by the constructor, foreign subtypes, memory described wrongly, records, states of functions
    (PROTO + NDARRAY + b"J\xff\xff\xff\x7f\x85R.", "calls _NdarrayName"),
    (PROTO + NDARRAY + b"J\xff\xff\xff\x7f\x85\x81.", "can't be unpickled"),
    (PROTO + RECONSTRUCT + stack_global("builtins", "set") + b"K\x00\x85C\x01b\x87R.", "array of an unknown class"),
    (PROTO + EMPTY_ARRAY + b"(K\x01K\x02\x85" + F8 + b"\x89C\x08" + bytes(8) + b"tb.", "describes an array wrongly"),
    (PROTO + EMPTY_ARRAY + b"(K\x01K\x01\x85" + stack_global("numpy", "dtype") + b"\x8c\x02O8\x89\x88\x87R"
     + b"\x89C\x08" + bytes(8) + b"tb.", "describes an array wrongly"),
    (PROTO + EMPTY_ARRAY + b"(K\x01J\xff\xff\xff\xff\x85" + F8 + b"\x89C\x00tb.", "describes an array wrongly"),
    (pickle.dumps(np.zeros(2, [("a", "f8"), ("b", "O")])), "arrays of records"),
    (PROTO + stack_global("numpy", "dtype") + b"\x8c\x05f8,O8\x89\x88\x87R.", "code where data"),
    (PROTO + RECONSTRUCT + b"N}\x8c\x0c__defaults__K\x01\x85s\x86b.", "alters a function"),
    (PROTO + stack_global("argparse", "Namespace") + b"N}\x8c\x06__eq__K\x01s\x86b.", "can't be unpickled"),
    (PROTO + stack_global("chumpy.ch", "Ch") + b"N}\x8c\x01xK\x01s\x86b.", "can't be unpickled"),
    (PROTO + stack_global("copyreg", "_reconstructor") + stack_global("builtins", "object")
     + stack_global("builtins", "object") + b"N\x87R.", "unknown class"),
    (PROTO + b"]" + RECONSTRUCT + b"a.", "code where data"),
    (b"\x80\x04" + b"]" * 100_000 + b"a" * 99_999 + b".", "can't be unpickled"),
])  # fmt: skip
def test_hostile_pickles_are_refused(content, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert words in refusal(content)
    assert not Path("hacked").exists()


def test_the_hostile_pickle_would_have_worked(tmp_path, monkeypatch):
    """The proof that the test above proves something."""
    monkeypatch.chdir(tmp_path)
    pickle.loads(pickle.dumps(Hostile()))
    assert Path("hacked").exists()


def test_nothing_of_ours_is_altered_by_refused_pickles():
    before = {name: dict(vars(cls)) for name, cls in vars(safe_pickle).items() if isinstance(cls, type)}
    for cls in ("Ch", "Select"):
        module = "chumpy.ch" if cls == "Ch" else "chumpy.reordering"
        for attribute in ("__setstate__", "x", "__class__"):
            state = b"N}\x8c" + bytes([len(attribute)]) + attribute.encode() + b"K\x01s\x86b."
            refusal(PROTO + stack_global(module, cls) + state)
    assert before == {name: dict(vars(cls)) for name, cls in vars(safe_pickle).items() if isinstance(cls, type)}
    assert not copyreg._inverted_registry


def test_files_that_are_no_pickles(tmp_path):
    path = tmp_path / "generic_model.pkl"
    for content, words in (
        (b"", "is empty"), (b"<!doctype html>", "download gave a page"), (pickle.dumps([1, 2])[:-2], "is cut"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    ):  # fmt: skip
        path.write_bytes(content)
        with pytest.raises(InputError) as caught:
            load_pickle(path)
        assert words in str(caught.value) and str(caught.value).startswith(str(path))
    with pytest.raises(InputError, match="no such file"):
        load_pickle(tmp_path / "none.pkl")


# --- checkpoints -----------------------------------------------------------------------------------------------------


def checkpoint_refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_checkpoint(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("zipped", [True, False])
def test_checkpoint_with_what_trainers_put_in(tmp_path, zipped):
    value = {
        "state_dict": OrderedDict(weight=torch.arange(6.0).reshape(2, 3)),
        "epoch": np.int64(3),
        "loss": np.float64(0.5),
        "mean": np.arange(4, dtype=np.float32),
        "args": argparse.Namespace(lr=0.1, shape=[1, np.float32(2)]),
    }
    path = tmp_path / "model.tar"
    torch.save(value, path, _use_new_zipfile_serialization=zipped)
    got = load_checkpoint(path)
    assert torch.equal(got["state_dict"]["weight"], value["state_dict"]["weight"])
    for name in ("epoch", "loss", "mean"):
        assert equal(got[name], value[name])
    assert got["args"] == value["args"]


def test_hostile_and_foreign_checkpoints(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.pt"
    torch.save({"x": Hostile()}, path)
    assert "asks for posix.system" in checkpoint_refusal(path)
    torch.save(torch.nn.Linear(1, 1), path)
    assert "asks for torch.nn.modules.linear.Linear" in checkpoint_refusal(path)
    path.write_bytes(pickle.dumps(Hostile()))
    checkpoint_refusal(path)
    path.write_bytes(pickle.dumps(np.zeros(1, [("a", "O")])))
    checkpoint_refusal(path)
    assert not Path("hacked").exists()


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.99])
def test_cut_checkpoint(tmp_path, kept):
    path = tmp_path / "model.pt"
    torch.save({"weight": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    assert "is cut" in checkpoint_refusal(path)
    torch.save({"weight": torch.zeros(1000)}, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    assert "is cut" in checkpoint_refusal(path)


def test_what_is_no_checkpoint(tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(b"<html><body>Sign in</body></html>")
    assert "is no torch checkpoint but a web page" in checkpoint_refusal(path)
    path.write_bytes(bytes(range(256)))
    assert "no torch checkpoint" in checkpoint_refusal(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert "no torch checkpoint" in checkpoint_refusal(path)
    assert "no such file" in checkpoint_refusal(tmp_path / "none.pt")
    path.write_bytes(b"")
    assert "is empty" in checkpoint_refusal(path)


@pytest.mark.skipif(not WEIGHTS.exists(), reason="../shared/data/weights is not here")
def test_real_files():
    statistics = load_pickle(WEIGHTS / "param_mean_std_62d_120x120.pkl")
    assert statistics["mean"].shape == statistics["std"].shape == (62,)
    assert load_checkpoint(WEIGHTS / "mb05_120x120.pth")["state_dict"]
    assert load_checkpoint(WEIGHTS / "FaceBoxesProd.pth")


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_tensors_pickled_by_themselves_become_arrays(protocol):
    whole = torch.arange(24).reshape(4, 6)
    for tensor in (whole, whole[1:, ::2], whole.T, torch.zeros(0, 3), torch.tensor(5.0), torch.rand(3, 3).half()):
        found = loads(pickle.dumps({"lmk": tensor}, protocol=protocol))["lmk"]
        assert isinstance(found, np.ndarray) and not isinstance(found, torch.Tensor)
        assert found.dtype == tensor.numpy().dtype and np.array_equal(found, tensor.numpy())


class _Call:
    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


def test_a_tensor_can_neither_run_code_nor_read_beyond_its_memory():
    hostile = pickle.dumps(_Call(os.system, "true"))
    assert "is refused" in refusal(pickle.dumps(_Call(torch.storage._load_from_bytes, hostile)))
    storage = torch.arange(4).storage()
    rebuild = torch._utils._rebuild_tensor_v2
    for size, stride, offset in (
        ((5,), (1,), 0),
        ((2,), (3,), 1),
        ((2, 9), (0, 0), 0),
        ((2,), (-1,), 3),
        ((2,), (1,), -1),
    ):
        found = refusal(pickle.dumps(_Call(rebuild, storage, offset, size, stride, False, OrderedDict())))
        assert "describes a tensor wrongly" in found
