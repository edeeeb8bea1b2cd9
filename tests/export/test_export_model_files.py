"""What the command line writes of a model with detail and blend shapes: DECA, on stand-ins of its files."""

from __future__ import annotations

import json

import numpy as np
import pytest
from gltf_reader import read_glb
from PIL import Image

from facecli.codes import load_codes
from facecli.export.obj import read_obj
from facecli.export.surface import split_seams
from facecli.io.video import VideoWriter


@pytest.fixture
def inputs(astronaut, tmp_path):
    """A small photograph, and a video of three frames in which the face nods."""
    head = Image.open(astronaut).convert("RGB").crop((130, 30, 330, 230))
    head.save(tmp_path / "photo.png")
    with VideoWriter(tmp_path / "nod.mp4", (200, 200), None) as writer:
        for angle in (-6, 0, 6):
            writer.write(np.asarray(head.rotate(angle, resample=Image.Resampling.BILINEAR)))
    return tmp_path / "photo.png", tmp_path / "nod.mp4"


def test_photograph_and_video(cli, official, inputs, tmp_path):
    words = ("--model", "deca", "--texture-size", "256", "--save", "obj,glb,detail,codes,json")
    ran = cli("reconstruct", *inputs, "-o", tmp_path / "out", *words)
    assert ran.code == 0, ran.err
    check_photograph(tmp_path / "out/photo/face0")
    check_video(tmp_path / "out/nod/face0")


def check_photograph(folder):
    coarse, dense = read_obj(folder / "mesh.obj"), read_obj(folder / "mesh_detail.obj")
    assert (len(coarse.vertices), len(coarse.uv), coarse.normal_map.shape) == (5023, 5118, (512, 512, 3))
    assert len(dense.vertices) > 40_000
    np.testing.assert_array_equal(dense.texture, coarse.texture)
    words = json.loads((folder / "face.json").read_text())["detail"]
    grey = np.asarray(Image.open(folder / words["displacement"])).astype(float)
    millimetres = np.asarray(Image.open(folder / words["displacement_mm"]))
    np.testing.assert_allclose((grey - words["zero_grey"]) * words["mm_per_grey"], millimetres, atol=0.0003)

    glb = read_glb(folder / "mesh.glb")
    assert glb.target_names[:2] == ["expression_00", "expression_01"]
    assert len(glb.target_names) > 50
    expression = load_codes(folder / "codes.npz").codes["expression"][0].numpy()
    weights = glb.document["meshes"][0]["weights"]
    np.testing.assert_allclose(weights[: len(expression)], expression, atol=1e-6)
    source = split_seams(coarse).source
    np.testing.assert_allclose(glb.opened() * 1000, coarse.vertices[source], atol=2e-3)
    assert np.abs(glb.attribute("POSITION") * 1000 - coarse.vertices[source]).max() > 1  # at rest it is another face
    np.testing.assert_array_equal(glb.texture(1), coarse.normal_map)


def check_video(folder):
    codes = load_codes(folder / "codes.npz")
    glb = read_glb(folder / "mesh.glb")
    values = glb.tracks()["weights"][1].reshape(3, -1)
    assert values.min() >= 0 and values.max() <= 1
    driven = glb.document["meshes"][0]["extras"]["targetCodes"]
    for index in (0, 1, 49):
        parts = [(m, entry[2]) for m, entry in enumerate(driven) if entry and entry[:2] == ["expression", index]]
        found = sum(factor * values[:, m] for m, factor in parts)
        np.testing.assert_allclose(found, codes.codes["expression"][:, index], atol=1e-4)
    assert "TANGENT" in glb.primitive["attributes"]
