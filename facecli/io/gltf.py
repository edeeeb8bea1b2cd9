"""glTF 2.0 files of any program: their JSON as it stands, and their bytes. For changing a little and leaving the rest.

A ``.gltf`` with its buffers and pictures beside it (or inside, as data URIs) becomes one file when it is read.
"""

from __future__ import annotations

import base64
import binascii
import json
import mimetypes
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np

from facecli.errors import InputError
from facecli.io.atomic import atomic_write
from facecli.io.filetypes import check_file, input_error, sniff

SUFFIXES = (".glb", ".gltf")

_MAGIC, _JSON, _BIN = b"glTF", b"JSON", b"BIN\0"
_ACCESSOR_TYPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4"}
_FLOAT = 5126
_AGAIN = "export or copy it again"


@dataclass
class GltfFile:
    """One file.

    Args:
        name: as the user named it. document: its JSON. blob: the bytes of buffer 0.
        chunks: what a GLB holds behind these, (kind, content) each.
    """

    name: str
    document: dict[str, Any]
    blob: bytearray
    chunks: list[tuple[bytes, bytes]] = field(default_factory=list)

    def listed(self, key: str) -> list[dict[str, Any]]:
        """The document's ``nodes``, ``meshes``, …; none where it has none."""
        return self.document.get(key, [])

    def add_accessor(self, values: np.ndarray, *, bounds: bool = False) -> int:
        """Float32 `values` [N] or [N, 2..4] as a new accessor; returns its number.

        Args:
            bounds: state its minimum and maximum, as the format asks for times.
        """
        values = np.ascontiguousarray(values, np.float32)
        table = values.reshape(len(values), -1)
        accessor = {
            "bufferView": self.add_view(values.tobytes()),
            "componentType": _FLOAT,
            "count": len(values),
            "type": _ACCESSOR_TYPES[table.shape[1]],
        }
        if bounds:
            accessor |= {"min": table.min(0).tolist(), "max": table.max(0).tolist()}
        return _append(self.document, "accessors", accessor)

    def add_view(self, content: bytes) -> int:
        """`content` behind all that is there, as a new buffer view; returns its number."""
        self.blob += bytes(-len(self.blob) % 4)
        view = {"buffer": 0, "byteOffset": len(self.blob), "byteLength": len(content)}
        self.blob += content
        buffers = self.document.setdefault("buffers", [])
        if not buffers:
            buffers.append({})
        buffers[0]["byteLength"] = len(self.blob)
        return _append(self.document, "bufferViews", view)


def _append(document: dict[str, Any], key: str, item: dict[str, Any]) -> int:
    document.setdefault(key, []).append(item)
    return len(document[key]) - 1


# --- reading ---------------------------------------------------------------------------------------------------------


def read_gltf(path: str | Path, name: str | None = None) -> GltfFile:
    """A ``.glb``, or a ``.gltf`` with all that belongs to it.

    Raises:
        InputError: it is missing, damaged, something else, or lacks a file that belongs to it. `name` is what the
            message calls it.
    """
    name = name or str(path)
    path = check_file(path, name)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise input_error(name, error) from error
    file = _read_glb(name, content) if content.startswith(_MAGIC) else _read_json(name, content)
    if any(isinstance(entry, dict) and "uri" in entry for key in ("buffers", "images") for entry in file.listed(key)):
        _embed(file, path.parent)
    return file


def _read_glb(name: str, content: bytes) -> GltfFile:
    if len(content) < 20:
        raise InputError(name, f"is a damaged GLB: it ends after {len(content)} bytes", _AGAIN)
    version, length = struct.unpack_from("<II", content, 4)
    if version != 2:
        raise InputError(name, f"is a GLB of glTF {version}, not 2", "export it as glTF 2.0")
    if length > len(content):
        raise InputError(name, f"is a damaged GLB: {len(content)} of its {length} bytes are there", _AGAIN)
    chunks, at = [], 12
    while at + 8 <= length:
        size, kind = struct.unpack_from("<I4s", content, at)
        if at + 8 + size > length:
            raise InputError(name, "is a damaged GLB: a part goes beyond its end", _AGAIN)
        chunks.append((kind, content[at + 8 : at + 8 + size]))
        at += 8 + size
    if not chunks or chunks[0][0] != _JSON:
        raise InputError(name, "is a damaged GLB: it doesn't begin with JSON", _AGAIN)
    document = _document(name, chunks[0][1])
    has_blob = len(chunks) > 1 and chunks[1][0] == _BIN
    return GltfFile(name, document, bytearray(chunks[1][1] if has_blob else b""), chunks[1 + has_blob :])


