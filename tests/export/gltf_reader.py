"""Our own reading of GLB files, straight from the format's specification, for proving the writers."""

from __future__ import annotations

import io
import json
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation, Slerp

_TYPES = {5121: np.uint8, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
_WIDTH = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}


@dataclass
class Glb:
    document: dict
    blob: bytes

    def accessor(self, number: int) -> np.ndarray:
        """[N] or [N, C] values; checks alignment, bounds and stated minima on the way."""
        accessor = self.document["accessors"][number]
        kind = np.dtype(_TYPES[accessor["componentType"]])
        width = _WIDTH[accessor["type"]]
        if "bufferView" in accessor:
            values = self._values(accessor, kind, accessor["count"] * width)
        else:
            assert "byteOffset" not in accessor
            values = np.zeros(accessor["count"] * width, kind)
        values = values.reshape(-1, width)
        if "sparse" in accessor:
            sparse = accessor["sparse"]
            assert 0 < sparse["count"] <= accessor["count"]
            indices = self._values(
                sparse["indices"], np.dtype(_TYPES[sparse["indices"]["componentType"]]), sparse["count"]
            )
            assert (np.diff(indices.astype(int)) > 0).all() and indices.max() < accessor["count"]
            values = values.copy()
            values[indices] = self._values(sparse["values"], kind, sparse["count"] * width).reshape(-1, width)
        if accessor.get("min"):
            assert accessor["min"] == values.min(0).tolist()
            assert accessor["max"] == values.max(0).tolist()
        return values[:, 0] if width == 1 else values

    def _values(self, place: dict, kind: np.dtype, count: int) -> np.ndarray:
        view = self.document["bufferViews"][place["bufferView"]]
        start = view["byteOffset"] + place.get("byteOffset", 0)
        assert start % 4 == 0
        length = count * kind.itemsize
        assert length <= view["byteLength"] and start + length <= len(self.blob)
        return np.frombuffer(self.blob, kind, count, start)

    @property
    def primitive(self) -> dict:
        return self.document["meshes"][0]["primitives"][0]

    def attribute(self, name: str) -> np.ndarray:
        return self.accessor(self.primitive["attributes"][name])

    def texture(self, number: int) -> np.ndarray:
        """The picture [H, W, 3] of a texture."""
        view = self.document["bufferViews"][
            self.document["images"][self.document["textures"][number]["source"]]["bufferView"]
        ]
        png = self.blob[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]
        return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))

    @property
    def target_names(self) -> list[str]:
        """Of the morph targets; each has a weight of its own."""
        mesh = self.document["meshes"][0]
        names = mesh["extras"]["targetNames"]
        assert len(names) == len(self.primitive["targets"]) == len(mesh["weights"]) == len(set(names))
        return names

    def opened(self) -> np.ndarray:
        """Vertex positions as the file opens, before any animation plays."""
        weights = self.document["meshes"][0].get("weights", [])
        positions = self.attribute("POSITION").astype(np.float64)
        targets = [self.accessor(target["POSITION"]) for target in self.primitive.get("targets", [])]
        return positions + sum((w * t for w, t in zip(weights, targets, strict=True)), np.zeros(3))

    def node(self, name: str) -> int:
        (found,) = [number for number, node in enumerate(self.document["nodes"]) if node["name"] == name]
        return found

    def tracks(self, node: int | None = None) -> dict[str, tuple[np.ndarray, np.ndarray, str]]:
        """Animated property (of one node) -> (times, values, interpolation)."""
        animation = self.document["animations"][0]
        found = {}
        for channel in animation["channels"]:
            sampler = animation["samplers"][channel["sampler"]]
            clock = self.document["accessors"][sampler["input"]]
            assert clock["min"] and clock["max"], "players need the length of the animation"
            times, values = self.accessor(sampler["input"]), self.accessor(sampler["output"])
            if node is None or channel["target"]["node"] == node:
                found[channel["target"]["path"]] = times, values, sampler.get("interpolation", "LINEAR")
        return found

    def posed(self, time: float) -> np.ndarray | None:
        """Vertex positions at `time` as a player shows them, or None while the node is hidden (scale 0)."""
        tracks = self.tracks(0) | self.tracks(self.node("face"))
        positions = self.attribute("POSITION").astype(np.float64)
        if "weights" in tracks:
            times, values, _ = tracks["weights"]
            values = values.reshape(len(times), -1)
            for k, target in enumerate(self.primitive["targets"]):
                positions = positions + np.interp(time, times, values[:, k]) * self.accessor(target["POSITION"])
        if "scale" in tracks:
            times, values, interpolation = tracks["scale"]
            assert interpolation == "STEP"
            scale = values[max(np.searchsorted(times, time, side="right") - 1, 0)]
            if not scale.any():
                return None
            positions = positions * scale
        if "rotation" in tracks:
            times, values, _ = tracks["rotation"]
            assert (np.sum(values[1:] * values[:-1], 1) >= 0).all(), "quaternions jump to the other sign"
            positions = Slerp(times, Rotation.from_quat(values))(np.clip(time, times[0], times[-1])).apply(positions)
            times, values, _ = tracks["translation"]
            positions = positions + [np.interp(time, times, values[:, c]) for c in range(3)]
        return positions


def read_glb(path: Path) -> Glb:
    content = path.read_bytes()
    magic, version, length = struct.unpack_from("<4sII", content)
    assert (magic, version, length) == (b"glTF", 2, len(content))
    json_length, kind = struct.unpack_from("<I4s", content, 12)
    assert kind == b"JSON" and json_length % 4 == 0
    document = json.loads(content[20 : 20 + json_length])
    at = 20 + json_length
    blob_length, kind = struct.unpack_from("<I4s", content, at)
    assert kind == b"BIN\0" and at % 4 == 0
    blob = content[at + 8 :]
    assert len(blob) == blob_length >= document["buffers"][0]["byteLength"]
    return Glb(document, blob)
