"""Somebody else's plugins: two tiny distributions, installed with pip, found through their entry points alone."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

HERE = Path(__file__).parent
PHOTO = HERE.parents[1] / "assets" / "astronaut.png"


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder with both distributions, installed offline as a user would from source."""
    folder = tmp_path_factory.mktemp("third_party")
    sources = []
    for name in ("tiny_face_plugin", "broken_face_plugin"):
        sources.append(str(shutil.copytree(HERE / name, folder / "src" / name)))  # setuptools builds inside its source
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--target", str(folder / "site")]
    done = subprocess.run([*pip, *options, *sources], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "site"


@pytest.fixture
def facecli(installed, tmp_path):
    """Run the command line in a process that has the plugins."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join(filter(None, [str(installed), os.environ.get("PYTHONPATH", "")]))
        environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "facecli", *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)

    return run


def test_models_lists_the_plugin_and_names_the_broken_one(facecli):
    done = facecli("models", "--json")
    assert done.returncode == 0, done.stderr
    listed = {row["name"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert listed["tiny"]["ready"] and listed["tiny"]["offers"] == ["reconstruct"]
    assert "mediapipe" in listed and "broken" not in listed
    warnings = [line for line in done.stderr.splitlines() if "broken" in line]
    assert warnings == [
        "warning: plugin broken (of broken-face-plugin) can't be used: RuntimeError: libbroken.so.3: cannot open "
        "shared object file No such file or directory"
    ]


def test_reconstruct_with_the_plugin(facecli, tmp_path):
    done = facecli("reconstruct", str(PHOTO), "--model", "tiny", "-o", "out", "--save", "all", "--json")
    assert done.returncode == 0, done.stderr
    (row,) = map(json.loads, done.stdout.splitlines())
    assert row["model"] == "tiny" and row["face"] == 0
    mesh, codes = ((tmp_path / row[key]) for key in ("mesh", "codes"))
    assert mesh.stat().st_size and (tmp_path / row["overlay"]).stat().st_size
    with np.load(codes) as archive:
        assert set(archive.files) >= {"identity", "texture", "camera", "warp", "photo_size"}
        # The astronaut's skin: the model's texture is the mean colour of the crop's middle.
        red, green, blue = archive["texture"][0]
        assert red > green > blue
    import trimesh

    loaded = trimesh.load(mesh, process=False, force="mesh")
    width, height, depth = np.ptp(loaded.vertices, axis=0) * (1000 if mesh.suffix == ".glb" else 1)
    assert abs(width - 150) < 2 and abs(depth - 150) < 2 and 120 < height < 250


def test_broken_plugin_as_model_is_one_line(facecli):
    done = facecli("reconstruct", str(PHOTO), "--model", "broken", "-o", "out")
    assert done.returncode == 2
    assert [line for line in done.stderr.splitlines() if line.startswith("error:")] == done.stderr.splitlines()
    assert "plugin broken (of broken-face-plugin)" in done.stderr and "Traceback" not in done.stderr


@pytest.fixture
def tiny(monkeypatch):
    """The plugin's module, from its source."""
    monkeypatch.syspath_prepend(HERE / "tiny_face_plugin")
    module = importlib.import_module("tiny_face.model")
    yield module
    for name in ("tiny_face.model", "tiny_face"):
        sys.modules.pop(name, None)


def _faces(boxes):
    from facecli.detect.face import Face

    return [Face(np.array(box, float), 1.0) for box in boxes]


def test_the_example_keeps_the_contract(tiny):
    from facecli.plugin import Reconstructor

    model = tiny.TinyReconstructor()
    assert isinstance(model, Reconstructor)
    image = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    boxes = [(40, 30, 140, 160), (200.5, 20, 260, 110)]
    crops = [model.crop(image, face) for face in _faces(boxes)]
    assert crops[0].image.shape == (3, 64, 64) and crops[0].image.dtype == np.float32
    both = model.encode(crops)
    result = model.decode(both)
    for index, box in enumerate(boxes):
        # A batch equals single runs, and the ellipsoid fills the box.
        alone = model.decode(model.encode(crops[index : index + 1]))
        torch.testing.assert_close(alone.projected[0], result.projected[index])
        low, high = result.projected[index, :, :2].amin(0), result.projected[index, :, :2].amax(0)
        np.testing.assert_allclose([*low, *high], box, atol=1e-2)


def test_the_examples_triangles_face_outwards(tiny):
    vertices, triangles, _ = tiny._unit_sphere(24, 16)
    a, b, c = vertices[triangles].unbind(1)
    normals = torch.linalg.cross(b - a, c - a)
    assert (normals.norm(dim=1) > 1e-6).all()
    assert ((normals * (a + b + c)).sum(1) > 0).all()
