"""glTF files of any program: read whole, written as they were, refused in a line."""

from __future__ import annotations

import base64
import json
import struct

import pytest

from facecli.errors import InputError
from facecli.io.gltf import GltfFile, read_gltf, write_gltf

DOCUMENT = {
    "asset": {"version": "2.0", "extras": {"who": "jemand ü"}},
    "buffers": [{"byteLength": 5}],
    "bufferViews": [{"buffer": 0, "byteOffset": 1, "byteLength": 4}],
    "unknown": {"deep": [1, 2.5, None, True]},
}


def glb(document=DOCUMENT, blob=b"12345", further=()) -> bytes:
    text = json.dumps(document).encode()
    chunks = [(b"JSON", text + b" " * (-len(text) % 4)), (b"BIN\0", blob + bytes(-len(blob) % 4)), *further]
    body = b"".join(struct.pack("<I4s", len(part), kind) + part for kind, part in chunks)
    return b"glTF" + struct.pack("<II", 2, 12 + len(body)) + body


def test_a_file_goes_through_as_it_is(tmp_path):
    (tmp_path / "a.glb").write_bytes(glb(further=[(b"ELSE", b"abcd")]))
    file = read_gltf(tmp_path / "a.glb")
    write_gltf(tmp_path / "b.glb", file)
    again = read_gltf(tmp_path / "b.glb")
    assert again.document == file.document == DOCUMENT
    assert again.blob == file.blob == b"12345\0\0\0" and again.chunks == [(b"ELSE", b"abcd")]
    assert len((tmp_path / "b.glb").read_bytes()) % 4 == 0


def test_what_is_added_lies_behind_and_is_aligned(tmp_path):
    import numpy as np

    file = GltfFile("x", {"asset": {"version": "2.0"}}, bytearray(b"123"))
    number = file.add_accessor(np.array([[1, 2, 3], [4, 0, 6]]), bounds=True)
    assert number == 0 and file.document["accessors"][0]["min"] == [1, 0, 3]
    assert file.document["bufferViews"] == [{"buffer": 0, "byteOffset": 4, "byteLength": 24}]
    assert file.document["buffers"] == [{"byteLength": 28}] and file.blob[:4] == b"123\0"


def test_buffers_and_pictures_beside_a_gltf_come_into_the_one_file(tmp_path):
    (tmp_path / "two words.bin").write_bytes(b"ABCDEFG")
    (tmp_path / "skin.jpg").write_bytes(b"picture")
    inside = "data:application/octet-stream;base64," + base64.b64encode(b"xyz").decode()
    document = {
        "asset": {"version": "2.0"},
        "buffers": [{"byteLength": 3, "uri": inside}, {"byteLength": 7, "uri": "two%20words.bin"}],
        "bufferViews": [
            {"buffer": 1, "byteOffset": 2, "byteLength": 3},
            {"buffer": 0, "byteLength": 3},
            {"buffer": 1, "byteLength": 1, "extensions": {"EXT_meshopt_compression": {"buffer": 1, "byteOffset": 1}}},
        ],
        "images": [{"uri": "skin.jpg", "name": "skin"}],
    }
    (tmp_path / "a.gltf").write_text(json.dumps(document), "utf-8")
    file = read_gltf(tmp_path / "a.gltf")
    views = file.document["bufferViews"]

    def content(view):
        return bytes(file.blob[view["byteOffset"] : view["byteOffset"] + view["byteLength"]])

    assert [content(view) for view in views] == [b"CDE", b"xyz", b"A", b"picture"]
    assert views[2]["extensions"]["EXT_meshopt_compression"] == {"buffer": 0, "byteOffset": 5}
    assert file.document["images"] == [{"name": "skin", "mimeType": "image/jpeg", "bufferView": 3}]
    assert file.document["buffers"] == [{"byteLength": len(file.blob)}]


def gltf(**words) -> bytes:
    return json.dumps({"asset": {"version": "2.0"}} | words).encode()


@pytest.mark.parametrize(("content", "problem"), [
    (glb()[:30], "is a damaged GLB: 30 of its "),
    (glb()[:10], "is a damaged GLB: it ends after 10 bytes"),
    (b"glTF" + struct.pack("<II", 1, 20) + bytes(8), "is a GLB of glTF 1, not 2 (export it as glTF 2.0)"),
    (b"glTF" + struct.pack("<II", 2, 20) + struct.pack("<I4s", 99, b"JSON"), "a part goes beyond its end"),
    (b"glTF" + struct.pack("<II", 2, 24) + struct.pack("<I4s", 4, b"BIN\0") + b"1234", "it doesn't begin with JSON"),
    (glb().replace(b'"asset"', b'"asse"!'), "is damaged: its JSON can't be read"),
    (b"\x89PNG\r\n\x1a\n" + bytes(99), "is a PNG picture, not glTF"),
    (b'{"a": 1}', "is JSON, but no glTF"),
    (gltf(asset={"version": "1.0"}), "is glTF 1.0, not 2"),
    (gltf(nodes={}), "its lists are none"),
    (gltf(buffers=[{"byteLength": 4, "uri": "a.bin"}]), "needs a.bin, which isn't there (put it beside it, or save it"),
    (gltf(buffers=[{"byteLength": 4, "uri": "../a.bin"}]), "needs ../a.bin, which is not beside it"),
    (gltf(buffers=[{"byteLength": 4, "uri": "https://a.example/b"}]), "needs https://a.example/b, an address"),
    (gltf(buffers=[{"byteLength": 4, "uri": "data:;base64,???"}]), "a part of it is no base64"),
    (gltf(buffers=[{"byteLength": 9, "uri": "data:;base64,YWJj"}]), "has 3 of 9 bytes"),
    (gltf(buffers=[{"uri": "data:;base64,YWJj"}]), "its buffers don't fit together"),
    (gltf(buffers=[{"byteLength": 3, "uri": "data:;base64,YWJj"}, {"byteLength": 1}]), "its buffer 1 is nowhere"),
])  # fmt: skip
def test_what_cant_be_read_says_why_in_a_line(content, problem, tmp_path):
    (tmp_path / "a.glb").write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_gltf(tmp_path / "a.glb", "mine.glb")
    assert problem in str(caught.value) and str(caught.value).startswith("mine.glb: ")
    assert "\n" not in str(caught.value)


def test_missing_and_empty_files(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_gltf(tmp_path / "a.glb")
    (tmp_path / "a.glb").touch()
    with pytest.raises(InputError, match="is empty"):
        read_gltf(tmp_path / "a.glb")
