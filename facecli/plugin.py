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
    from pathlib import Path

    import numpy as np
    import torch

    from facecli.assets.catalogue import Asset
    from facecli.codes import Codes
    from facecli.detect.face import Face
    from facecli.geometry.mesh import TriangleMesh


@dataclass(frozen=True)
class Option:
    """Something users may set of a model: ``--option NAME=VALUE``; the reconstructor's constructor takes it by name.

    Args:
        help: one line.
        kind: ``bool`` (yes, no, true, false, 1, 0), ``int``, ``float`` or ``str``.
        choices: the words allowed, if not all are.
    """

    help: str
    kind: type = str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class LayoutInfo:
    """Files named and made as a model's own program does: ``--layout NAME``.

    Args:
        target: ``"module:attribute"`` of a :class:`Layout`.
        summary: one line.
        saves: word for ``--save`` -> what is written; with a layout these words count, not facecli's own.
        default: the words that count without ``--save``.
    """

    target: str
    summary: str
    saves: Mapping[str, str] = field(default_factory=dict)
    default: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrainingInfo:
    """Something that users may train: ``facecli train NAME``.

    Args:
        target: ``"module:attribute"`` of a function ``train(settings, out, told, workers)`` that returns the path of
            what it made: `settings` as below, `out` a folder (of a killed training, which goes on, or of none),
            `told` a :class:`facecli.listener.Listener`, `workers` a number of processes or None.
        settings: ``"module:attribute"`` of a frozen dataclass whose fields are words, numbers, yes or no, with
            defaults; its docstring says what they are, and it raises UsageError where they make no sense.
        summary: one line.
    """

    target: str
    settings: str
    summary: str


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
        expression_topology: of models that have an `expression_basis`, the mesh on which it is one (``"bfm53215"``):
            expressions go from one family to another where this is the same, as far as the bases agree.
        reconstructor: ``"module:attribute"`` of a :class:`Reconstructor`, or None.
        options: what users may set of the reconstructor, by name.
        benchmark_options: values of these for benchmarks of shape and landmarks, unless users say otherwise: without
            what takes time and doesn't change `vertices`.
        pictures: name -> what it shows: pictures that the reconstructor's `draw` makes, further words for ``--save``.
        layouts: name -> :class:`LayoutInfo`.
        trainings: name -> :class:`TrainingInfo`.
        landmarkers: name -> ``"module:attribute"`` of a :class:`Landmarker`.
        detectors: name -> ``"module:attribute"`` of a :class:`Detector`.
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
    expression_topology: str = ""
    reconstructor: str | None = None
    options: Mapping[str, Option] = field(default_factory=dict)
    benchmark_options: Mapping[str, Any] = field(default_factory=dict)
    pictures: Mapping[str, str] = field(default_factory=dict)
    layouts: Mapping[str, LayoutInfo] = field(default_factory=dict)
    trainings: Mapping[str, TrainingInfo] = field(default_factory=dict)
    landmarkers: Mapping[str, str] = field(default_factory=dict)
    detectors: Mapping[str, str] = field(default_factory=dict)
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
        if self.detectors:
            found.append("boxes: " + ", ".join(self.detectors))
        if self.trainings:
            found.append("train: " + ", ".join(self.trainings))
        return tuple(found)


@runtime_checkable
class Landmarker(Protocol):
    """Finds faces (and their landmarks) in pictures.

    Constructed as ``Landmarker(confidence=0.5, max_faces=None, device="cpu", **own_options)`` once a process and kept;
    `max_faces` is only a hint. It is used by one thread at a time. One that takes an option `detector` is handed the
    name that users give with ``--detector``, instead of being asked within the boxes.
    """

    point_set: str
    """Name of the landmark set of the faces it returns."""

    def detect(self, images: Sequence[np.ndarray]) -> list[list[Face]]:
        """Faces of each picture. `images`: RGB uint8 [H, W, 3], of any and differing sizes."""
        ...

    def close(self) -> None:
        """Free what it holds."""
        ...


@runtime_checkable
class Detector(Protocol):
    """Finds faces' boxes alone: its faces have no points. Constructed and used as a :class:`Landmarker`.

    ``--detector NAME`` puts one before any model: the model's landmarker is then asked for the face in each box, unless
    boxes are all the model needs.
    """

    def detect(self, images: Sequence[np.ndarray]) -> list[list[Face]]:
        """Faces of each picture, best first. `images`: RGB uint8 [H, W, 3], of any and differing sizes."""
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


