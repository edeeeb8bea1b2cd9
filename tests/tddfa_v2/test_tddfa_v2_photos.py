"""The trained network on photographs: official numbers and poses."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from facecli import roi
from facecli.morphable.tddfa_head import cropped, network_input

GOLDEN = Path(__file__).parents[1] / "golden/synergynet"


def golden(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / f"{name}.npz") as archive:
        return dict(archive)


def read(name: str, request, astronaut: Path) -> np.ndarray:
    """RGB as the official program decodes it: JPEGs come out otherwise from other libraries."""
    if name == "astronaut":
        return cv2.imread(str(astronaut))[..., ::-1]
    media = request.getfixturevalue("media")
    path = next(path for path in (media / f"{name}.jpg", media / f"{name}.png") if path.exists())
    return cv2.imread(str(path))[..., ::-1]


@pytest.mark.parametrize("photo", ["astronaut", "two_people", "test_image1", "test_image2"])
def test_official_poses(photo, request, trained, astronaut):
    from facecli_tddfa_v2.reconstructor import TddfaV2Reconstructor

    case, boxes = golden("tddfa_v2_photos"), golden("faceboxes_photos")[photo]
    image = read(photo, request, astronaut)
    model = TddfaV2Reconstructor()
    crops = [model.crop_box(image, box) for box in boxes]
    np.testing.assert_allclose(
        roi.roi_of_warp(np.stack([crop.warp for crop in crops])), case[f"{photo}.roi_f64"], atol=1e-3
    )
    numbers = model.network(network_input(crops, "cpu")).numpy(force=True)
    assert np.abs(numbers - case[f"{photo}.network"]).max() < 2e-3
    codes = model.encode(crops)
    values = np.concatenate([codes[name].numpy() for name in ("camera", "identity", "expression")], 1)
    np.testing.assert_allclose(values, case[f"{photo}.param"], rtol=1e-3, atol=1e-2)
    found = model.decode(codes)
    assert np.abs(found.camera["pose_degrees"].numpy() - case[f"{photo}.pose_deg_f64"]).max() < 0.1
    np.testing.assert_allclose(found.head_pose[:, :3, :3], case[f"{photo}.P"][..., :3], atol=2e-3)
    # The second pass: regions of the (stand-in) landmarks.
    regions = [roi.landmark_roi(points.T) for points in case[f"{photo}.toy_sparse"]]
    np.testing.assert_allclose(regions, case[f"{photo}.second_pass_roi_f64"], atol=1e-3)
    again = [cropped(crop.face, image, roi.crop(image, region), roi.roi_warp(region))
             for crop, region in zip(crops, regions, strict=True)]  # fmt: skip
    degrees = model.decode(model.encode(again)).camera["pose_degrees"].numpy()
    assert np.abs(degrees - case[f"{photo}.second_pass_pose_deg_f64"]).max() < 0.1


def test_batches_equal_single_faces(trained, astronaut, request):
    from facecli_tddfa_v2.reconstructor import TddfaV2Reconstructor

    model = TddfaV2Reconstructor()
    image = read("astronaut", request, astronaut)
    boxes = [np.array([180.0, 66, 270, 176]) + shift for shift in range(0, 30, 6)]
    crops = [model.crop_box(image, box) for box in boxes]
    whole = model.encode(crops)
    for number, crop in enumerate(crops):
        single = model.encode([crop])
        for name in ("identity", "expression", "camera"):
            np.testing.assert_allclose(single[name][0], whole[name][number], rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("degrees", [-25, 20])
def test_a_turned_picture_turns_the_head(trained, astronaut, request, degrees):
    """Roll by V2 is positive where the top of the head leans to the image's left."""
    from facecli_tddfa_v2.reconstructor import TddfaV2Reconstructor

    model = TddfaV2Reconstructor()
    image = read("astronaut", request, astronaut)
    centre = (225.5, 121.5)
    turned = cv2.warpAffine(image, cv2.getRotationMatrix2D(centre, degrees, 1.0), image.shape[1::-1])
    box = np.array([180.0, 66, 270, 176])
    upright, leaning = (model.decode(model.encode([model.crop_box(picture, box)])) for picture in (image, turned))
    roll = float(leaning.camera["pose_degrees"][0, 2] - upright.camera["pose_degrees"][0, 2])
    assert roll == pytest.approx(degrees, abs=8)
