"""From photographs to codes, and codes from elsewhere to heads: the model as facecli uses it."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from emoca_cases import codes_of, crops_of, golden_case, picture
from PIL import Image

from facecli import registry
from facecli.assets import places
from facecli.codes import Codes
from facecli.detect.face import Face, box_of_points
from facecli.detect.landmarks import MEDIAPIPE_TO_IBUG68
from facecli.errors import UsageError
from facecli.morphable.flame_head import FlameHead
from facecli.plugin import Reconstructor
from facecli_deca.crop import cut, detected_warp
from facecli_emoca.encoder import EmocaNetworks
from facecli_emoca.flame import flame_of_model
from facecli_emoca.overlay import paste_back
from facecli_emoca.reconstructor import EmocaReconstructor
from standins.flame import toy_flame
from standins.write import EMOCA_CFG, save_lightning

PICTURES = ("inputs", "geometry_coarse", "geometry_detail", "out_im_coarse", "out_im_detail")


@pytest.fixture(scope="module")
def photo(astronaut) -> np.ndarray:
    return np.asarray(Image.open(astronaut).convert("RGB"))


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    return golden_case("crop")


def face_of(points: np.ndarray, point_set: str = "ibug68") -> Face:
    return Face(box_of_points(points), 1.0, np.asarray(points, np.float64), point_set)


# --- crops -----------------------------------------------------------------------------------------------------------


def test_a_photographs_crop_is_golden(model, photo, golden):
    crop = model.crop(photo, face_of(golden["kpt68"]))
    assert crop.image.dtype == np.float32 and crop.photo_size == (512, 512)
    np.testing.assert_allclose(crop.image[:, ::3, ::3], golden["crop_txt"], atol=1e-5)
    # Of two faces that a detector found, the program's only crop is that of the first.
    corners = golden["detected_boxes"][0].reshape(2, 2)
    first = model.crop(photo, Face(golden["detected_boxes"][0], 1.0, corners, ""))
    np.testing.assert_allclose(first.image[:, ::4, ::4], golden["crop_detected"][0], atol=1e-5)


def test_mediapipes_points_give_the_crop_of_68(model, photo, golden):
    points = np.zeros((478, 3))
    for target, entry in enumerate(MEDIAPIPE_TO_IBUG68):
        points[list(np.atleast_1d(entry)), :2] = golden["kpt68"][target]
    found = model.crop(photo, face_of(points, "mediapipe478"))
    assert abs(found.warp - model.crop(photo, face_of(golden["kpt68"])).warp).max() < 0.05


def test_a_videos_crop_is_golden(model, photo, golden):
    """Bicubic, and bytes on its way to the network."""
    cubic = copy.copy(model)
    cubic._cubic = True
    crop = cubic.crop(photo, face_of(golden["kpt68"]))
    np.testing.assert_allclose(crop.image * 255, np.rint(crop.image * 255), atol=1e-4)
    bytes_ = np.rint(crop.image * 255).transpose(1, 2, 0)
    assert abs(bytes_[::4, ::4] - golden["video_crop_u8"]).max() == 0


def test_a_detectors_box_gives_decas_crop_in_the_models_interpolation(model, photo):
    box = np.array([170.0, 60.0, 280.0, 190.0])
    found = model.crop_box(photo, box)
    assert np.array_equal(found.warp, detected_warp(box))
    assert np.array_equal(found.image, cut(photo, detected_warp(box))) and np.array_equal(found.face.box, box)
    cubic = copy.copy(model)
    cubic._cubic = True
    bytes_ = cubic.crop_box(photo, box).image * 255
    np.testing.assert_allclose(bytes_, np.rint(bytes_), atol=1e-4)
    assert 0 < np.abs(bytes_ / 255 - found.image).mean() < 0.02


def test_whole_pictures(model, photo, golden):
    face = Face(np.array([0.0, 0, 511, 511]), 0.0)
    crop = model.whole_picture(photo, face)
    np.testing.assert_allclose(crop.image[:, ::4, ::4], golden["nocrop"], atol=1e-5)
    small = photo[:224, :224]
    assert abs(model.whole_picture(small, face).image - small.transpose(2, 0, 1) / 255).max() < 1e-6
    wide = model.whole_picture(photo[:300], face)  # upstream turns such pictures
    assert (wide.image[:, :40] == 0).all() and abs(wide.warp[0, 1]) < 1e-12


# --- codes -----------------------------------------------------------------------------------------------------------


def test_codes_of_a_batch_are_those_of_single_faces(model):
    assert isinstance(model, Reconstructor)
    crops = crops_of(picture("encoders", 2))
    together = model.encode(crops)
    sizes = {name: tuple(value.shape[1:]) for name, value in together.values.items()}
    assert sizes == {
        "identity": (100,), "texture": (50,), "expression": (50,), "pose": (3,), "jaw": (3,), "camera": (3,),
        "light": (9, 3), "detail": (128,), "warp": (3, 3), "photo_size": (2,),
    }  # fmt: skip
    assert (together.model, together.family) == ("emoca", "flame")
    for number, crop in enumerate(crops):
        alone = model.encode([crop])
        for name, value in alone.values.items():
            assert (value[0] - together[name][number]).abs().max() < 1e-4, name


def test_codes_of_another_flame_model_decode(model):
    """SMIRK's: 300 identity numbers, no wrinkles, no light. Few expression numbers will do, too."""
    generator = torch.Generator().manual_seed(3)
    values = {
        "identity": torch.randn(2, 300, generator=generator) * 0.5,
        "expression": torch.randn(2, 30, generator=generator) * 0.5,
        "eyelids": torch.rand(2, 2, generator=generator),
    }
    codes = Codes(values, "smirk", "flame")
    with torch.inference_mode():
        found = model.decode(codes)
        pictures = model.draw(PICTURES, None, codes, found)
    assert found.vertices.shape == (2, 5023, 3) and found.detail.displacement.shape == (2, 1, 256, 256)
    assert set(pictures) == set(PICTURES) - {"inputs"}
    assert all(len(made) == 2 and made[0].shape == (224, 224, 3) for made in pictures.values())
    with pytest.raises(UsageError, match="no identity"):
        model.decode(Codes({"pose": torch.zeros(1, 3)}, "x", "flame"))


