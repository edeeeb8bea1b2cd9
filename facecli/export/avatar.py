"""Somebody's own avatar: a glTF file with ARKit-named morph targets, which takes weights, a gaze and a head's turn.

Whatever else is in the file stays as it is. Morph targets do what they can; nodes of eyes turn only where no target
moves these eyes, since that would be done twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from facecli.errors import InputError
from facecli.export.animation import held_frames, increasing, same_side
from facecli.export.arkit import NAMES, ArkitTrack, eyes_of_weights
from facecli.export.avatar_names import eye_of, is_head, targets_of
from facecli.io.gltf import GltfFile, read_gltf

EYES = ("eye_left", "eye_right")
_LOOKS = tuple(name for name in NAMES if name.startswith("eyeLook"))
_NEAR = 1e-6


@dataclass(frozen=True)
class Morphs:
    """A mesh with targets of ARKit's names.

    Args:
        mesh: its number. nodes: that show it. count: K, its targets.
        driven: [52] what of the K each weight drives.
        base: by node (None: the mesh itself) the weights [K] that the file has now.
    """

    mesh: int
    nodes: tuple[int, ...]
    count: int
    driven: dict[str, list[int]]
    base: dict[int | None, np.ndarray]

    def values(self, weights: np.ndarray, node: int | None) -> np.ndarray:
        """[T, K] of weights [T, 52]; other targets stay as they are."""
        values = np.tile(self.base[node], (len(weights), 1)).astype(np.float32)
        for name, numbers in self.driven.items():
            values[:, numbers] = weights[:, NAMES.index(name), None]
        return values


class Avatar:
    """
    Args:
        path: a ``.glb`` or ``.gltf``. name: as the user named it.

    Raises:
        InputError: it is damaged, or has no target of ARKit's names.
    """

    def __init__(self, path: str | Path, name: str | None = None):
        self.file: GltfFile = read_gltf(path, name)
        try:
            if self.file.document["asset"].get("generator") == "facecli":
                self._to_rest()
            self.morphs = list(self._find_morphs())
            self._parents = {
                child: number for number, node in enumerate(self._nodes) for child in node.get("children", [])
            }
            self._check_tree()
            self._bones = {joint for skin in self.file.listed("skins") for joint in skin["joints"]}
            self._turned_eyes = {eye: node for eye in EYES if (node := self._eye(eye)) is not None}
            for node in (*self._turned_eyes.values(), self.head):
                if node is not None:
                    self._world(node)
        except (KeyError, TypeError, AttributeError, IndexError, ValueError):
            problem = "is damaged: its nodes and meshes don't fit together"
            raise InputError(self.file.name, problem, "export it again") from None
        if not self.morphs:
            raise InputError(self.file.name, self._nothing(), "ARKit's are called eyeBlinkLeft, jawOpen, …")

    def _check_tree(self) -> None:
        """
        Raises:
            ValueError: nodes go in a circle.
        """
        for number in range(len(self._nodes)):
            for steps, _ in enumerate(self._above(number)):
                if steps > len(self._nodes):
                    raise ValueError("nodes in a circle")

    def _to_rest(self) -> None:
        """Of our own heads, which open as they were photographed: eyes ahead, and nothing of that expression."""
        for node in self._nodes:
            if node.get("name") in EYES:
                node.pop("rotation", None)
        for mesh in self.file.listed("meshes"):
            if "weights" in mesh:
                mesh["weights"] = [0.0] * len(mesh["weights"])

    # --- what it has -------------------------------------------------------------------------------------------------

    @property
    def known(self) -> tuple[str, ...]:
        """Those of ARKit's shapes that it has."""
        return tuple(name for name in NAMES if any(name in morphs.driven for morphs in self.morphs))

    @property
    def looks(self) -> bool:
        """Whether its targets say where eyes look."""
        return any(name in _LOOKS for name in self.known)

    def notes(self, *, pose: bool = False) -> Iterator[str]:
        """What users should know of it."""
        missing = [name for name in NAMES if name not in self.known and name not in _LOOKS]
        if missing:
            few = ", ".join(missing[:6]) + (", …" if len(missing) > 6 else "")
            yield f"has {len(self.known)} of ARKit's 52 shapes, not {few}"
        if not self.looks and self._turned_eyes:
            yield "has no shapes eyeLook…: its eyes' nodes turn instead"
        elif not self.looks:
            yield "has neither shapes eyeLook… nor eyes that could be turned: the gaze isn't carried"
        if pose and self.head is None:
            yield "has no node that the whole head hangs on: its pose isn't carried"

    @property
    def _nodes(self) -> list[dict[str, Any]]:
        return self.file.listed("nodes")

    def _find_morphs(self) -> Iterator[Morphs]:
        for number, mesh in enumerate(self.file.listed("meshes")):
            count = len(mesh["primitives"][0].get("targets", []))
            driven = targets_of(_meant_for_weights(mesh)[:count])
            if driven:
                nodes = tuple(n for n, node in enumerate(self._nodes) if node.get("mesh") == number)
                own = np.resize(np.array(mesh.get("weights") or [0.0], np.float32), count)
                base = {n: np.array(self._nodes[n].get("weights") or own, np.float32) for n in nodes}
                if any(len(weights) != count for weights in base.values()):
                    raise ValueError("weights that aren't one a target")
                yield Morphs(number, nodes, count, driven, {None: own} | base)

    def _nothing(self) -> str:
        meshes = self.file.listed("meshes")
        count = sum(len(primitive.get("targets", [])) for mesh in meshes for primitive in mesh["primitives"])
        if not meshes:
            return "holds no mesh"
        if not count:
            return "has no morph targets (blend shapes, shape keys) that weights could drive"
        names = list(dict.fromkeys(name for mesh in meshes for name in _names_of(mesh)))
        if not names:
            return f"has {count} morph targets without names, so nobody can tell which is which"
        return f"has no morph target of ARKit's names, but {', '.join(names[:8])}{', …' if len(names) > 8 else ''}"

    # --- nodes that turn ---------------------------------------------------------------------------------------------

    @cached_property
    def head(self) -> int | None:
        """The node that the head's pose turns: the bone of that name, else a node of that name (or the topmost one)
        above the face's mesh. A skinned mesh is turned by bones alone."""
        bones = [number for number in sorted(self._bones) if is_head(self._nodes[number].get("name", ""))]
        if bones:
            return bones[0]
        for morphs in self.morphs:
            for shown in morphs.nodes:
                if "skin" not in self._nodes[shown]:
                    above = [shown, *self._above(shown)]
                    named = (number for number in above if is_head(self._nodes[number].get("name", "")))
                    return next(named, above[-1])
        return None

    def _eye(self, eye: str) -> int | None:
        """The node that turns this eye where no target does: a mesh of its own, or, in a file whose targets don't look
        anywhere, a bone."""
        named = [number for number, node in enumerate(self._nodes) if eye_of(node.get("name", "")) == eye]
        rigid = [number for number in named if number not in self._bones and self._is_rigid(number)]
        bones = [number for number in named if number in self._bones and not self.looks]
        return next(iter([*bones, *rigid]), None)

    def _is_rigid(self, number: int) -> bool:
        """Whether there is an eyeball in or below a node, around its origin, that nothing but nodes can turn."""
        looking = {morphs.mesh for morphs in self.morphs if any(name in _LOOKS for name in morphs.driven)}
        corners = []
        for node, matrix in self._below(number, np.eye(4)):
            if "mesh" in node:
                if "skin" in node or node["mesh"] in looking:
                    return False
                corners.append(self._corners(node["mesh"]) @ matrix[:3, :3].T + matrix[:3, 3])
        around = np.concatenate(corners) if corners else np.ones((1, 3))
        return bool((around.min(0) < 0).all() and (around.max(0) > 0).all())

    def _corners(self, mesh: int) -> np.ndarray:
        """[N, 3] lowest and highest corners of its primitives."""
        primitives = self.file.listed("meshes")[mesh]["primitives"]
        accessors = [self.file.listed("accessors")[primitive["attributes"]["POSITION"]] for primitive in primitives]
        boxes = np.array([[accessor["min"], accessor["max"]] for accessor in accessors], np.float64)
        return np.stack(np.meshgrid(*boxes.reshape(-1, 3).T, indexing="ij"), -1).reshape(-1, 3)

    def _above(self, number: int) -> Iterator[int]:
        while number in self._parents:
            number = self._parents[number]
            yield number

    def _below(self, number: int, matrix: np.ndarray) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
        """A node and all below it, with where they are in its frame [4, 4]."""
        node = self._nodes[number]
        yield node, matrix
        for child in node.get("children", []):
            yield from self._below(child, matrix @ _matrix_of(self._nodes[child]))

    def _world(self, number: int) -> np.ndarray:
        """[3, 3] how a node is turned against the scene, at rest."""
        turn = _turn_of(self._nodes[number])
        for above in self._above(number):
            turn = _turn_of(self._nodes[above]) @ turn
        return turn

    def _turned(self, number: int, turns: np.ndarray) -> np.ndarray:
        """[T, 4] the node's own rotations that turn it by `turns` [T, 3, 3], which are the scene's."""
        if "VRM" in self.file.document.get("extensions", {}):  # of version 0: they look along -z
            around = np.diag([-1.0, 1.0, -1.0])
            turns = around @ turns @ around
        parent = self._parents.get(number)
        above = np.eye(3) if parent is None else self._world(parent)
        own = above.T @ turns @ above @ _turn_of(self._nodes[number])
        return same_side(Rotation.from_matrix(own).as_quat())

    def _turns(self, track: ArkitTrack, *, pose: bool) -> Iterator[tuple[int, np.ndarray]]:
        """(node, its rotations [T, 4]) of a track without gaps."""
        eyes = eyes_of_weights(track.weights) if track.eyes is None else track.eyes
        for eye, node in self._turned_eyes.items():
            angles = eyes[:, EYES.index(eye)]
            turns = Rotation.from_euler("YX", np.stack([angles[:, 0], -angles[:, 1]], 1)).as_matrix()
            yield node, self._turned(node, turns)
        if pose and self.head is not None and track.head_pose is not None:
            yield self.head, self._turned(self.head, track.head_pose[:, :3, :3])

    # --- taking an expression ----------------------------------------------------------------------------------------

    def pose_as(self, track: ArkitTrack, *, pose: bool = False) -> None:
        """Give it the one expression of `track`.

        Args:
            pose: turn the head, too.
        """
        for morphs in self.morphs:
            mesh = self.file.listed("meshes")[morphs.mesh]
            mesh["weights"] = morphs.values(track.weights[:1], None)[0].tolist()
            for node in morphs.nodes:
                if "weights" in self._nodes[node]:
                    self._nodes[node]["weights"] = morphs.values(track.weights[:1], node)[0].tolist()
        for node, rotations in self._turns(track, pose=pose):
            _as_trs(self._nodes[node])["rotation"] = rotations[0].tolist()

    def animate(self, track: ArkitTrack, name: str, *, pose: bool = False) -> None:
        """Add an animation of `track` behind those that the file has. In frames without the face it stands still."""
        held = held_frames(track.visible)
        poses = None if track.head_pose is None else track.head_pose[held]
        eyes = None if track.eyes is None else track.eyes[held]
        track = ArkitTrack(track.times, track.weights[held], track.rate, poses, eyes)
        clock = self.file.add_accessor(increasing(track.times - track.times[0]), bounds=True)
        animation: dict[str, Any] = {"name": name, "samplers": [], "channels": []}

        def move(node: int, path: str, values: np.ndarray) -> None:
            output = self.file.add_accessor(values)
            animation["samplers"].append({"input": clock, "output": output, "interpolation": "LINEAR"})
            sampler = len(animation["samplers"]) - 1
            animation["channels"].append({"sampler": sampler, "target": {"node": node, "path": path}})

        for morphs in self.morphs:
            for node in morphs.nodes:
                move(node, "weights", morphs.values(track.weights, node).ravel())
        for node, rotations in self._turns(track, pose=pose):
            _as_trs(self._nodes[node])
            move(node, "rotation", rotations)
        self.file.document.setdefault("animations", []).append(animation)


