"""SMIRK as a model of facecli: batches, codes, where heads and pictures lie, and what can go wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from facecli.codes import Codes, load_codes, save_codes
from facecli.detect.face import Face
from facecli.errors import InputError, MissingAssetError, UsageError
from facecli.geometry.camera import crop_to_photo, ndc_to_crop
from facecli.plugin import Reconstructor
from facecli.render.rasterize import pixels_to_image_ndc, rasterize
from facecli_smirk.pictures import SmirkPictures, back_in_photo
from facecli_smirk.reconstructor import SmirkReconstructor


@pytest.fixture(scope="module")
def crops(smirk, photo, face):
    """Three views: the face, a face moved half out of the picture, the whole picture."""
    shift = np.array([140.0, 20.0, 0.0])
    moved = Face(face.box + np.tile(shift[:2], 2), 1.0, face.points + shift, face.point_set)
    return [smirk.crop(photo, face), smirk.crop(photo, moved), smirk.whole_picture(photo, face)]


@pytest.fixture(scope="module")
def codes(smirk, crops):
    return smirk.encode(crops)


@pytest.fixture(scope="module")
def reconstruction(smirk, codes):
    return smirk.decode(codes)


@pytest.fixture
def official(standins, monkeypatch, smirk):
    """The stand-ins, and nothing else; after `smirk`, whose files were found in its own way."""
    from facecli.assets import places

    monkeypatch.setenv("FACECLI_ASSETS", str(standins))
    places.rescan()
    yield standins
    places.rescan()


def test_it_keeps_the_contract(smirk, codes):
    assert isinstance(smirk, Reconstructor)
    assert smirk.family == codes.family == "flame"
    assert set(smirk.constants) <= set(codes.values)
    sizes = {name: value.shape[1:] for name, value in codes.values.items()}
    assert sizes == {
        "identity": (300,), "expression": (50,), "pose": (3,), "jaw": (3,), "eyelids": (2,), "camera": (3,),
        "warp": (3, 3), "photo_size": (2,),
    }  # fmt: skip
    assert codes["photo_size"].tolist() == [[512, 512]] * 3


def test_batches_equal_single_faces(smirk, crops, codes, reconstruction):
    together = smirk.draw(["rendering", "masked"], crops, codes, reconstruction)
    some = slice(1, 3)
    pair = smirk.draw(["generator"], crops[some], codes.select(some), reconstruction.select(some))["generator"]
    together["generator"] = [None, *pair]
    for index, crop in enumerate(crops):
        alone = smirk.encode([crop])
        for name, value in alone.values.items():
            torch.testing.assert_close(value[0], codes[name][index], atol=1e-4, rtol=1e-5)
        decoded = smirk.decode(codes.select(index))
        torch.testing.assert_close(decoded.vertices[0], reconstruction.vertices[index], atol=1e-3, rtol=0)
        names = ["rendering", "masked", *(["generator"] if index == 1 else [])]
        for name, pictures in smirk.draw(names, [crop], codes.select(index), decoded).items():
            difference = np.abs(pictures[0].astype(int) - together[name][index])
            assert (difference > 1).mean() < 1e-3, name


def test_codes_survive_their_file(smirk, codes, reconstruction, tmp_path):
    save_codes(tmp_path / "codes.npz", codes)
    again = smirk.decode(load_codes(tmp_path / "codes.npz").codes)
    torch.testing.assert_close(again.vertices, reconstruction.vertices, atol=0, rtol=0)
    torch.testing.assert_close(again.projected, reconstruction.projected, atol=0, rtol=0)


def test_heads_lie_where_the_crops_are(crops, reconstruction):
    """The official crop coordinates, through the crop's warp, are the photograph's."""
    warps = torch.from_numpy(np.stack([crop.warp for crop in crops])).float()
    wanted = crop_to_photo(ndc_to_crop(reconstruction.extras["trans_verts"][..., :2]), warps)
    torch.testing.assert_close(reconstruction.projected[..., :2], wanted, atol=0.05, rtol=0)


def test_pictures_in_the_photograph_cover_the_mesh(smirk, crops, codes, reconstruction, photo):
    """The whole head drawn by the official renderer and warped back, against the mesh rasterized in the photograph:
    they differ by the half pixel of the crop between landmarks' and rasterizers' coordinates."""
    heads = SmirkPictures(smirk.head.triangles, full_head=True)
    drawn = heads.draw(["rendering"], crops, codes, reconstruction, [photo] * 3)["rendering"]
    size = photo.shape[:2]
    masks = rasterize(pixels_to_image_ndc(reconstruction.projected, size), smirk.head.triangles, size).mask.numpy()
    for crop, picture, mask in zip(crops, drawn, masks, strict=True):
        shown = picture.any(-1)
        # What lies outside the crop isn't drawn.
        y, x = np.mgrid[: size[0], : size[1]]
        inside = (
            np.abs(np.stack([x * crop.warp[0, 0] + crop.warp[0, 2], y * crop.warp[1, 1] + crop.warp[1, 2]]) - 111.5)
            < 111
        ).all(0)
        mask = mask & inside
        assert mask.sum() > 1000
        assert (shown & mask).sum() / (shown | mask).sum() > 0.93


def test_a_window_is_pasted_as_the_whole_would_be(crops):
    """Beside the picture, over its corner, and larger than it."""
    from facecli.crop import warp_bilinear

    panel = torch.rand(3, 224, 224, generator=torch.Generator().manual_seed(1))
    bytes_ = (panel * 255).byte().permute(1, 2, 0).numpy()
    for scale, x, y in ((2.0, -100.0, -30.5), (2.0, -5000.0, 0.0), (0.3, 60.0, 50.0), (1.7, 30.3, -300.2)):
        warp = np.array([[scale, 0, x], [0, scale, y], [0, 0, 1]])
        found = back_in_photo(panel, warp, (180, 240))
        np.testing.assert_array_equal(found, warp_bilinear(bytes_, warp, (180, 240)).astype(np.uint8))


def test_the_masking_is_a_matter_of_its_seed(smirk, crops, codes, reconstruction, official):
    triangles = smirk.head.triangles
    first, again, other, none = (
        SmirkPictures(triangles, **options).draw(["masked"], crops[:1], codes.select(0), reconstruction)["masked"][0]
        for options in ({}, {"seed": 0}, {"seed": 7}, {"mask_ratio": 0.0})
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert (none.any(-1) <= first.any(-1)).all()
    assert none.any(-1).sum() < first.any(-1).sum()


def test_without_landmarks_the_mesh_alone_is_masked(smirk, photo):
    """`--no-crop` of a picture in which no face was found."""
    crop = smirk.whole_picture(photo, Face(np.array([0.0, 0.0, 511.0, 511.0]), 0.0))
    codes = smirk.encode([crop])
    drawn = smirk.draw(["masked", "rendering", "generator"], [crop], codes, smirk.decode(codes))
    shown = drawn["rendering"][0].any(-1)
    original = np.rint(crop.image.transpose(1, 2, 0) * 255).astype(int)
    assert (np.abs(drawn["masked"][0].astype(int) - original)[~shown] <= 1).mean() > 0.99


def test_a_head_that_looks_away_has_no_pixels_to_show(smirk, crops, codes):
    away = codes.select(0).replace(pose=torch.tensor([[0.0, np.pi, 0.0]]), jaw=torch.zeros(1, 3))
    drawn = smirk.draw(["masked", "generator"], crops[:1], away, smirk.decode(away))
    assert drawn["generator"][0].shape == (224, 224, 3)


def test_the_eyelids_close_the_eyes_of_the_mesh_in_any_pose(smirk, codes):
    """Exports have the lids in the head frame; the official vertices have them unturned, as the network was trained."""
    still = codes.select(0).replace(eyelids=torch.zeros(1, 2))
    turned = still.replace(pose=torch.tensor([[0.0, 1.2, 0.0]]))
    for open_eyes in (still, turned):
        shut = smirk.decode(open_eyes.replace(eyelids=torch.tensor([[1.0, 0.0]])))
        offset = shut.vertices - smirk.decode(open_eyes).vertices
        torch.testing.assert_close(offset[0], 1000 * smirk.head.flame.eyelids[0], atol=1e-3, rtol=0)
        official_offset = shut.extras["verts"] - smirk.decode(open_eyes).extras["verts"]
        torch.testing.assert_close(official_offset[0], smirk.head.flame.eyelids[0], atol=1e-6, rtol=0)


def test_the_rig_moves_the_lids_and_the_face(smirk, codes):
    rig = smirk.rig()
    assert rig.names[:2] == ("expression_00", "expression_01")
    assert rig.names[-2:] == ("eyelid_left", "eyelid_right")
    rest = codes.select(0).replace(
        identity=torch.zeros(1, 300), expression=torch.zeros(1, 50), jaw=torch.zeros(1, 3), eyelids=torch.zeros(1, 2)
    )
    moved = rest.replace(expression=torch.eye(50)[3:4] * 1.5, eyelids=torch.tensor([[0.2, 0.7]]))
    weights = torch.tensor([float(moved[name][0, index]) for name, index in rig.codes])
    offset = torch.einsum("k,kvc->vc", weights, torch.from_numpy(rig.shapes))
    found = smirk.decode(moved).vertices - smirk.decode(rest).vertices
    torch.testing.assert_close(found[0], offset.float(), atol=2e-3, rtol=0)


def test_codes_of_the_family_are_decoded_and_drawn(smirk):
    """DECA's have 100 identities and no eyelids; a file may have no place."""
    codes = Codes({"identity": torch.zeros(2, 100), "expression": torch.zeros(2, 50)}, "deca", "flame")
    found = smirk.decode(codes)
    at_crop_size = smirk.draw(["rendering"], None, codes, found)["rendering"][1]
    assert at_crop_size.any()
    black = np.zeros((300, 400, 3), np.uint8)
    in_photo = smirk.draw(["rendering"], None, codes, found, [black, black])["rendering"][1]
    np.testing.assert_array_equal(in_photo[:224, :224], at_crop_size)


