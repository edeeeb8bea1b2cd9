"""FLAME's files in all the formats that they come in; what isn't FLAME is refused in one line."""

from __future__ import annotations

import os
import pickle
import sys
import types

import numpy as np
import pytest

from facecli.errors import InputError
from facecli.morphable import flame_files
from standins.flame import toy_flame


def one_line(call, *arguments) -> str:
    with pytest.raises(InputError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def same(a: flame_files.FlameArrays, b: flame_files.FlameArrays) -> bool:
    fields = ("template", "identity", "expression", "pose", "joint_regressor", "weights", "triangles")
    return a.parents == b.parents and all(np.array_equal(getattr(a, name), getattr(b, name)) for name in fields)


def test_the_official_pickle_and_its_conversion(standins, arrays, tmp_path):
    read = flame_files.read_flame(standins / "FLAME2020/generic_model.pkl")
    assert same(read, arrays)
    flame_files.convert_flame(standins / "FLAME2020/generic_model.pkl", tmp_path / "flame.npz")
    assert same(flame_files.read_flame(tmp_path / "flame.npz"), arrays)
    assert (tmp_path / "flame.npz").stat().st_size < 40e6


def test_a_python_2_pickle_with_chumpys_arrays(arrays, tmp_path, monkeypatch):
    module = types.ModuleType("chumpy.ch")

    class Ch:
        def __init__(self, x):
            self.x = x

        def __getstate__(self):
            return {"x": self.x, "_dirty_vars": set(), "_itr": None, "_depends_on_deps": {}}

    Ch.__module__, Ch.__qualname__ = "chumpy.ch", "Ch"
    module.Ch = Ch
    monkeypatch.setitem(sys.modules, "chumpy", types.ModuleType("chumpy"))
    monkeypatch.setitem(sys.modules, "chumpy.ch", module)
    model = dict(toy_flame())
    for name in ("v_template", "shapedirs", "posedirs", "weights"):
        model[name] = Ch(model[name])
    (tmp_path / "generic_model.pkl").write_bytes(pickle.dumps(model, protocol=2))
    monkeypatch.delitem(sys.modules, "chumpy.ch")
    monkeypatch.delitem(sys.modules, "chumpy")
    assert same(flame_files.read_flame(tmp_path / "generic_model.pkl"), arrays)
    assert "chumpy" not in sys.modules


def test_what_is_not_flame(tmp_path):
    class Hostile:
        def __reduce__(self):
            return os.system, ("touch /tmp/facecli-was-here",)

    model = {key: np.zeros(3) for key in ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "f")}
    cases = {
        "hostile.pkl": (pickle.dumps(Hostile()), "is refused"),
        "cut.pkl": (pickle.dumps(model)[:-40], "is cut"),
        "smpl.pkl": (pickle.dumps({"v_template": np.zeros((6890, 3))}), "it lacks shapedirs"),
        "list.pkl": (pickle.dumps([1, 2]), "holds no dictionary"),
        "shape.pkl": (pickle.dumps(model | {"kintree_table": np.zeros((2, 5))}), "has the shape"),
        "words.pkl": (pickle.dumps(model | {"kintree_table": "five"}), "numbers should be"),
    }
    for name, (content, words) in cases.items():
        (tmp_path / name).write_bytes(content)
        found = one_line(flame_files.read_flame, tmp_path / name)
        assert words in found and name in found
    assert "no such file" in one_line(flame_files.read_flame, tmp_path / "absent.npz")


def test_numbers_that_are_not_finite(tmp_path):
    model = dict(toy_flame())
    model["v_template"] = model["v_template"].copy()
    model["v_template"][7, 1] = np.nan
    (tmp_path / "generic_model.pkl").write_bytes(pickle.dumps(model, protocol=4))
    assert "not finite" in one_line(flame_files.read_flame, tmp_path / "generic_model.pkl")


def test_landmark_embeddings(standins, arrays, tmp_path):
    found = flame_files.read_landmark_embedding(standins / "landmark_embedding.npy")
    shapes = {name: value.shape for name, value in found.items()}
    assert shapes["contour_triangles"] == (79, 17) and shapes["full_weights"] == (68, 3)
    assert all(np.allclose(found[name].sum(-1), 1, atol=1e-6) for name in found if name.endswith("weights"))
    points = flame_files.read_mediapipe_embedding(
        standins / "mediapipe_landmark_embedding/mediapipe_landmark_embedding.npz"
    )
    assert points["triangles"].dtype == np.int64 and points["indices"].shape == (105,)

    embedding = np.load(standins / "landmark_embedding.npy", allow_pickle=True)[()]
    embedding["full_lmk_faces_idx"] = embedding["full_lmk_faces_idx"] + 9000
    np.save(tmp_path / "far.npy", np.array(embedding, dtype=object), allow_pickle=True)
    assert "doesn't have" in one_line(flame_files.read_landmark_embedding, tmp_path / "far.npy")
    del embedding["dynamic_lmk_bary_coords"]
    np.save(tmp_path / "less.npy", np.array(embedding, dtype=object), allow_pickle=True)
    assert "lacks dynamic_lmk_bary_coords" in one_line(flame_files.read_landmark_embedding, tmp_path / "less.npy")
    assert "lmk_face_idx" in one_line(flame_files.read_mediapipe_embedding, save_npz(tmp_path / "other.npz", a=1))


def save_npz(path, **arrays):
    np.savez(path, **arrays)
    return path


def test_template_masks_and_eyelids(standins, arrays, tmp_path):
    uv, corners = flame_files.read_template(standins / "head_template.obj")
    assert uv.shape == (5118, 2) and corners.shape == (9976, 3) and uv.min() > 0 and uv.max() < 1
    masks = flame_files.read_masks(standins / "FLAME_masks/FLAME_masks.pkl")
    assert set(masks["nose"]) <= set(masks["face"]) and masks["face"].max() < 5023
    regions = flame_files.read_triangle_masks(standins / "FLAME_masks/FLAME_masks_triangles.npy")
    assert "face_clean" in regions
    eyelids = flame_files.read_eyelids(standins / "l_eyelid.npy", standins / "r_eyelid.npy")
    assert np.array_equal(eyelids, arrays.eyelids)

    (tmp_path / "cube.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    assert "head template" in one_line(flame_files.read_template, tmp_path / "cube.obj")
    np.save(tmp_path / "l.npy", np.zeros((10, 3)))
    assert "[10, 3]" in one_line(flame_files.read_eyelids, tmp_path / "l.npy", tmp_path / "l.npy")
    (tmp_path / "m.pkl").write_bytes(pickle.dumps({"face": np.array([5023])}))
    assert "region face" in one_line(flame_files.read_masks, tmp_path / "m.pkl")