@dataclass(frozen=True)
class Detail:
    """Fine structure on top of the coarse mesh: wrinkles as a displacement along the normals, in the UV layout.

    Args:
        displacement: [B, 1, S, S] in the unit of the vertices, along the coarse mesh's normals; row 0 is v = 1.
        normals: [B, 3, S, S] unit normals of the displaced surface in the head frame, 0 where the UV layout is empty.
        vertices: [B, D, 3] dense vertices in the head frame, displaced, or None.
        triangles: [E, 3] int64 of the dense vertices, counter-clockwise from outside, or None.
        uv: [D, 2] UV of each dense vertex, origin bottom-left, or None.
    """

    displacement: torch.Tensor
    normals: torch.Tensor
    vertices: torch.Tensor | None = None
    triangles: torch.Tensor | None = None
    uv: torch.Tensor | None = None

    def select(self, index: slice) -> Detail:
        """The faces `index`, still batched."""
        vertices = None if self.vertices is None else self.vertices[index]
        return replace(self, displacement=self.displacement[index], normals=self.normals[index], vertices=vertices)


@dataclass(frozen=True)
class Joint:
    """A part of the head that turns as a whole: an eye, the lower jaw. A node of its own in animated exports.

    Args:
        vertices: [N] int64, the vertices that are this part's alone and turn rigidly with it; may be empty.
        pivot: [B, 3] what it turns about, in the frame and unit of the vertices.
        rotation: [B, 3, 3] rest -> now. `Reconstruction.vertices` have it applied already.
    """

    vertices: torch.Tensor
    pivot: torch.Tensor
    rotation: torch.Tensor

    def select(self, index: slice) -> Joint:
        """The faces `index`, still batched."""
        return replace(self, pivot=self.pivot[index], rotation=self.rotation[index])


@dataclass
class Reconstruction:
    """Decoded faces, batch first. All tensors float32 on the model's device unless said otherwise.

    Two frames are used. The *head frame* is the model's metric space: x right, y up, z towards the viewer of a frontal
    face. The *photograph* has OpenCV pixels: x right, y down, integer coordinates at pixel centres.

    Args:
        vertices: [B, V, 3] in the head frame; `head_pose` is not in it. V is 0 of a model that has `no_mesh`.
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
        vertex_colors: [B, V, 3] 0..1 the model's own colours at the vertices, for meshes without a UV layout, or None.
        metres_per_unit: 0.001 when `vertices` are in millimetres, which all of facecli's models give.
        detail: wrinkles, where the model has them.
        landmarks_3d: point-set name -> [B, K, 3] points of the mesh in the frame and unit of `vertices`, at the same
            place of the surface whatever the pose (no contour that slides along the outline). Benchmarks need ibug68
            or a set that can be turned into it.
        joints: name (``eye_left``, ``eye_right``, ``jaw``; the subject's sides) -> :class:`Joint`, where the model has
            parts that turn.
        extras: a model's further results by name, [B, ...] each. ``ibug68_fixed`` [B, 68, 2]: `landmarks_3d`'s ibug68
            in pixels of the photograph, where `landmarks`' have a sliding contour.
    """

    vertices: torch.Tensor
    triangles: torch.Tensor
    projected: torch.Tensor
    head_pose: torch.Tensor | None = None
    landmarks: dict[str, torch.Tensor] = field(default_factory=dict)
    landmarks_3d: dict[str, torch.Tensor] = field(default_factory=dict)
    camera: dict[str, Any] = field(default_factory=dict)
    uv: torch.Tensor | None = None
    uv_triangles: torch.Tensor | None = None
    uv_mirror: torch.Tensor | None = None
    texture: torch.Tensor | None = None
    vertex_colors: torch.Tensor | None = None
    metres_per_unit: float = 0.001
    detail: Detail | None = None
    joints: dict[str, Joint] = field(default_factory=dict)
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
            landmarks_3d={name: points[index] for name, points in self.landmarks_3d.items()},
            camera={name: part(value) for name, value in self.camera.items()},
            texture=None if self.texture is None else self.texture[index],
            vertex_colors=None if self.vertex_colors is None else self.vertex_colors[index],
            detail=None if self.detail is None else self.detail.select(index),
            joints={name: joint.select(index) for name, joint in self.joints.items()},
            extras={name: value[index] for name, value in self.extras.items()},
        )

    def mesh(self, index: int, texture: np.ndarray | None = None) -> TriangleMesh:
        """Face `index` as a numpy mesh in the head frame, with `texture` [H, W, 3] uint8 if given."""
        from facecli.geometry.mesh import TriangleMesh

        def to_numpy(tensor):
            return None if tensor is None else tensor.detach().cpu().numpy()

        colors = None if self.vertex_colors is None else (self.vertex_colors[index].clamp(0, 1) * 255).round().byte()
        return TriangleMesh(
            vertices=to_numpy(self.vertices[index]),
            triangles=to_numpy(self.triangles),
            uv=to_numpy(self.uv),
            uv_triangles=to_numpy(self.uv_triangles),
            texture=texture,
            vertex_colors=to_numpy(colors),
            metres_per_unit=self.metres_per_unit,
        )


