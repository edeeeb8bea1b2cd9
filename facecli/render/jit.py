"""The one way this package compiles numba kernels."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

if importlib.util.find_spec("numba") is None:
    raise ModuleNotFoundError("the Python package numba is not installed", name="numba")

import numba


def jit(function: Callable) -> Callable:
    """Compile `function` without the GIL, without reordering floats, and cache the machine code.

    Numba keeps its cache in ``$NUMBA_CACHE_DIR``, else beside the source, else in the user's cache folder. Where none
    of them can be written to, the kernel is compiled anew in each process.
    """
    options = {"nogil": True, "error_model": "numpy", "fastmath": False}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # "no locator available": nowhere to keep the cache
        return numba.njit(**options)(function)
