"""DECA as a model: batches, codes of its relatives, wrinkles when they are looked at, options, pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from facecli.codes import Codes
from facecli.detect.face import Face
from facecli.errors import MissingAssetError, UsageError
from facecli.geometry.normals import vertex_normals
from facecli.geometry.rotations import axis_angle_to_matrix, euler_to_axis_angle
from facecli.plugin import Detail
from facecli_deca import pictures, plugin
from facecli_deca.reconstructor import DecaReconstructor

PHOTO = (300, 400)


@pytest.fixture(scope="module")
def crops(deca):
    rng = np.random.default_rng(0)
    found = []
    for number in range(3):
        noise = rng.integers(0, 256, (15, 20, 3), np.uint8)
        photo = noise.repeat(20, 0).repeat(20, 1)
        points = rng.uniform(60 + 20 * number, 180 + 20 * number, (68, 2))
        found.append(deca.crop(photo, Face(np.zeros(4), 1.0, points, "ibug68")))
    return found


@pytest.fixture(scope="module")
def codes(deca, crops) -> Codes:
    """Of three faces, calm enough to look like heads."""
    calm = {"identity": 0.1, "expression": 0.1, "texture": 0.1}
    found = deca.encode(crops)
    found = found.replace(**{name: found[name] * factor for name, factor in calm.items()})
    return found.replace(camera=found["camera"] * 0 + torch.tensor([7.0, 0.0, 0.0]))


@pytest.fixture(scope="module")
def found(deca, codes):
    return deca.decode(codes)


def test_codes_have_the_standard_names(codes):
    shapes = {name: tuple(value.shape[1:]) for name, value in codes.values.items()}
    assert shapes == {
        "identity": (100,), "texture": (50,), "expression": (50,), "pose": (3,), "jaw": (3,), "camera": (3,),
        "light": (9, 3), "detail": (128,), "warp": (3, 3), "photo_size": (2,),
    }  # fmt: skip
    assert (codes.model, codes.family) == ("deca", "flame")
    assert codes["photo_size"].tolist() == [list(PHOTO)] * 3


def test_batches_equal_single_runs(deca, crops, codes, found):
    together, alone = deca.encode(crops), deca.encode(crops[1:2])
    for name, value in together.values.items():
        assert (value[1:2] - alone[name]).abs().max() < 1e-5 * max(1, float(value.abs().max())), name
    for number in range(2):
        single = deca.decode(codes.select(number))
        part = found.select(slice(number, number + 1))
        assert (single.vertices - part.vertices).abs().max() < 1e-3  # millimetres
        for name in ("displacement", "normals", "vertices"):
            assert (getattr(single.detail, name) - getattr(part.detail, name)).abs().max() < 1e-3, name


def test_wrinkles_are_made_when_looked_at(deca, codes):
    calls = []
    hook = deca.networks["D_detail"].register_forward_hook(lambda *_: calls.append(1))
    try:
        detail = deca.decode(codes).detail
        assert isinstance(detail, Detail) and not calls
        one = detail.select(slice(1, 2))
        assert not calls and one.displacement.shape == (1, 1, 256, 256) and len(calls) == 1
        assert one.normals.shape == (1, 3, 256, 256) and len(calls) == 1
        assert torch.equal(detail.normals[1:2], one.normals) and len(calls) == 3  # what there is is not made again
    finally:
        hook.remove()


def test_the_wrinkled_surface_lies_in_the_head_frame(deca, codes, found):
    detail, triangles = found.detail, found.triangles
    coarse = vertex_normals(found.vertices / 1000, triangles)
    length = detail.normals.norm(dim=1)
    assert ((length - 1).abs() < 1e-4)[:, deca._decoder.surface.space.mask].all()
    assert not length[:, ~deca._decoder.surface.space.mask].any()
    dense = deca._decoder.surface.dense
    points = sum(found.vertices[:, dense.corners[:, k]] * dense.weights[:, k, None] for k in range(3))
    moved = detail.vertices - points
    offset = dense.at_texels(deca._decoder.surface.displacement_map(detail.offsets))[..., 0] * 1000
    assert (moved.norm(dim=-1) - offset.abs()).abs().max() < 1e-3
    outwards = torch.nn.functional.normalize(
        sum(coarse[:, dense.corners[:, k]] * dense.weights[:, k, None] for k in range(3)), dim=-1
    )
    own = vertex_normals(detail.vertices, detail.triangles, eps=1e-12)
    assert ((own * outwards).sum(-1) > 0).float().mean() > 0.95
    turned = deca.decode(codes.replace(pose=codes["pose"] + 0.5)).detail
    assert (turned.vertices - detail.vertices).abs().max() < 1e-2  # the pose is not in it
    assert detail.uv.shape == (len(dense), 2) and detail.displacement.abs().max() < 30


def test_the_dense_triangles_come_out_the_right_way_round(deca):
    """Whatever the file's winding."""
    surface, head = deca._decoder.surface, deca.head
    dense = surface.dense
    template = head.flame.template.T
    right = dense.outward_triangles(template, head.triangles)
    kept = dense.triangles
    try:
        dense.triangles = kept.flip(1)
        assert torch.equal(dense.outward_triangles(template, head.triangles), right)
    finally:
        dense.triangles = kept


