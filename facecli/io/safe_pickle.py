"""Pickles, object arrays and checkpoints from outside, read without running what they ask for.

Old face models come as Python 2 pickles (FLAME), as ``.npy`` files with a pickle inside (landmark embeddings) and as
torch checkpoints. Unpickling means calling whatever the file names, so here only the names that data needs exist, and
each of them stands for code of ours that checks its arguments: not even numpy's own ``dtype.__setstate__`` is reached,
which would take a description of memory on trust. A tensor that was pickled outside a checkpoint becomes an array.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import pickle
import warnings
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from facecli.errors import InputError
from facecli.io.filetypes import check_file, input_error, read_head, sniff

_MEND = "get it again from its official source"
_UNTRUSTED = "no data file of this kind needs that: don't trust it"


class _Refused(Exception):
    """The pickle asks for something that data does not need. Carries the words for the user."""


# --- what names in pickles stand for ---------------------------------------------------------------------------------


class _Call:
    """A function that pickles may call. It has no state, so that a pickle can't alter it."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]):
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise _Refused("it alters a function")


class _NoConstructor(type):
    """Of classes that pickles may name (and make by ``__new__``), but neither call nor alter."""

    def __call__(cls, *arguments: Any) -> Any:
        raise _Refused(f"it calls {cls.__name__}")

    def __setattr__(cls, name: str, value: Any) -> None:
        raise _Refused(f"it alters {cls.__name__}")


class _Object(metaclass=_NoConstructor):
    """Stands for ``object``, the base that Python 2 pickles name."""

    def __new__(cls) -> _Object:
        raise _Refused("it makes a bare object")

    @classmethod
    def make(cls) -> Any:
        return super().__new__(cls)


class _NdarrayName(_Object):
    """Stands for ``numpy.ndarray`` as an argument of ``_reconstruct``."""


class _Dtype:
    """``numpy.dtype`` as pickled: a code such as ``f8`` and then a state, of which only the byte order counts."""

    __slots__ = ("_code", "_order")

    def __init__(self, code: Any, align: Any = False, copy: Any = True):
        self._code, self._order = _text(code), "|"

    def __setstate__(self, state: Any) -> None:
        _, order, subtype, names, fields, *_ = state
        if subtype is not None or names or fields:
            raise _Refused("it holds arrays of records")
        self._order = _text(order)

    def dtype(self) -> np.dtype:
        """The plain number, text or object type."""
        made = np.dtype(self._code)
        if made.kind not in "biufcSUO" or made.names or made.subdtype:
            raise _Refused(f"it holds arrays of {made}")
        return made.newbyteorder(self._order) if self._order in ("<", ">") else made


class _Array(np.ndarray):
    """An array on its way: empty until its state comes, made plain at the end."""

    def __setstate__(self, state: Any) -> None:
        shape, dtype, fortran, content = state[-4:]  # the oldest have no version before these
        plain, content = _checked(shape, dtype, content)
        np.ndarray.__setstate__(self, (1, shape, plain, bool(fortran), content))


def _checked(shape: Any, dtype: Any, content: Any) -> tuple[np.dtype, bytes | list]:
    """Type and content (bytes, Latin-1 text of Python 2, or a list of objects) of an array that it just fills."""
    if not isinstance(dtype, _Dtype) or not isinstance(shape, tuple) or not all(type(n) is int for n in shape):
        raise _Refused("it describes an array wrongly")
    plain, count = dtype.dtype(), math.prod(shape)
    if isinstance(content, str):
        content = content.encode("latin1")
    fills = (
        isinstance(content, list) and len(content) == count
        if plain.hasobject
        else isinstance(content, bytes | bytearray) and len(content) == count * plain.itemsize
    )
    if min(shape, default=0) < 0 or not fills:
        raise _Refused("it describes an array wrongly")
    return plain, content if isinstance(content, list) else bytes(content)


def _reconstruct(subtype: Any, shape: Any, code: Any) -> np.ndarray:
    if subtype is not _NdarrayName:
        raise _Refused("it makes an array of an unknown class")
    return np.ndarray.__new__(_Array, (0,), "b")