def _read_json(name: str, content: bytes) -> GltfFile:
    if not content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        raise InputError(name, f"is {sniff(content[:512]).words}, not glTF", "give a .glb, or a .gltf with its files")
    return GltfFile(name, _document(name, content), bytearray())


def _document(name: str, content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content.decode("utf-8-sig"))
        version = document["asset"]["version"]
    except (ValueError, RecursionError) as error:
        raise InputError(name, f"is damaged: its JSON can't be read ({' '.join(str(error).split())})", _AGAIN) from None
    except (KeyError, TypeError):
        raise InputError(name, "is JSON, but no glTF: it doesn't say its version") from None
    if not str(version).startswith("2"):
        raise InputError(name, f"is glTF {version}, not 2", "export it as glTF 2.0")
    if any(not isinstance(document.get(key, []), list) for key in ("buffers", "images", "nodes", "meshes")):
        raise InputError(name, "is damaged: its lists are none", _AGAIN)
    return document


# --- what lies beside a .gltf ----------------------------------------------------------------------------------------


def _embed(file: GltfFile, folder: Path) -> None:
    """Puts all buffers into the first one, and pictures behind them."""
    blob, places = bytearray(), []
    try:
        for number, buffer in enumerate(file.listed("buffers")):
            if "uri" in buffer:
                content = _fetched(file.name, buffer["uri"], folder)
            elif number == 0:
                content = bytes(file.blob)
            else:
                raise InputError(file.name, f"its buffer {number} is nowhere", "save it as one .glb")
            if len(content) < buffer["byteLength"]:
                problem = (
                    f"its buffer {_short(buffer.get('uri', '0'))} has {len(content)} of {buffer['byteLength']} bytes"
                )
                raise InputError(file.name, problem, _AGAIN)
            blob += bytes(-len(blob) % 4)
            places.append(len(blob))
            blob += content[: buffer["byteLength"]]
        for view in file.listed("bufferViews"):
            for place in (view, view.get("extensions", {}).get("EXT_meshopt_compression")):
                if place is not None:
                    place["byteOffset"] = place.get("byteOffset", 0) + places[place["buffer"]]
                    place["buffer"] = 0
        file.blob = blob
        file.document["buffers"] = [{"byteLength": len(blob)}] if blob else []
        for image in file.listed("images"):
            if "uri" in image:
                uri = image.pop("uri")
                image.setdefault("mimeType", _mime_of(uri))
                image["bufferView"] = file.add_view(_fetched(file.name, uri, folder))
    except (KeyError, TypeError, AttributeError, IndexError):
        raise InputError(file.name, "is damaged: its buffers don't fit together", _AGAIN) from None


def _fetched(name: str, uri: str, folder: Path) -> bytes:
    """What a data URI or a file beside the .gltf holds."""
    if uri.startswith("data:"):
        head, _, data = uri.partition(",")
        try:
            return (
                base64.b64decode(data, validate=True) if head.endswith(";base64") else unquote(data).encode("latin-1")
            )
        except (binascii.Error, ValueError):
            raise InputError(name, "is damaged: a part of it is no base64", _AGAIN) from None
    if urlsplit(uri).scheme:
        raise InputError(name, f"needs {_short(uri)}, an address", "download that, or save it all as one .glb")
    path = folder / unquote(uri)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(name, f"needs {_short(uri)}, which is not beside it", "save it all as one .glb")
    try:
        return path.read_bytes()
    except OSError:
        mend = "put it beside it, or save it all as one .glb"
        raise InputError(name, f"needs {_short(uri)}, which isn't there", mend) from None


def _mime_of(uri: str) -> str:
    if uri.startswith("data:"):
        return uri[5:].split(";")[0].split(",")[0] or "image/png"
    return mimetypes.guess_type(uri)[0] or "image/png"


def _short(uri: str) -> str:
    return uri if len(uri) < 80 else uri[:77] + "…"


# --- writing ---------------------------------------------------------------------------------------------------------


def write_gltf(path: str | Path, file: GltfFile) -> None:
    """Write `file` as a GLB.

    Raises:
        OutputError: the place can't be written to.
    """
    text = json.dumps(file.document, ensure_ascii=False, separators=(",", ":")).encode()
    chunks = [(_JSON, text + b" " * (-len(text) % 4))]
    if file.blob:
        chunks.append((_BIN, bytes(file.blob) + bytes(-len(file.blob) % 4)))
    chunks += file.chunks
    length = 12 + sum(8 + len(content) for _, content in chunks)
    with atomic_write(path) as temporary, temporary.open("wb") as out:
        out.write(_MAGIC + struct.pack("<II", 2, length))
        for kind, content in chunks:
            out.write(struct.pack("<I4s", len(content), kind) + content)
