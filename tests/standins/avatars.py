"""Avatars as other programs write them: several meshes, spellings of their own, bones, extras, unknown extensions."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

HEAD_TARGETS = ("blendShape1.jawOpen", "blendShape1.eyeBlink_L", "blendShape1.smirk", "blendShape1.browInnerUp_L",
                "blendShape1.browInnerUp_R")  # fmt: skip
TEETH_TARGETS = ("JawOpen",)
LOOKS = tuple(f"eyeLook{way}{side}" for side in ("Left", "Right") for way in ("Up", "Down", "In", "Out"))


class Maker:
    """Collects a document and its bytes."""

    def __init__(self):
        self.blob = b""
        self.document: dict[str, Any] = {
            "asset": {"version": "2.0", "generator": "somebody"}, "scene": 0, "accessors": [], "bufferViews": [],
            "meshes": [], "nodes": [], "materials": [{"name": "skin", "extras": {"shine": 0.3}}],
        }  # fmt: skip

    def accessor(self, values: np.ndarray, kind: str = "VEC3") -> int:
        values = np.ascontiguousarray(values, np.float32)
        table = values.reshape(len(values), -1)
        self.document["bufferViews"].append({"buffer": 0, "byteOffset": len(self.blob), "byteLength": values.nbytes})
        self.blob += values.tobytes()
        self.document["accessors"].append(
            {
                "bufferView": len(self.document["bufferViews"]) - 1, "componentType": 5126, "count": len(values),
                "type": kind, "min": table.min(0).tolist(), "max": table.max(0).tolist(),
            }
        )  # fmt: skip
        return len(self.document["accessors"]) - 1

    def mesh(self, name: str, targets: tuple[str, ...] = (), *, weights: Any = None, in_primitive: bool = False) -> int:
        """A triangle around the origin and one target a name."""
        corners = np.array([[-1, -1, -1], [1, -1, 1], [0, 1, 0]]) * 0.1
        primitive: dict[str, Any] = {"attributes": {"POSITION": self.accessor(corners)}, "material": 0}
        mesh: dict[str, Any] = {"name": name, "primitives": [primitive]}
        if targets:
            primitive["targets"] = [{"POSITION": self.accessor(corners * (k + 1))} for k in range(len(targets))]
            (primitive if in_primitive else mesh)["extras"] = {"targetNames": list(targets), "mine": 1}
        if weights is not None:
            mesh["weights"] = list(weights)
        self.document["meshes"].append(mesh)
        return len(self.document["meshes"]) - 1

    def node(self, name: str, **words: Any) -> int:
        self.document["nodes"].append({"name": name, **words})
        return len(self.document["nodes"]) - 1

    def write(self, path: Path) -> Path:
        self.document["scenes"] = [{"nodes": [len(self.document["nodes"]) - 1]}]
        self.document["buffers"] = [{"byteLength": len(self.blob)}]
        chunks = [(b"JSON", json.dumps(self.document).encode()), (b"BIN\0", self.blob), (b"MINE", b"1234")]
        content = b""
        for kind, part in chunks:
            part += (b" " if kind == b"JSON" else b"\0") * (-len(part) % 4)
            content += struct.pack("<I4s", len(part), kind) + part
        path.write_bytes(b"glTF" + struct.pack("<II", 2, 12 + len(content)) + content)
        return path

    def write_text(self, path: Path, *, inside: bool = False) -> Path:
        """As ``.gltf``, the bytes beside it or in a data URI."""
        self.document["scenes"] = [{"nodes": [len(self.document["nodes"]) - 1]}]
        uri = "data:application/octet-stream;base64," + base64.b64encode(self.blob).decode()
        if not inside:
            uri = "its%20bytes.bin"
            (path.parent / "its bytes.bin").write_bytes(self.blob)
        self.document["buffers"] = [{"byteLength": len(self.blob), "uri": uri}]
        path.write_text(json.dumps(self.document), "utf-8")
        return path


def person(*, looks: bool = False) -> Maker:
    """Head and teeth with shapes; eyeballs as nodes; everything below a turned root; an animation and a foreign word.

    Args:
        looks: the head's mesh has eyeLook… shapes.
    """
    made = Maker()
    head = made.mesh("Head", HEAD_TARGETS + (LOOKS if looks else ()), weights=[0, 0, 0.7, 0, 0, *[0] * 8 * looks])
    teeth = made.mesh("Teeth", TEETH_TARGETS, in_primitive=True)
    ball = made.mesh("Ball")
    face = made.node("Face", mesh=head)
    mouth = made.node("Mouth", mesh=teeth, weights=[0.25])
    quarter = [0.0, float(np.sqrt(0.5)), 0.0, float(np.sqrt(0.5))]
    eyes = [
        made.node("grp_eyeLeft", mesh=ball, translation=[0.03, 0.02, 0.05], rotation=quarter),
        made.node("grp_eyeRight", mesh=ball, matrix=[2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 2, 0, -0.03, 0.02, 0.05, 1]),
    ]
    made.node("root", children=[face, mouth, *eyes], rotation=[float(np.sqrt(0.5)), 0, 0, float(np.sqrt(0.5))])
    clock = made.accessor(np.array([0.0, 1.0]), "SCALAR")
    idle = made.accessor(np.array([[0, 0, 0], [0, 0.01, 0]]))
    made.document["animations"] = [
        {
            "name": "idle",
            "samplers": [{"input": clock, "output": idle}],
            "channels": [{"sampler": 0, "target": {"node": face, "path": "translation"}}],
        }
    ]
    made.document |= {"extensionsUsed": ["MY_words"], "extensions": {"MY_words": {"a": [1, 2]}}, "extras": {"by": "me"}}
    return made


def skinned(*, looks: bool = False) -> Maker:
    """A skinned face whose head and eyes are bones."""
    made = Maker()
    mesh = made.mesh("Wolf3D_Head", ("mouthSmileLeft", "eyeBlinkRight", *(LOOKS if looks else ())))
    left = made.node("LeftEye", translation=[0.03, 0.05, 0.08])
    right = made.node("RightEye", translation=[-0.03, 0.05, 0.08])
    head = made.node("mixamorig:Head", children=[left, right], rotation=[0, 0, float(np.sin(0.2)), float(np.cos(0.2))])
    shown = made.node("Wolf3D_Head", mesh=mesh, skin=0)
    made.document["skins"] = [{"joints": [head, left, right]}]
    made.node("Armature", children=[head, shown], translation=[0, 1.5, 0])
    return made
