"""The contract between facecli and its model plugins. Read this first.

A plugin is a Python package that registers one object in the entry-point group ``facecli.plugins``::

    # pyproject.toml of the plugin
    [project.entry-points."facecli.plugins"]
    mymodel = "my_package:plugin"

    # my_package/__init__.py: no torch, no cv2 here; working objects are named, not imported
    from facecli.plugin import Plugin
    plugin = Plugin(
        name="mymodel",
        summary="one line for `facecli models`",
        code_license="MIT",
        weights_license="CC-BY-4.0",
        reconstructor="my_package.model:MyReconstructor",
        family="my-family",
    )

Working objects are given as ``"module:attribute"`` and imported when used, so that listing fifty plugins costs
nothing and a broken one takes nobody else down. The attribute is a class (or function) that the registry calls with
keyword options, and what it returns keeps one of the protocols below.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:  # names in annotations only: a plugin's description imports no numpy and no torch
    import numpy as np
    import torch

    from facecli.assets.catalogue import Asset
    from facecli.codes import Codes
    from facecli.detect.face import Face
    from facecli.geometry.mesh import TriangleMesh


@dataclass(frozen=True)
class Plugin:
    """What a plugin is and offers: the object behind its entry point.

    Args:
        name: what users type after ``--model``; the entry point has the same name.
        summary: one line.
        code_license, weights_license: SPDX names where they exist, else a few words ("research only").
        citation: the paper, for people to cite.
        homepage: where the original lives.
        family: models of one family mean the same by the same code name (``"flame"``, ``"basel"``, …), so their
            codes can be mixed.
        reconstructor: ``"module:attribute"`` of a :class:`Reconstructor`, or None.
        landmarkers: name -> ``"module:attribute"`` of a :class:`Landmarker`.
        assets: the files it needs, as :class:`facecli.assets.catalogue.Asset`, in the order of importance.
        optional_assets: files that only some options need.
        packages: importable Python packages it needs beyond facecli's own, e.g. ``("mediapipe",)``.
    """

    name: str
    summary: str
    code_license: str
    weights_license: str
    citation: str = ""
    homepage: str = ""
    family: str = ""
    reconstructor: str | None = None
    landmarkers: Mapping[str, str] = field(default_factory=dict)
    assets: tuple[Asset, ...] = ()
    optional_assets: tuple[Asset, ...] = ()
    packages: tuple[str, ...] = ()

    @property
    def offers(self) -> tuple[str, ...]:
        """What ``facecli models`` shows: ``("reconstruct", "landmarks: fan, fan3d")``."""
        found = []
        if self.reconstructor:
            found.append("reconstruct")
        if self.landmarkers:
            found.append("landmarks: " + ", ".join(self.landmarkers))
        return tuple(found)


@runtime_checkable
class Landmarker(Protocol):
    """Finds faces (and their landmarks) in pictures.

    Constructed as ``Landmarker(confidence=0.5, max_faces=None, device="cpu", **own_options)`` once a process and kept;
    `max_faces` is only a hint. It is used by one thread at a time.
    """

    point_set: str
    """Name of the landmark set of the faces it returns."""

    def detect(self, images: Sequence[np.ndarray]) -> list[list[Face]]:
        """Faces of each picture. `images`: RGB uint8 [H, W, 3], of any and differing sizes."""
        ...

    def close(self) -> None:
        """Free what it holds."""
        ...


@dataclass
class Crop:
    """What one face hands to a model's encoder.

    Args:
        face: the face, in pixels of the photograph.
        image: float32 [3, H, W] RGB 0..1, the model's input crop (a model that works from landmarks alone may make a
            crop just for `--save crop`).
        warp: [3, 3] float64, takes homogeneous pixels of the photograph to pixels of `image`.
        photo_size: (height, width) of the photograph.
    """

    face: Face
    image: np.ndarray
    warp: np.ndarray
    photo_size: tuple[int, int]


@dataclass
class Reconstruction:
    """Decoded faces, batch first. All tensors float32 on the model's device unless said otherwise.

    Two frames are used. The *head frame* is the model's metric space: x right, y up, z towards the viewer of a frontal
    face. The *photograph* has OpenCV pixels: x right, y down, integer coordinates at pixel centres.

    Args:
        vertices: [B, V, 3] in the head frame; `head_pose` is not in it.
        triangles: [F, 3] int64, counter-clockwise from outside.
        projected: [B, V, 3] the vertices in the photograph: x, y in pixels, and depth growing *away* from the camera
            (in units of the model, any offset), ready for the rasterizer.
        head_pose: [B, 4, 4] head frame -> camera frame (same axes, same unit), or None when `vertices` already
            carry the pose.
        landmarks: point-set name -> [B, K, 2 or 3] in pixels of the photograph.
        camera: a few words and numbers that say how `vertices` project, for face.json: values [B, ...] or plain.
        uv: [T, 2] the model's UV layout, origin bottom-left, the same for every photograph; None if it has none.
        uv_triangles: [F, 3] int64 or None (`uv` per vertex).
        uv_mirror: for the texture's completion by symmetry: uv [T, 2] of each UV vertex's mirror twin, or None.
        texture: [B, 3, H, W] 0..1 the model's own texture, or None: then the photograph's is sampled.
        metres_per_unit: 0.001 when `vertices` are in millimetres.
        extras: a model's further results by name, [B, ...] each.
    """

    vertices: torch.Tensor
    triangles: torch.Tensor
    projected: torch.Tensor
    head_pose: torch.Tensor | None = None
    landmarks: dict[str, torch.Tensor] = field(default_factory=dict)
    camera: dict[str, Any] = field(default_factory=dict)
    uv: torch.Tensor | None = None
    uv_triangles: torch.Tensor | None = None
    uv_mirror: torch.Tensor | None = None
    texture: torch.Tensor | None = None
    metres_per_unit: float = 0.001
    extras: dict[str, torch.Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.vertices)

    def select(self, index: slice) -> Reconstruction:
        """The faces `index`, still batched."""

        def part(value: Any) -> Any:
            return value[index] if getattr(value, "ndim", 0) and len(value) == len(self) else value

        return replace(
            self,
            vertices=self.vertices[index],
            projected=self.projected[index],
            head_pose=None if self.head_pose is None else self.head_pose[index],
            landmarks={name: points[index] for name, points in self.landmarks.items()},
            camera={name: part(value) for name, value in self.camera.items()},
            texture=None if self.texture is None else self.texture[index],
            extras={name: value[index] for name, value in self.extras.items()},
        )

    def mesh(self, index: int, texture: np.ndarray | None = None) -> TriangleMesh:
        """Face `index` as a numpy mesh in the head frame, with `texture` [H, W, 3] uint8 if given."""
        from facecli.geometry.mesh import TriangleMesh

        def to_numpy(tensor):
            return None if tensor is None else tensor.detach().cpu().numpy()

        return TriangleMesh(
            vertices=to_numpy(self.vertices[index]),
            triangles=to_numpy(self.triangles),
            uv=to_numpy(self.uv),
            uv_triangles=to_numpy(self.uv_triangles),
            texture=texture,
            metres_per_unit=self.metres_per_unit,
        )


@runtime_checkable
class Reconstructor(Protocol):
    """Turns face crops into codes and codes into meshes.

    Constructed as ``Reconstructor(device="cpu", **own_options)``. `crop` may be called from several threads at once;
    `encode` and `decode` from one at a time.
    """

    family: str
    landmarker: str
    """Name of the landmarker that it takes its faces from, unless the user chooses another."""
    landmarker_options: Mapping[str, Any]
    """Options for that landmarker, e.g. ``{"confidence": 0.1}``."""
    constants: Sequence[str]
    """Codes that a person keeps from frame to frame; a video's are held at their median. May be empty."""
    batch_size: int
    """Faces that it encodes at once, unless the user says otherwise: 1 where batching gains nothing."""
    # A model may also have `code_unit(name, value) -> float | None`: a just noticeable change of a code's numbers, for
    # codes whose own spread doesn't tell it (a camera). Smoothing opens up at speeds of this a second.

    def crop(self, image: np.ndarray, face: Face) -> Crop:
        """The model's crop recipe. `image`: the photograph, RGB uint8 [H, W, 3]."""
        ...

    def encode(self, crops: Sequence[Crop]) -> Codes:
        """Codes of B faces, each value [B, ...]; batches equal single runs."""
        ...

    def decode(self, codes: Codes) -> Reconstruction:
        """Meshes of B faces, from codes alone: what `encode` gave, mixed or read from a file."""
        ...