@dataclass(frozen=True)
class Rig:
    """Blend shapes of a model whose expressions are linear, before the pose.

    ``decode(codes).vertices`` is nearly ``decode(codes with these names at zero).vertices + weights @ shapes``; what
    is not linear in it (a jaw's rotation) is an approximation that the model states in its docs.

    Args:
        names: of the K shapes, e.g. ``("expression_00", …, "eyelid_left")``.
        codes: [K] the code and the number in it that drives each shape: ``(("expression", 0), …)``.
        shapes: [K, V, 3] offsets at weight 1, in the unit of the vertices.
    """

    names: tuple[str, ...]
    codes: tuple[tuple[str, int], ...]
    shapes: np.ndarray


@dataclass(frozen=True)
class ExpressionBasis:
    """The code ``expression`` as linear offsets on a mesh that models of several families have in common.

    What is in the head frame (x right, y up, z to the viewer) is comparable with any other model's basis on the same
    `topology`, of whichever unit and number of coefficients.

    Args:
        topology: name of that mesh: ``"bfm53215"``, the Basel Face Model's without the insides of mouth and nose.
        vertices: [N] which of its vertices these are, each at most once.
        mean: [N, 3] the mean face at expression zero.
        directions: [E, N, 3] offsets of each coefficient at 1.
        usual: [E] the coefficients' mean on photographs.
        spread: [E] their standard deviation there, so that directions count by how far faces go along them.
        metres_per_unit: of `mean` and `directions`.
    """

    topology: str
    vertices: np.ndarray
    mean: np.ndarray
    directions: np.ndarray
    usual: np.ndarray
    spread: np.ndarray
    metres_per_unit: float = 0.001