def test_another_checkpoint(official, tmp_path):
    """One of the pretraining stage has no generator; another model's is refused."""
    whole = torch.load(official / "SMIRK_em1.pt", weights_only=True, mmap=True)
    encoder_only = {key: value for key, value in whole.items() if key.startswith("smirk_encoder.")}
    encoder_only["smirk_encoder.pose_encoder.pose_cam_layers.0.bias"] = torch.tensor([0.0, 0, 0, 5, 0, 0])
    torch.save(encoder_only, tmp_path / "mine.pt")
    model = SmirkReconstructor(checkpoint=str(tmp_path / "mine.pt"))
    crop = model.whole_picture(np.full((64, 64, 3), 127, np.uint8), Face(np.array([0.0, 0.0, 63.0, 63.0]), 0.0))
    codes = model.encode([crop])
    assert abs(float(codes["camera"][0, 0]) - 5) < 1
    with pytest.raises(InputError, match="encoder only"):
        model.draw(["generator"], [crop], codes, model.decode(codes))


def test_wrong_options():
    with pytest.raises(UsageError, match="mask_ratio"):
        SmirkPictures(torch.zeros(1, 3, dtype=torch.long), mask_ratio=1.5)
    with pytest.raises(UsageError, match="edition"):
        SmirkReconstructor(flame="2019")


def test_all_missing_files_are_told_at_once(monkeypatch, tmp_path):
    from facecli.assets import places

    for name in ("FACECLI_ASSETS", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.chdir(tmp_path)
    places.rescan()
    with pytest.raises(MissingAssetError, match=r"SMIRK_em1\.pt.*generic_model\.pkl.*l_eyelid\.npy"):
        SmirkReconstructor()
    places.rescan()