def _names_of(mesh: dict[str, Any]) -> list[str]:
    """The names of a mesh's targets, which programs keep in its `extras` or its primitives'."""
    for place in (mesh, *mesh["primitives"]):
        extras = place.get("extras")
        if isinstance(extras, dict) and isinstance(extras.get("targetNames"), list):
            return extras["targetNames"]
    return []


def _meant_for_weights(mesh: dict[str, Any]) -> list[str]:
    """The same, with "" for those of our own that are a code's number: FLAME's ``jaw_open`` is an angle in radians, at
    1 far beyond ``jawOpen``."""
    names, extras = _names_of(mesh), mesh.get("extras")
    codes = extras.get("targetCodes") if isinstance(extras, dict) else None
    if not isinstance(codes, list) or len(codes) != len(names):
        return names
    return [name if code is None else "" for name, code in zip(names, codes, strict=True)]


def _turn_of(node: dict[str, Any]) -> np.ndarray:
    """[3, 3] a node's own rotation."""
    if "matrix" in node:
        return _decomposed(node)[1]
    return Rotation.from_quat(node.get("rotation", [0, 0, 0, 1])).as_matrix()


def _matrix_of(node: dict[str, Any]) -> np.ndarray:
    """[4, 4] where a node is in its parent's frame."""
    if "matrix" in node:
        return np.array(node["matrix"], np.float64).reshape(4, 4).T
    matrix = np.eye(4)
    matrix[:3, :3] = _turn_of(node) * np.array(node.get("scale", [1, 1, 1]), np.float64)
    matrix[:3, 3] = node.get("translation", [0, 0, 0])
    return matrix


def _decomposed(node: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Translation [3], rotation [3, 3] and scale [3] of a node's matrix."""
    matrix = np.array(node["matrix"], np.float64).reshape(4, 4).T
    scale = np.linalg.norm(matrix[:3, :3], axis=0).clip(_NEAR)
    scale[0] *= np.sign(np.linalg.det(matrix[:3, :3])) or 1.0
    return matrix[:3, 3], matrix[:3, :3] / scale, scale


def _as_trs(node: dict[str, Any]) -> dict[str, Any]:
    """The node, with rotation and so on instead of a matrix: those of glTF that move must have it so."""
    if "matrix" in node:
        translation, rotation, scale = _decomposed(node)
        del node["matrix"]
        node |= {
            "translation": translation.tolist(),
            "rotation": Rotation.from_matrix(rotation).as_quat().tolist(),
            "scale": scale.tolist(),
        }
    return node