@runtime_checkable
class Reconstructor(Protocol):
    """Turns face crops into codes and codes into meshes.

    Constructed as ``Reconstructor(device="cpu", **own_options)``. `crop` may be called from several threads at once;
    `encode` and `decode` from one at a time.
    """

    family: str
    landmarker: str
    """Name of the landmarker that it takes its faces from, unless the user chooses another. Where boxes are all it
    needs, the name of a detector: `crop` then takes faces with and without points."""
    landmarker_options: Mapping[str, Any]
    """Options for that landmarker, e.g. ``{"confidence": 0.1}``."""
    constants: Sequence[str]
    """Codes that a person keeps from frame to frame; a video's are held at their median. May be empty."""
    batch_size: int
    """Faces that it encodes at once, unless the user says otherwise: 1 where batching gains nothing."""
    # A model may also have any of these:
    #
    # code_unit(name, value) -> float | None
    #     A just noticeable change of a code's numbers, for codes whose own spread doesn't tell it (a camera). Smoothing
    #     opens up at speeds of this a second.
    # steady(codes) -> Codes, unsteady(codes) -> Codes
    #     Codes that depend on the crop (a camera) in terms of the photograph, and back. Crops jump about from frame to
    #     frame, and such codes with them: only steady ones can be smoothed. `code_unit` is then asked of these.
    # certainty(codes) -> torch.Tensor
    #     How much the `constants` of each face [B] are to be believed, 0..1, against those of other views of the
    #     person: the weights of `--same-person`. Models without it believe all alike.
    # follow(codes, before) -> Codes
    #     The other codes fitted again where a person's `constants` are held (`--same-person`, `--hold`, videos):
    #     `codes` of B faces with these replaced, `before` as `encode` gave them (in a video perhaps smoothed). What
    #     comes back has the same names and shapes, and its mesh lies in the photograph where that of `before` did. From
    #     codes alone, on whichever device they are, each face by itself; called from any thread, at any time. Not asked
    #     of faces whose constants stay, nor where a transfer gives a face another's codes. Of models without it the
    #     other codes stay.
    # faces_beside(path) -> list[Face] | None
    #     Faces that files beside the photograph `path` tell of; None: the landmarker finds them. Called from several
    #     threads at once.
    # texture_beside(source) -> torch.Tensor | None
    #     The texture [3, H, W] 0..1 of the faces in the input `source` (its path, or what it is called), where users
    #     have textures of their own by the names of pictures; None: `decode`'s. Not asked with a layout. Raises
    #     InputError.
    # crop_box(image, box) -> Crop
    #     The crop around a detector's box [4] in `image`, without landmarks, as the model's authors evaluate it (NoW's
    #     `detected_face`). Its `face` has that box and no points. Models without it get faces landmarked near the box.
    # neutral(codes) -> Codes
    #     The same people at rest, for benchmarks of identity. Not needed where ``identity`` is a code and the standard
    #     names expression, jaw, neck, eyes, eyelids and pose at zero are that.
    # neutral_note: str
    #     One sentence that benchmarks of identity print beside the numbers of a model whose neutral faces aren't quite.
    # whole_picture(image, face) -> Crop
    #     `--no-crop`: the photograph is the model's crop already. `face` has landmarks only if one was found in it.
    # draw(names, crops, codes, reconstruction, photos=None) -> dict[str, list[np.ndarray]]
    #     Its own pictures, by the names in its description's `pictures`: RGB uint8 [h, w, 3], one a face. `crops` is
    #     None when codes came from a file; what needs the photograph is then left out of the answer. With `photos`
    #     (one [H, W, 3] a face) the pictures are made at the size of the photographs, else at that of the crop.
    # carry(source, target, neutral) -> Codes
    #     Expression transfer for models whose codes don't keep identity and expression apart: `source` with the
    #     difference between `target` and `neutral` (the same person, at rest) applied. Batches of equal length. Where
    #     `neutral` is None, nobody has seen the target at rest: the model guesses.
    # resting(codes) -> int
    #     Of one person's faces the one closest to rest, `carry`'s neutral.
    # arkit(codes) -> Tensor
    #     Weights [B, 52] of Apple's ARKit blend shapes, 0..1, in the order of :data:`facecli.export.arkit.NAMES`, where
    #     the codes hold them. Of other models facecli solves them from how the face's points moved.
    # expression_basis() -> ExpressionBasis
    #     What makes the expressions of models of other families the model's own, and its own theirs, in transfers: its
    #     description names the `expression_topology`. Not needed within a family. Raises MissingAssetError where the
    #     file that says which vertices these are isn't there, UsageError where they are none of the topology.
    # rig() -> Rig | None
    #     Blend shapes for exports: see :class:`Rig`.
    # no_mesh: FacecliError | None
    #     Why the model, as it was made, gives head poses without meshes (`vertices` are [B, 0, 3]): a file is missing
    #     (MissingAssetError, which users are told of once), or users want it so (UsageError). What needs a mesh is then
    #     not written; who asks for it by name gets this error. Overlays show the heads' axes.

    def crop(self, image: np.ndarray, face: Face) -> Crop:
        """The model's crop recipe. `image`: the photograph, RGB uint8 [H, W, 3]."""
        ...

    def encode(self, crops: Sequence[Crop]) -> Codes:
        """Codes of B faces, each value [B, ...]; batches equal single runs."""
        ...

    def decode(self, codes: Codes) -> Reconstruction:
        """Meshes of B faces, from codes alone: what `encode` gave, mixed or read from a file."""
        ...


@dataclass
class FaceView:
    """One face on its way to a :class:`Layout`.

    Args:
        stem: the name that its files begin with: the input's, without suffix.
        source: the input's file name as the user has it, with suffix.
        number: of the face, from 0; a person's in a video.
        frame: the video's frame, None for a photograph.
        photo: RGB uint8 [H, W, 3]; black where codes came from a file without a photograph.
        crop: what the model saw; None where codes came from a file.
        codes, reconstruction: of this face alone, [1, ...] each.
    """

    stem: str
    source: str
    number: int
    frame: int | None
    photo: np.ndarray
    crop: Crop | None
    codes: Codes
    reconstruction: Reconstruction


@runtime_checkable
class Layout(Protocol):
    """Writes results under the names, and in the formats, of a model's own program.

    Constructed as ``Layout(model, save=(...), photo_size=False)`` with the reconstructor, the words of ``--save`` and
    whether pictures are wanted at the photographs' size (``--render-orig``). Its methods may run in several threads at
    once. `root` stands for the program's output folder; what is written below it appears at once, when all is done.
    """

    def write_photograph(self, root: Path, views: Sequence[FaceView]) -> None:
        """All files of a photograph's faces, largest first."""
        ...

    def write_frame(self, root: Path, views: Sequence[FaceView]) -> None:
        """The files of one video frame's faces; may do nothing."""
        ...

    def video_name(self, source: str) -> str | None:
        """Path below `root` of the video that the program makes of a video; None if it makes none."""
        ...

    def video_frame(self, photo: np.ndarray, views: Sequence[FaceView]) -> np.ndarray:
        """That video's picture of one frame, RGB uint8; of one size for all frames, also where `views` is empty."""
        ...