def test_official_normals_are_the_head_frames_turned(deca, codes, found):
    face = deca.decoded(codes.select(0), found.select(slice(0, 1)))
    turn = axis_angle_to_matrix(codes["pose"][:1])
    turned = torch.einsum("bij,bjhw->bihw", turn, found.select(slice(0, 1)).detail.normals)
    inside = deca._decoder.surface.inside & (deca._decoder.surface.mask == 1)
    official = torch.nn.functional.normalize(face.uv_detail_normals, dim=1)
    assert ((turned - official).abs() * inside).max() < 5e-3


def test_codes_of_relatives_decode(deca):
    """SMIRK's: no light, no texture, no wrinkles, 300 identity numbers, eyelids."""
    values = {
        "identity": torch.randn(2, 300) * 0.3,
        "expression": torch.randn(2, 50) * 0.3,
        "pose": torch.zeros(2, 3),
        "jaw": torch.tensor([[0.2, 0, 0]]).expand(2, 3),
        "eyelids": torch.full((2, 2), 0.5),
        "camera": torch.tensor([[7.0, 0, 0]]).expand(2, 3),
    }
    found = deca.decode(Codes(values, "smirk", "flame"))
    assert found.detail.normals.shape == (2, 3, 256, 256)
    drawn = deca.draw(["shape_detail", "rendered"], None, Codes(values, "smirk", "flame"), found)
    assert {name: len(pictures) for name, pictures in drawn.items()} == {"shape_detail": 2, "rendered": 2}
    assert drawn["rendered"][0].any()
    bare = deca.decode(Codes({"identity": torch.zeros(1, 10), "expression": torch.zeros(1, 20)}, "x", "flame"))
    assert torch.isfinite(bare.detail.vertices).all()


def test_without_light_and_albedo_a_head_is_plain_grey(deca):
    neutral = Codes({"identity": torch.zeros(1, 100)}, "deca", "flame")
    picture = deca.draw(["rendered"], None, neutral, deca.decode(neutral))["rendered"][0]
    inside = picture[100:120, 100:120]
    assert (np.abs(inside.astype(int) - int(0.7 * 255)) <= 1).all()


# --- pictures --------------------------------------------------------------------------------------------------------


def test_every_picture_of_the_description_is_drawn(with_rules, crops, codes):
    model = with_rules("standard")
    found, photos = model.decode(codes), [np.full((*PHOTO, 3), 50, np.uint8)] * 3
    names = list(plugin.pictures)
    drawn = model.draw(names, crops, codes, found)
    assert set(drawn) == set(names)
    sizes = {name: pictures[0].shape for name, pictures in drawn.items()}
    assert {size for name, size in sizes.items() if name not in pictures.MAPS} == {(224, 224, 3)}
    assert {sizes[name] for name in pictures.MAPS} == {(256, 256, 3)}
    on_photo = model.draw(names, crops, codes, found, photos)
    assert set(names) - set(on_photo) == set(pictures.MAPS)
    assert all(made[2].shape == (*PHOTO, 3) for made in on_photo.values())
    assert all(picture.dtype == np.uint8 for made in on_photo.values() for picture in made)
    without = model.draw(names, None, codes, found)
    assert set(names) - set(without) == {"landmarks2d", "landmarks3d", "uv_texture"}