def test_coarse_mode_and_a_model_that_is_deca(model):
    """Neither wrinkles nor an encoder of expressions; what is there is written."""
    coarse = copy.copy(model)
    coarse.detailed = False
    networks = EmocaNetworks(None, detail=False)
    networks.E_flame = model.networks.E_flame
    coarse.networks = networks
    crops = crops_of(picture("encoders", 1))
    codes, full = coarse.encode(crops), model.encode(crops)
    assert "detail" not in codes and torch.equal(codes["identity"], full["identity"])
    assert (codes["expression"] - full["expression"]).abs().max() > 0.1
    with torch.inference_mode():
        found = coarse.decode(codes)
        assert found.detail is None
        pictures = coarse.draw(PICTURES, crops, codes, found)
    assert set(pictures) == {"inputs", "geometry_coarse", "out_im_coarse"}


# --- pictures --------------------------------------------------------------------------------------------------------


def test_pictures_in_the_photograph(model, photo, golden):
    """Warped back, the head alone; the program has that in videos only."""
    crop = model.crop(photo, face_of(golden["kpt68"]))
    with torch.inference_mode():
        codes = model.encode([crop]).replace(camera=torch.tensor([[8.0, 0.0, 0.0]]))
        found = model.decode(codes)
        small = model.draw(PICTURES, [crop], codes, found)
        large = model.draw(PICTURES, [crop], codes, found, photos=[photo])
    assert set(large) == set(PICTURES)
    np.testing.assert_array_equal(large["inputs"][0], photo)
    mask = (small["geometry_coarse"][0].astype(int).prod(-1) > 30).astype(float)
    for name in PICTURES[1:]:
        assert large[name][0].shape == photo.shape and large[name][0].dtype == np.uint8
        expected = paste_back(photo, small[name][0], mask, codes["warp"][0].double().numpy())
        np.testing.assert_array_equal(large[name][0], expected)
    assert (large["geometry_detail"][0] != photo).any(-1).mean() > 0.02


