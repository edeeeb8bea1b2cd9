"""A texture is compressed once for all the files that hold it."""

from __future__ import annotations

import io

import cv2
import numpy as np
from gltf_reader import read_glb
from PIL import Image

from facecli.export.obj import read_obj
from facecli.reconstruction.picture import write_meshes


def test_obj_and_glb_share_one_png(mesh, tmp_path, monkeypatch):
    encoded, honest = [], cv2.imencode
    monkeypatch.setattr(cv2, "imencode", lambda *words: encoded.append(words[0]) or honest(*words))
    write_meshes(tmp_path, mesh, ("obj", "glb", "ply"))
    assert encoded == [".png"]
    np.testing.assert_array_equal(read_obj(tmp_path / "mesh.obj").texture, mesh.texture)
    glb = read_glb(tmp_path / "mesh.glb")
    view = glb.document["bufferViews"][glb.document["images"][0]["bufferView"]]
    png = glb.blob[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]
    assert png == (tmp_path / "mesh.png").read_bytes()
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png))), mesh.texture)
