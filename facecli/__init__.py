"""facecli: monocular 3D face reconstruction.

    import facecli
    for face in facecli.reconstruct("photo.jpg", model="mediapipe"):
        print(face.box, face.mesh.vertices.shape)

Importing this package is cheap: torch, OpenCV, numba and MediaPipe are imported by the functions that use them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["landmarks", "models", "read_image", "reconstruct", "save_mesh", "transfer"]

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from os import PathLike

    import numpy as np

    from facecli.detect.face import Face
    from facecli.geometry.mesh import TriangleMesh
    from facecli.plugin import Plugin
    from facecli.reconstruction.api import Input, ReconstructedFace


def reconstruct(
    inputs: Input | Iterable[Input], model: str | None = None, **settings: Any
) -> Iterator[ReconstructedFace]:
    """Every face of every picture, largest first; see :func:`facecli.reconstruction.api.reconstruct`."""
    from facecli.reconstruction.api import reconstruct

    return reconstruct(inputs, model, **settings)


def transfer(source: Input, target: Input, model: str | None = None, **settings: Any) -> Iterator[ReconstructedFace]:
    """The faces of `source` with the expression of `target`; see :func:`facecli.reenactment.api.transfer`."""
    from facecli.reenactment.api import transfer

    return transfer(source, target, model, **settings)


def landmarks(
    image: str | PathLike[str] | np.ndarray,
    landmarker: str = "mediapipe",
    *,
    detector: str | None = None,
    **options: Any,
) -> list[Face]:
    """The faces of one picture (a path, or RGB uint8 [H, W, 3]) with their landmarks, largest first.

    Args:
        landmarker: ``"mediapipe"``, ``"fan"``, …; see ``facecli models``.
        detector: says which faces there are (``"faceboxes"``); landmarks are then looked for within its boxes, and
            ``confidence`` is its threshold.
        options: the landmarker's: ``confidence``, ``device``, …

    Raises:
        InputError: the picture can't be read.
        UsageError: there is no such landmarker or detector.
        MissingAssetError: the landmarker needs a file that is not on this machine.
    """
    from facecli import registry
    from facecli.detect.face import largest_first

    image = image if hasattr(image, "shape") else read_image(image)
    if detector is None:
        made = registry.landmarker(landmarker, **options)
    else:
        from facecli.detect.within_boxes import landmarker_within

        theirs = {name: options.pop(name) for name in ("confidence", "device") if name in options}
        made = landmarker_within(detector, landmarker, options, **theirs)
    try:
        return largest_first(made.detect([image])[0])
    finally:
        made.close()


def read_image(path: str | PathLike[str]) -> np.ndarray:
    """A picture as RGB uint8 [H, W, 3], upright; raises InputError."""
    from facecli.io.images import read_image

    return read_image(path)


def save_mesh(path: str | PathLike[str], mesh: TriangleMesh) -> None:
    """Write a mesh; the suffix decides: .obj (with .mtl and texture), .glb or .ply."""
    from pathlib import Path

    from facecli.errors import UsageError
    from facecli.export.glb import write_glb
    from facecli.export.obj import write_obj
    from facecli.export.ply import write_ply

    writers = {".obj": write_obj, ".glb": write_glb, ".ply": write_ply}
    suffix = Path(path).suffix.lower()
    if suffix not in writers:
        raise UsageError(f"{path}: meshes are saved as {', '.join(writers)}")
    writers[suffix](path, mesh)


def models() -> dict[str, Plugin]:
    """The installed model plugins by name."""
    from facecli import registry

    return registry.plugins()