# --- the description -------------------------------------------------------------------------------------------------


def test_the_description_fits_the_model(model):
    plugin = registry.plugin("emoca")
    from facecli_emoca.face import BACKGROUNDS
    from facecli_emoca.layout import PHOTOGRAPH
    from facecli_emoca.overlay import IMAGE_TYPES
    from facecli_emoca.reconstructor import INTERPOLATIONS, MODES

    assert tuple(plugin.pictures) == PHOTOGRAPH == PICTURES
    choices = {name: option.choices for name, option in plugin.options.items()}
    assert choices["mode"] == MODES and choices["crop_interpolation"] == INTERPOLATIONS
    assert choices["background"] == BACKGROUNDS and set(choices["image_type"]) == set(IMAGE_TYPES)
    rig = model.rig()
    assert (
        len(rig.names) == 53
        and rig.names[0] == "expression_00"
        and rig.names[-3:] == ("jaw_open", "jaw_turn", "jaw_tilt")
    )
    assert model.background == "input"  # cfg.yaml's


@pytest.mark.parametrize(
    ("options", "words"),
    [({"mode": "fine"}, "mode is detail or coarse"), ({"background": "blue"}, "background is input or black or none")],
)
def test_words_that_options_do_not_have(options, words):
    with pytest.raises(UsageError, match=words):
        EmocaReconstructor(**options)


# --- FLAME in the checkpoint -----------------------------------------------------------------------------------------


@pytest.fixture
def with_flame(tmp_path, monkeypatch) -> Path:
    """A model's folder whose checkpoint holds FLAME, as the official ones do."""
    toy = toy_flame()
    flame = {
        "v_template": toy["v_template"],
        "shapedirs": np.concatenate([toy["shapedirs"][..., :100], toy["shapedirs"][..., 300:350]], -1),
        "posedirs": toy["posedirs"].reshape(-1, 36).T,
        "J_regressor": toy["J_regressor"].toarray(),
        "lbs_weights": toy["weights"],
        "parents": np.array([-1, 0, 1, 1, 1]),
        "faces_tensor": toy["f"].astype(np.int64),
    }
    state = {f"deca.flame.{key}": torch.from_numpy(np.ascontiguousarray(value)) for key, value in flame.items()}
    state = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
    path = tmp_path / "my_model/detail/checkpoints/last.ckpt"
    path.parent.mkdir(parents=True)
    save_lightning({"state_dict": state}, path)
    (tmp_path / "my_model/cfg.yaml").write_text(EMOCA_CFG)
    return tmp_path / "my_model"


def test_flame_comes_from_the_checkpoint_where_its_file_is_missing(with_flame, official, model, monkeypatch, tmp_path):
    arrays = flame_of_model(str(with_flame))
    here = tmp_path / "without"
    here.mkdir()
    for name in ("head_template.obj", "landmark_embedding.npy"):
        (here / name).symlink_to(official / name)
    monkeypatch.setenv("FACECLI_ASSETS", str(here))
    places.rescan()
    head = FlameHead(arrays=arrays)
    codes = codes_of(golden_case("decode"))
    np.testing.assert_allclose(head.decode(codes).vertices, model.head.decode(codes).vertices, atol=1e-3)
    with pytest.raises(UsageError, match="300 numbers of identity, FLAME has 100"):
        head.decode(codes.replace(identity=torch.zeros(2, 300)))


def test_a_checkpoint_without_flame(official):
    assert flame_of_model("EMOCA_v2_lr_mse_20") is None
    assert flame_of_model("EMOCA") is None  # not here at all
