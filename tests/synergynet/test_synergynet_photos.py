"""SynergyNet with the golden cases' weights on photographs: from boxes to landmarks, vertices and angles."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import seeded
from facecli import roi
from facecli.codes import Codes
from facecli.geometry.euler import synergynet_angles
from facecli.morphable.tddfa import SYNERGYNET, Tddfa
from facecli.morphable.tddfa_files import DATA_FILES, read_3dmm_data, read_whitening
from facecli.morphable.tddfa_head import System, TddfaHead, cropped, network_input
from standins import tddfa

GOLDEN = Path(__file__).parents[1] / "golden/synergynet"


def golden(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / f"{name}.npz") as archive:
        return dict(archive)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """(network, whitening, head) of the golden cases."""
    from facecli_synergynet.network import MobileNetV2Regressor

    network = MobileNetV2Regressor().eval()
    seeded.fill(network, "I2P.backbone.")
    folder = tmp_path_factory.mktemp("3dmm_data")
    tddfa.write_3dmm(folder, "small")
    arrays = read_3dmm_data({name: folder / name for name in DATA_FILES}, folder / "tri.mat")
    head = TddfaHead(System("3ddfa", SYNERGYNET, synergynet_angles), Tddfa(arrays))
    return network, read_whitening(folder / "param_whitening.pkl"), head


@pytest.mark.parametrize("photo", ["astronaut", "two_people", "test_image1", "test_image2"])
def test_official_faces(photo, request, astronaut, small):
    network, whitening, head = small
    case, boxes = golden("pipeline_photos"), golden("faceboxes_photos")[photo]
    if photo == "astronaut":
        path = astronaut
    else:
        media = request.getfixturevalue("media")
        path = next(path for path in (media / f"{photo}.jpg", media / f"{photo}.png") if path.exists())
    image = cv2.imread(str(path))[..., ::-1]
    regions = [roi.synergynet_roi(box) for box in boxes]
    crops = [cropped(None, image, roi.crop(image, region), roi.roi_warp(region)) for region in regions]
    with torch.inference_mode():
        numbers, _ = network(network_input(crops, "cpu"))
        codes = head.codes(numbers, whitening, crops, "synergynet")
    found = head.decode(codes)
    sparse, dense = head.image_points(codes, landmarks=True), head.image_points(codes)
    for face in range(len(boxes)):
        key = f"{photo}.{face}"
        assert np.abs(numbers[face].numpy() - case[f"{key}.param"]).max() < 1e-3
        assert np.abs(sparse[face].T.numpy() - case[f"{key}.sparse"]).max() < 0.05
        assert np.abs(dense[face, ::29].T.numpy() - case[f"{key}.dense_strided"]).max() < 0.05
        assert np.abs(found.camera["pose_degrees"][face].numpy() - case[f"{key}.angles_f64"]).max() < 0.01
        assert np.abs(found.camera["translation"][face].numpy() - case[f"{key}.translation"]).max() < 0.05


def test_codes_from_a_file_land_on_the_photograph_again(small):
    """What is stored as float32 is enough for all of it."""
    _, _, head = small
    region = np.array([966.1, 92.2, 1332.1, 458.2])
    warp = torch.from_numpy(roi.roi_warp(region))[None]
    values = {"identity": torch.zeros(1, 40), "warp": warp.float()}
    rough = head.image_points(Codes(values, "", "3ddfa"))
    exact = head.image_points(Codes(values | {"warp": warp}, "", "3ddfa"))
    torch.testing.assert_close(rough, exact, atol=1e-2, rtol=0)