def test_the_head_on_the_photograph_is_where_it_is_in_the_crop(deca, crops, codes, found):
    photo = np.zeros((*PHOTO, 3), np.uint8)
    small = deca.draw(["shape"], crops, codes, found)["shape"][0]
    large = deca.draw(["shape"], crops, codes, found, [photo] * 3)["shape"][0]
    crop = deca.whole_picture(np.zeros((*PHOTO, 3), np.uint8), crops[0].face)
    assert crop.image.shape == (3, 224, 224)
    from facecli_deca.crop import cut

    again = cut(large, crops[0].warp).transpose(1, 2, 0) * 255
    # Both draw half a pixel off, of different pixels.
    both = (small[..., 0] > 0) & (again[..., 0] > 0)
    either = (small[..., 0] > 0) | (again[..., 0] > 0)
    assert either.sum() > 5000 and both.sum() / either.sum() > 0.9
    assert np.abs(small[..., 0] - again[..., 0])[both].mean() < 10


def test_bands_of_a_large_photograph_join_without_seams(deca, crops, codes, found, monkeypatch):
    names, photos = ["shape", "shape_detail", "relative_depth"], [np.full((*PHOTO, 3), 90, np.uint8)] * 3
    whole = deca.draw(names, crops, codes, found, photos)
    monkeypatch.setattr(pictures, "_BAND_PIXELS", 1500)
    banded = deca.draw(names, crops, codes, found, photos)
    for name in names:
        difference = np.abs(whole[name][0].astype(int) - banded[name][0])
        assert (difference > 2).mean() < 1e-3, name


def test_a_head_outside_the_photograph_leaves_it_as_it_is(deca, codes):
    away = codes.replace(camera=torch.tensor([[7.0, 50.0, 0.0]]).expand(3, 3))
    photo = np.random.default_rng(0).integers(0, 256, (*PHOTO, 3), np.uint8)
    drawn = deca.draw(["shape", "landmarks2d"], None, away, deca.decode(away), [photo] * 3)
    assert np.array_equal(drawn["shape"][0], photo) and np.array_equal(drawn["landmarks2d"][0], photo)


# --- options ---------------------------------------------------------------------------------------------------------


def test_without_wrinkles(found_standins, crops, codes):
    model = DecaReconstructor(detail=False)
    assert "detail" not in model.encode(crops[:1])
    found = model.decode(codes.select(0))
    assert found.detail is None and set(model.networks) == {"E_flame"}
    assert model.draw(["shape", "rendered"], None, codes.select(0), found)["rendered"][0].any()
    with pytest.raises(UsageError, match="detail=no"):
        model.draw(["shape_detail"], None, codes.select(0), found)
    from facecli_deca.layout import DecaLayout

    with pytest.raises(UsageError, match="detail=no"):
        DecaLayout(model)


def test_wrong_words_and_missing_files(found_standins):
    for words in ({"use_tex": "yes"}, {"rasterizer_type": "opengl"}, {"jaw_type": "quaternion"}):
        with pytest.raises(UsageError, match=next(iter(words))):
            DecaReconstructor(**words)
    with pytest.raises(UsageError, match="extract_tex"):
        DecaReconstructor(extract_tex=False)
    with pytest.raises(MissingAssetError, match=r"FLAME_albedo_from_BFM"):
        DecaReconstructor(use_tex="bfm")
    with pytest.raises(UsageError, match="edition"):
        DecaReconstructor(flame="2019")


def test_albedo_needs_its_model(deca, codes, found):
    with pytest.raises(UsageError, match="use_tex"):
        deca.draw(["albedo"], None, codes, found)


def test_a_jaw_in_euler_angles(deca, crops, monkeypatch):
    raw = torch.zeros(1, 236)
    raw[:, 203:206] = torch.tensor([0.3, -0.2, 0.5])
    monkeypatch.setattr(deca, "networks", {"E_flame": lambda images: raw, "E_detail": lambda images: raw[:, :128]})
    assert torch.equal(deca.encode(crops[:1])["jaw"], raw[:, 203:206])
    monkeypatch.setattr(deca, "_euler_jaw", True)
    assert torch.allclose(deca.encode(crops[:1])["jaw"], euler_to_axis_angle(raw[:, 203:206]))


def test_landmarks_beside_photographs_are_asked_for(deca, tmp_path, monkeypatch):
    np.savetxt(tmp_path / "x.txt", np.random.default_rng(0).uniform(0, 99, (68, 2)))
    assert deca.faces_beside(tmp_path / "x.jpg") is None
    monkeypatch.setattr(deca, "_keypoints", True)
    assert len(deca.faces_beside(tmp_path / "x.jpg")) == 1


def test_the_rig_is_flames(deca):
    rig = deca.rig()
    assert len(rig.names) == 53 and rig.codes[0] == ("expression", 0) and rig.shapes.shape[1:] == (5023, 3)
