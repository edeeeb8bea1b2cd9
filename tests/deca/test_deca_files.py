"""DECA's files are read as they are; other files under their names are refused in one line."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from facecli.errors import InputError
from facecli.morphable.dense_template import read_dense_template
from facecli.morphable.flame_detail import read_fixed_displacement, read_uv_mask
from standins.deca import toy_dense_template, toy_fixed_displacement, toy_mask


@pytest.fixture(scope="module")
def template():
    return toy_dense_template()


def saved(path, value):
    np.save(path, np.array(value, dtype=object), allow_pickle=True)
    return path


def test_the_dense_template(tmp_path, template):
    found = read_dense_template(saved(tmp_path / "t.npy", template))
    assert len(found) == len(template["valid_pixel_ids"])
    texel = template["valid_pixel_ids"][1000]
    column, row = int(template["x_coords"][texel]), int(template["y_coords"][texel])
    picture = torch.arange(256 * 256.0).view(1, 1, 256, 256)
    assert found.at_texels(picture)[0, 1000, 0] == row * 256 + column
    assert found.uv[1000].tolist() == pytest.approx([(column + 0.5) / 256, 1 - (row + 0.5) / 256])


@pytest.mark.parametrize(
    "change",
    [
        {"f": None},
        {"img_size": 128},
        {"f": np.array([[0, 1, 10**6]])},
        {"valid_pixel_3d_faces": np.zeros((3, 3), np.int64)},
        {"valid_pixel_3d_faces": "text"},
        {"x_coords": np.array([np.nan])},
        {"valid_pixel_ids": np.zeros((0,), np.int64)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_wrong_dense_template_is_named(tmp_path, template, change):
    changed = {key: value for key, value in {**template, **change}.items() if value is not None}
    with pytest.raises(InputError, match=r"t\.npy") as caught:
        read_dense_template(saved(tmp_path / "t.npy", changed))
    assert "\n" not in str(caught.value)


def test_something_else_is_no_dense_template(tmp_path):
    np.save(tmp_path / "t.npy", np.zeros(3))
    with pytest.raises(InputError, match="no dense template"):
        read_dense_template(tmp_path / "t.npy")


def test_the_mask_is_the_red_channel(tmp_path):
    mask = toy_mask()
    picture = np.stack([np.zeros_like(mask), np.zeros_like(mask), mask, np.full_like(mask, 255)], -1)  # BGRA
    cv2.imwrite(str(tmp_path / "m.png"), picture)
    assert torch.equal(read_uv_mask(tmp_path / "m.png"), torch.from_numpy(mask).float() / 255)
    cv2.imwrite(str(tmp_path / "g.png"), mask)
    assert torch.equal(read_uv_mask(tmp_path / "g.png"), read_uv_mask(tmp_path / "m.png"))
    larger = mask.repeat(2, 0).repeat(2, 1)
    cv2.imwrite(str(tmp_path / "l.png"), larger)
    assert torch.equal(read_uv_mask(tmp_path / "l.png"), read_uv_mask(tmp_path / "m.png"))


def test_no_mask(tmp_path):
    (tmp_path / "m.png").write_bytes(b"\x89PNG\r\n cut")
    for name in ("m.png", "nothing.png"):
        with pytest.raises(InputError, match=name):
            read_uv_mask(tmp_path / name)


def test_the_fixed_displacement(tmp_path):
    np.save(tmp_path / "d.npy", toy_fixed_displacement())
    found = read_fixed_displacement(tmp_path / "d.npy")
    assert found.dtype == torch.float32 and np.allclose(found, toy_fixed_displacement(), atol=1e-9)
    for wrong in (toy_fixed_displacement(128), toy_fixed_displacement() * 1000, np.full((256, 256), np.nan)):
        np.save(tmp_path / "d.npy", wrong)
        with pytest.raises(InputError, match=r"d\.npy"):
            read_fixed_displacement(tmp_path / "d.npy")