def _frombuffer(content: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    """How protocol 5 stores arrays."""
    plain, content = _checked(shape, dtype, content)
    if plain.hasobject:
        raise _Refused("it describes an array wrongly")
    return np.ndarray(shape, plain, content, order="F" if order == "F" else "C").copy(order="K")


def _scalar(dtype: Any, content: Any = b"") -> Any:
    return _frombuffer(content, dtype, (), "C")[()]


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    """``_codecs.encode``: how Python 3 writes bytes for old protocols. Other codecs may import modules."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise _Refused(f"it uses the codec {encoding}")
    return text.encode("latin1")


def _text(value: Any) -> str:
    text = value.decode("latin1") if isinstance(value, bytes) else value
    if not isinstance(text, str) or len(text) > 16:
        raise _Refused("it describes a type wrongly")
    return text


class Ch(_Object):
    """A ``chumpy.Ch`` without chumpy: the array `x`, and nothing that computes. Works where an array does."""

    _IGNORED = frozenset(
        {"_dirty_vars", "_itr", "_depends_on_deps", "_make_dense", "_make_sparse", "_status", "_cache", "_parents"}
    )

    def __new__(cls) -> Ch:
        made = object.__new__(cls)
        made.x = np.zeros(0)
        return made

    def __setstate__(self, state: Any) -> None:
        unknown = set(state) - self._IGNORED - {"x"} if isinstance(state, dict) else {"no dictionary"}
        if unknown or "x" not in state:
            raise _Refused(f"a chumpy array of it has an odd state: {', '.join(sorted(map(str, unknown)))[:80]}")
        self.x = state["x"]

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.asarray(self.x, dtype)

    @property
    def r(self) -> np.ndarray:
        """Chumpy's name for the value."""
        return self.x


class Select(_Object):
    """A ``chumpy.reordering.Select``: some elements of another array."""

    def __new__(cls) -> Select:
        made = object.__new__(cls)
        made.state = {}
        return made

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict) or not {"a", "idxs"} <= set(state):
            raise _Refused("a chumpy selection of it has an odd state")
        self.state = state

    def array(self, plain: Callable[[Any], Any]) -> np.ndarray:
        values = np.asarray(plain(self.state["a"])).ravel()[np.asarray(plain(self.state["idxs"]), dtype=np.int64)]
        shape = self.state.get("preferred_shape")
        return values if shape is None else values.reshape(shape)


class _Csc(_Object):
    """A ``scipy.sparse.csc_matrix`` on its way: built anew from its parts, whichever scipy stored them."""

    def __new__(cls) -> _Csc:
        made = object.__new__(cls)
        made.state = {}
        return made

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict) or not {"data", "indices", "indptr"} <= set(state):
            raise _Refused("a sparse matrix of it has an odd state")
        self.state = state

    def matrix(self, plain: Callable[[Any], Any]) -> Any:
        from scipy.sparse import csc_matrix

        parts = [np.asarray(plain(self.state[name])) for name in ("data", "indices", "indptr")]
        shape = tuple(int(n) for n in self.state.get("_shape", self.state.get("shape")))
        try:
            matrix = csc_matrix(parts[0].shape and tuple(parts), shape=shape)
            matrix.check_format(full_check=True)
        except (ValueError, TypeError) as error:
            raise _Refused(f"a sparse matrix of it is broken: {error}") from error
        return matrix


class _Namespace(_Object):
    """An ``argparse.Namespace`` on its way."""

    def __new__(cls) -> _Namespace:
        made = object.__new__(cls)
        made.state = {}
        return made

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
            raise _Refused("a namespace of it has an odd state")
        self.state = state

    def namespace(self, plain: Callable[[Any], Any]) -> Namespace:
        return Namespace(**{key: plain(value) for key, value in self.state.items()})


class _Inert(_Object):
    """Base of the classes that stand for names without meaning here; :class:`_Plain` puts the name in their place."""

    @classmethod
    def named(cls, name: str) -> type[_Inert]:
        """The class that stands for `name`, ``"package.module.Class"``."""
        module, _, leaf = name.rpartition(".")
        return _NoConstructor(leaf, (cls,), {"__module__": module, "__qualname__": leaf})


class _Storage:
    """The numbers of a ``torch.Tensor`` that was pickled by itself, as in landmark embeddings."""

    __slots__ = ("values",)

    def __init__(self, values: np.ndarray):
        self.values = values

    def __setstate__(self, state: Any) -> None:
        raise _Refused("it alters a tensor's memory")


def _load_storage(content: Any) -> _Storage:
    """``torch.storage._load_from_bytes``, whose original would unpickle the bytes freely."""
    import torch

    if not isinstance(content, bytes):
        raise _Refused("it describes a tensor wrongly")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            storage = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
            return _Storage(torch.tensor([], dtype=storage.dtype).set_(storage).numpy())
        except Exception as error:
            raise _Refused("it describes a tensor wrongly") from error


