"""Where MediaPipe's 478 points lie on ICT-FaceKit's surface.

Found on a thousand rendered heads: for each of MediaPipe's points the place on the mesh whose projection lay closest to
it on average, made the same on both sides of the face. MediaPipe scatters around these places by 2.6 mm (irises: 1.3).
"""

from __future__ import annotations

import functools
from importlib import resources

import numpy as np

from facecli.morphable.ict import IctModel

FILE = "ict_mediapipe478.npz"


@functools.cache
def _places() -> tuple[np.ndarray, np.ndarray]:
    with resources.files("facecli.morphable").joinpath(FILE).open("rb") as file, np.load(file) as archive:
        return archive["source"].astype(np.int64), archive["weights"].astype(np.float64)


def mediapipe478(model: IctModel) -> tuple[np.ndarray, np.ndarray]:
    """Corners [478, 3] int64, vertices of `model`, and their weights [478, 3], which add up to 1.

    The last ten are on the eyeballs: the middle and four places on the rim of the subject's right iris, then the left.

    Raises:
        InputError: the model lacks one of these vertices.
    """
    source, weights = _places()
    return model.local(source.ravel()).reshape(source.shape), weights


def points478(model: IctModel, vertices: np.ndarray) -> np.ndarray:
    """[B, 478, 3] of `vertices` [B, V, 3]."""
    corners, weights = mediapipe478(model)
    return np.einsum("kc,bkcd->bkd", weights, vertices[:, corners])
