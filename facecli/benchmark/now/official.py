"""Files as the official evaluation writes them, for its plotting script, and the reading of other people's."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from facecli.benchmark.scores import SurfaceErrors
from facecli.errors import InputError
from facecli.io.atomic import atomic_write
from facecli.io.safe_pickle import load_object_npy

SHUFFLE_SEED = 0
"""The official program shuffles each image's distances; here always in the same way."""


def write_official(folder: Path, errors: SurfaceErrors, challenge: str | None) -> list[Path]:
    """Write ``METHOD[_metrical]_computed_distances[_CHALLENGE].npy`` and ``….npy.meanmedian``; returns their paths.

    Raises:
        OutputError: they can't be written.
    """
    name = errors.method + ("_metrical" if errors.protocol == "metrical" else "")
    path = folder / f"{name}_computed_distances{f'_{challenge}' if challenge else ''}.npy"
    random = np.random.default_rng(SHUFFLE_SEED)
    content = {
        "computed_distances": [random.permutation(distances) for distances in errors.distances.values()],
        "num_missing_files": len(errors.missing),
        "input_files": list(errors.distances),
    }
    with atomic_write(path) as temporary:
        temporary.write_bytes(object_npy(content))
    means = path.with_name(path.name + ".meanmedian")
    with atomic_write(means) as temporary:
        temporary.write_text(f"{errors.median}\n{errors.mean}\n", "ascii")
    return [path, means]


def object_npy(content: Any) -> bytes:
    """An `.npy` file of a 0-d object array that numpy 1 reads, too (the official environment has no other)."""
    array = np.empty((), dtype=object)
    array[()] = content
    file = io.BytesIO()
    header = {"descr": "|O", "fortran_order": False, "shape": ()}
    np.lib.format.write_array_header_1_0(file, header)
    # In protocol 3 a name is a line of text; numpy 2 has moved the function that makes arrays. A name is written once.
    pickled = pickle.dumps(array, protocol=3)
    file.write(pickled.replace(b"cnumpy._core.multiarray\n_recon", b"cnumpy.core.multiarray\n_recon", 1))
    return file.getvalue()


def read_distances(path: str | Path) -> np.ndarray:
    """All distances [N] float64 mm of an official result file, or of a plain array of numbers.

    Raises:
        InputError: the file can't be read, or holds something else.
    """
    content = load_object_npy(path)
    if isinstance(content, Mapping):
        if "computed_distances" not in content:
            raise InputError(path, "holds no computed_distances", "is it a file of the NoW evaluation?")
        content = content["computed_distances"]
    try:
        parts = [np.asarray(part, np.float64).ravel() for part in content]
        distances = np.concatenate([np.empty(0), *parts])
    except (TypeError, ValueError):
        raise InputError(path, "holds no distances", "is it a file of the NoW evaluation?") from None
    if not len(distances) or not np.isfinite(distances).all() or (distances < 0).any():
        raise InputError(path, "holds no distances: they are finite and at least 0, and there are some")
    return distances