def _rebuild_tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> np.ndarray:
    """``torch._utils._rebuild_tensor_v2``: a view of a storage, here a copy of it as an array."""
    numbers = (offset, *size, *stride) if isinstance(size, tuple) and isinstance(stride, tuple) else (None,)
    if not isinstance(storage, _Storage) or len(size) != len(stride):
        raise _Refused("it describes a tensor wrongly")
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise _Refused("it describes a tensor wrongly")
    last = offset + sum((count - 1) * step for count, step in zip(size, stride, strict=True))
    if 0 not in size and (last >= len(storage.values) or math.prod(size) > len(storage.values)):
        raise _Refused("it describes a tensor wrongly")
    if 0 in size:
        return np.zeros(size, storage.values.dtype)
    steps = [step * storage.values.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(storage.values[offset:], size, steps).copy()


_INERT = (Ch, Select, _Csc, _Namespace)


def _copyreg_reconstructor(cls: Any, base: Any, state: Any) -> Any:
    """``copy_reg._reconstructor``: how protocols 0 and 1 make instances."""
    if cls not in _INERT or base is not _Object or state is not None:
        raise _Refused("it makes an instance of an unknown class")
    return cls.__new__(cls)


def _names() -> dict[tuple[str, str], Any]:
    allowed: dict[tuple[str, str], Any] = {
        ("numpy", "ndarray"): _NdarrayName,
        ("numpy", "dtype"): _Call(_Dtype),
        ("_codecs", "encode"): _Call(_encode),
        ("collections", "OrderedDict"): _Call(OrderedDict),
        ("argparse", "Namespace"): _Namespace,
        ("chumpy.ch", "Ch"): Ch,
        ("chumpy.reordering", "Select"): Select,
        ("torch.storage", "_load_from_bytes"): _Call(_load_storage),
        ("torch._utils", "_rebuild_tensor_v2"): _Call(_rebuild_tensor),
    }
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        allowed[module, "_reconstruct"] = _Call(_reconstruct)
        allowed[module, "scalar"] = _Call(_scalar)
    for module in ("numpy.core.numeric", "numpy._core.numeric"):
        allowed[module, "_frombuffer"] = _Call(_frombuffer)
    for module in ("scipy.sparse.csc", "scipy.sparse._csc"):
        allowed[module, "csc_matrix"] = _Csc
    for module in ("builtins", "__builtin__"):
        allowed |= {(module, "set"): _Call(set), (module, "frozenset"): _Call(frozenset), (module, "object"): _Object}
        allowed |= {(module, "bytearray"): _Call(_bytearray), (module, "complex"): _Call(complex)}
        allowed |= {(module, "bytes"): _Call(_bytes), (module, "slice"): _Call(slice)}
    for module in ("copyreg", "copy_reg"):
        allowed[module, "_reconstructor"] = _Call(_copyreg_reconstructor)
    return allowed


def _bytearray(content: Any = b"", encoding: Any = "latin1") -> bytearray:
    return bytearray(content if isinstance(content, bytes) else _encode(content, encoding))


def _bytes(content: Any = b"") -> bytes:
    """Python 3 writes ``b""`` as ``bytes()`` for old protocols; ``bytes(10**12)`` is refused."""
    if content != b"":
        raise _Refused("it makes bytes from something else")
    return b""


_ALLOWED = _names()


class _Unpickler(pickle.Unpickler):
    """Knows the names of `_ALLOWED` (and `extra`) and no others."""

    def __init__(self, file: IO[bytes], extra: Mapping[tuple[str, str], Any] | None = None):
        super().__init__(file, encoding="latin1")
        self._allowed = {**_ALLOWED, **(extra or {})}

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._allowed[module, name]
        except KeyError:
            raise _Refused(f"it asks for {module}.{name}") from None

    def persistent_load(self, identifier: Any) -> Any:
        raise _Refused("it refers to something outside itself")


# --- from stand-ins to plain values ----------------------------------------------------------------------------------


class _Plain:
    """Makes plain values of what was unpickled: arrays without our class, sparse matrices, no stand-ins.

    Lists, dictionaries and object arrays are changed in place, so that what was one object stays one.
    """

    def __init__(self):
        self._done: dict[int, tuple[Any, Any]] = {}  # by id; the object is kept, so that its id stays its own

    def __call__(self, value: Any) -> Any:
        if value is None or isinstance(value, str | bytes | int | float | complex | np.generic):
            return value
        if id(value) in self._done:
            return self._done[id(value)][1]
        if isinstance(value, list | dict | Ch):
            self._done[id(value)] = value, value  # before its elements: it may be one of them
        made = self._made(value)
        self._done[id(value)] = value, made
        return made

    def _made(self, value: Any) -> Any:
        if isinstance(value, list):
            value[:] = [self(item) for item in value]
        elif isinstance(value, dict):
            plain = {self(key): self(item) for key, item in value.items()}
            value.clear()
            value.update(plain)
        elif isinstance(value, tuple):
            return tuple(self(item) for item in value)
        elif isinstance(value, np.ndarray):
            return self._array(value)
        elif isinstance(value, Ch):
            value.x = self(value.x)
        elif isinstance(value, Select):
            return value.array(self)
        elif isinstance(value, _Csc):
            return value.matrix(self)
        elif isinstance(value, _Namespace):
            return value.namespace(self)
        elif isinstance(value, _NoConstructor) and issubclass(value, _Inert):
            return f"{value.__module__}.{value.__qualname__}"
        elif isinstance(value, _Call | _Dtype | _Storage | _NoConstructor):
            raise _Refused("it holds code where data should be")
        return value

    def _array(self, value: np.ndarray) -> np.ndarray:
        plain = value.view(np.ndarray)
        if plain.dtype.hasobject:
            self._done[id(value)] = value, plain
            for index, item in enumerate(plain.flat):
                plain.flat[index] = self(item)
        return plain


# --- reading ---------------------------------------------------------------------------------------------------------


def load_pickle(path: str | Path | IO[bytes], *, extra: Mapping[tuple[str, str], Any] | None = None) -> Any:
    """What the first pickle in a file holds: numbers, text, containers, arrays, scipy's csc matrices, :class:`Ch`.

    Text of Python 2 is taken as Latin-1.

    Args:
        path: of the file, or a binary file that is open.
        extra: further names to allow, ``(module, name)`` -> a callable that checks its arguments.

    Raises:
        InputError: it is missing, cut, no pickle, or asks for anything but data.
    """
    with _opened(path) as (file, name):
        return _load(file, name, extra)


def load_pickles(path: str | Path | IO[bytes], *, extra: Mapping[tuple[str, str], Any] | None = None) -> list[Any]:
    """All pickles that follow each other in a file; see :func:`load_pickle`."""
    with _opened(path) as (file, name):
        found = [_load(file, name, extra)]
        while file.read(1):
            file.seek(-1, io.SEEK_CUR)
            found.append(_load(file, name, extra))
        return found


def load_object_npy(path: str | Path) -> Any:
    """What an ``.npy`` file holds that may have a pickle inside: the object itself if it is one, else the array.

    Raises:
        InputError: as for :func:`load_pickle`, or it is no ``.npy`` file.
    """
    with _opened(path) as (file, name):
        try:
            version = np.lib.format.read_magic(file)
            read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else _read_header_2
            shape, _, dtype = read_header(file)
        except Exception as error:  # of a damaged header numpy lets Python's own parser complain
            raise InputError(name, "is not a NumPy .npy file", _mend_of(name)) from error
        if dtype.hasobject:
            if dtype != np.dtype(object):
                raise InputError(name, f"holds an array of {dtype}", _UNTRUSTED)
            array = _load(file, name, None)
            if not isinstance(array, np.ndarray) or array.shape != shape:
                raise InputError(name, "holds something else than its header says", _MEND)
            return array.item() if shape == () else array
        start, end = file.tell(), file.seek(0, os.SEEK_END)
        if math.prod(shape) * dtype.itemsize > end - start:  # before there is memory for what isn't there
            raise InputError(name, "is cut: its end is missing", _MEND)
        file.seek(0)
        try:
            return np.load(file, allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise InputError(name, f"is a damaged .npy file: {_one_line(error)}", _MEND) from error


def _read_header_2(file: IO[bytes]) -> tuple:
    return np.lib.format.read_array_header_2_0(file)


@contextlib.contextmanager
def _opened(path: str | Path | IO[bytes]) -> Iterator[tuple[IO[bytes], str]]:
    if hasattr(path, "read"):
        yield path, str(getattr(path, "name", "this stream"))
        return
    check_file(path)
    try:
        file = Path(path).open("rb")  # noqa: SIM115
    except OSError as error:
        raise input_error(path, error) from error
    with file:
        yield file, str(path)


def _load(file: IO[bytes], name: str, extra: Mapping[tuple[str, str], Any] | None) -> Any:
    try:
        return _Plain()(_Unpickler(file, extra).load())
    except _Refused as error:
        raise InputError(name, f"is refused: {error}", _UNTRUSTED) from error
    except EOFError as error:
        raise InputError(name, "is cut: its end is missing", _MEND) from error
    except InputError:
        raise
    except Exception as error:  # a broken or hostile pickle can raise anything
        if any(word in str(error) for word in _CUT):
            raise InputError(name, "is cut: its end is missing", _MEND) from error
        raise InputError(name, f"can't be unpickled: {_one_line(error)}", _mend_of(name)) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _mend_of(name: str) -> str:
    """What to do about a file that isn't what it should be: perhaps its content says."""
    content = sniff(read_head(Path(name))) if name != "this stream" else sniff(b"")
    return content.mend or _MEND


def load_checkpoint(path: str | Path, *, device: Any = "cpu", inert: Iterable[str] = (), mmap: bool = False) -> Any:
    """A torch checkpoint, read with ``weights_only=True``: tensors, containers, numpy values, ``argparse.Namespace``.

    Args:
        inert: names of classes, ``"package.module.Class"``, that the file may mention though nothing is made of them:
            they come out as these texts. (Lightning's checkpoints have classes for keys.)
        mmap: leave the tensors in the file, on the CPU, to be read when looked at; the file must stay as it is for
            as long. Files in the format before torch 1.6 are read all the same.

    Raises:
        InputError: it is missing, cut, no checkpoint, or holds code besides weights.
    """
    import torch

    check_file(path)
    mmap = mmap and read_head(Path(path)).startswith(_ZIP)
    try:
        with warnings.catch_warnings(), _checkpoint_names(torch, [_Inert.named(name) for name in inert]):
            warnings.simplefilter("ignore")
            return _Plain()(torch.load(path, map_location=device, weights_only=True, mmap=mmap))
    except PermissionError as error:
        raise input_error(path, error) from error
    except _Refused as error:
        raise InputError(path, f"is refused: {error}", _UNTRUSTED) from error
    except Exception as error:  # torch raises nearly anything
        raise _checkpoint_error(path, error) from error


def _checkpoint_names(torch: Any, inert: list[type[_Inert]]) -> contextlib.AbstractContextManager:
    """Lets `torch.load` take numpy values and `argparse.Namespace`, as our stand-ins, which check what they are given,
    and the classes `inert`.

    Before torch 2.6 one could not say what a name stands for; there such checkpoints stay refused.
    """
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    if version < (2, 6):
        return torch.serialization.safe_globals(inert) if inert and version >= (2, 5) else contextlib.nullcontext()
    named = [
        *inert,
        (_NdarrayName, "numpy.ndarray"),
        (_Dtype, "numpy.dtype"),
        (_Array, "facecli.array"),  # not for the file to name: torch sets the state of these classes only
        (_encode, "_codecs.encode"),
        (_Namespace, "argparse.Namespace"),
    ]
    for core in ("numpy.core", "numpy._core"):
        named += [(_scalar, f"{core}.multiarray.scalar"), (_reconstruct, f"{core}.multiarray._reconstruct")]
    return torch.serialization.safe_globals(named)


_ZIP = b"PK\x03\x04"
_CUT = ("Ran out of input", "unexpected EOF", "truncated")


def _checkpoint_error(path: str | Path, error: Exception) -> InputError:
    text = " ".join(str(error).split())
    for mark in ("Unsupported global: GLOBAL ", "Unsupported class ", "unsupported GLOBAL "):
        if mark in text:
            asked = text.split(mark)[1].split()[0]
            return InputError(path, f"is refused: besides weights it asks for {asked}", _UNTRUSTED)
    content = sniff(read_head(Path(path)))
    cut_archive = content.words == "a ZIP archive" and ("central directory" in text or isinstance(error, OSError))
    if cut_archive or isinstance(error, EOFError) or any(word in text for word in _CUT):
        return InputError(path, "is cut: the end of the checkpoint is missing", "download it again")
    if content.words.startswith("no file of a kind") or content.words == "a ZIP archive":
        return InputError(path, "is no torch checkpoint, or a damaged one", "download it again")
    return InputError(path, f"is no torch checkpoint but {content.words}", content.mend or "download it again")
