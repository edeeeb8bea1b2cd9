"""The landmarkers fan and fan3d: face-alignment behind our catalogue. Weights are stand-ins, the code is all real."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from facecli import registry
from facecli.errors import EXIT_MISSING_FILE, MissingAssetError, UsageError
from facecli.nn.fan import FAN

pytest.importorskip("face_alignment")

import face_alignment.api as package

from facecli_fan import boxes as box_finders
from facecli_fan import fan, files, weights
from facecli_fan.fan import Fan, Fan3d

fan._keep_compiled_decoding()  # as every landmarker does; here before the tests of the package alone

FACE = np.array([170.0, 60.0, 280.0, 190.0, 0.9])


@pytest.fixture
def boxed(monkeypatch):
    """S3FD with stand-in weights sees no faces; what it would find is said here."""

    def say(landmarker, *boxes):
        monkeypatch.setattr(landmarker._boxes, "find", lambda image: np.array(boxes).reshape(-1, 5))
        return landmarker

    return say


@functools.cache
def seeded_fan() -> FAN:
    import seeded

    net = FAN()
    seeded.fill(net)
    return net.eval()


@functools.cache
def native_heatmaps(crop: bytes) -> torch.Tensor:
    """Our network's [1, 68, 64, 64] of RGB uint8 [256, 256, 3]; several tests have the same crops."""
    pixels = torch.frombuffer(bytearray(crop), dtype=torch.uint8).reshape(1, 256, 256, 3).permute(0, 3, 1, 2)
    with torch.no_grad():
        return seeded_fan()(pixels.float() / 255)[-1]


def native(
    image: np.ndarray, box: np.ndarray, reference: float = 195, flip: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """FAN-4 on one face, with our network and the package's crop and decoding, which the goldens prove."""
    x0, y0, x1, y1 = box[:4]
    centre = np.array([(x0 + x1) / 2, (y0 + y1) / 2 - 0.12 * (y1 - y0)])
    scale = (x1 - x0 + y1 - y0) / reference
    crop = package.crop(image, centre, scale)
    heatmaps = native_heatmaps(crop.tobytes())
    if flip:
        heatmaps = heatmaps + package.flip(native_heatmaps(crop[:, ::-1].tobytes()), is_label=True)
    _, points, scores = package.get_preds_fromhm(heatmaps.numpy(), centre, scale)
    return points[0], scores[0]


@pytest.mark.parametrize("case", [0, 1, 2])
def test_the_package_crops_as_the_official_code(case, pre_post, astronaut):
    crop = package.crop(astronaut, pre_post[f"centre{case}"], pre_post[f"scale{case}"])
    assert crop.shape == (256, 256, 3)
    wanted = pre_post[f"crop{case}"].astype(int)
    assert np.abs(crop[::4, ::4].astype(int) - wanted).max() <= 1
    assert crop.mean((0, 1)) == pytest.approx(pre_post[f"crop{case}_mean"], abs=0.5)


@pytest.mark.parametrize("case", [0, 1, 2])
def test_the_package_decodes_as_the_official_code(case, pre_post):
    heatmaps = np.zeros((1, 68, 64, 64), np.float32)
    around = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))  # centre, left, right, up, down
    for k, (x, y) in enumerate(pre_post[f"peak_xy{case}"]):
        for (dx, dy), value in zip(around, pre_post[f"peak_c_l_r_u_d{case}"][k], strict=True):
            if 0 <= x + dx < 64 and 0 <= y + dy < 64:
                heatmaps[0, k, y + dy, x + dx] = value
    found = package.get_preds_fromhm(heatmaps, pre_post[f"centre{case}"], pre_post[f"scale{case}"])
    for values, name in zip(found, ("pred", "pred_orig", "score"), strict=True):
        assert np.array_equal(values, pre_post[f"{name}{case}"])


def test_fan_gives_faces_by_the_checked_weights(official, astronaut, boxed, monkeypatch):
    monkeypatch.setattr(torch, "compile", None)  # any use of it fails
    before = torch.hub._hub_dir, torch.backends.cudnn.benchmark
    landmarker = boxed(registry.landmarker("fan", confidence=0.5, device="cpu"), FACE)
    assert (torch.hub._hub_dir, torch.backends.cudnn.benchmark) == before
    ((face,),) = landmarker.detect([astronaut])
    points, scores = native(astronaut, FACE)
    assert np.array_equal(face.points, points)
    assert face.point_scores == pytest.approx(scores, rel=1e-4)
    assert np.array_equal(face.points, np.trunc(face.points))  # whole pixels, as the official code gives them
    assert (face.point_set, face.score, face.points.dtype) == ("ibug68", 0.9, np.float64)
    assert face.box.tolist() == FACE[:4].tolist()
    assert isinstance(landmarker, Fan) and landmarker.point_set == "ibug68"
    assert boxed(landmarker).detect([astronaut, astronaut[:50]]) == [[], []]
    landmarker.close()


def test_fan3d_adds_depth_that_grows_away(official, astronaut, boxed):
    landmarker = boxed(registry.landmarker("fan3d", detector="retinaface"), FACE)
    ((face,),) = landmarker.detect([astronaut])
    theirs = landmarker._alignment.get_landmarks_from_image(astronaut, detected_faces=[FACE])[0]
    assert isinstance(landmarker, Fan3d)
    assert face.points.shape == (68, 3) and face.point_set == "ibug68"
    assert np.allclose(face.points, theirs * [1, 1, -1], atol=1e-4)
    assert np.array_equal(face.points[:, :2], native(astronaut, FACE, 165)[0])
    assert np.ptp(face.points[:, 2]) > 0


def test_s3fd_boxes_are_the_packages_own(official, astronaut):
    """Stand-in weights give scores around a half everywhere; the best few are enough to compare."""
    image = astronaut[40:168, 160:288]
    landmarker = Fan(confidence=0.5)
    detector = landmarker._boxes._detector
    raw = np.array(detector.detect_from_image(image.copy()))
    assert len(raw) > 1 and (raw[:, 4] > 0.5).all()
    limit = float(np.sort(raw[:, 4])[-3])
    detector.filter_threshold = limit
    found = landmarker.detect([image])[0]
    kept = box_finders.keep_usable(raw[raw[:, 4] > limit], image, None)
    assert [face.box.tolist() for face in found] == kept[:, :4].tolist()
    assert [face.score for face in found] == kept[:, 4].tolist()
    assert Fan(confidence=limit)._boxes._detector.filter_threshold == limit


def test_boxes_of_blazeface_are_the_packages_own(own_folder, standins, trust_any_hash, astronaut):
    from face_alignment.detection.blazeface import FaceDetector
    from face_alignment.detection.blazeface.net_blazeface import BlazeFace

    import seeded

    net = BlazeFace()
    seeded.fill(net)
    for name, regressor in net.named_modules():
        if name.startswith("regressor"):  # boxes need a size: the package goes round for ever on one without
            torch.nn.init.zeros_(regressor.weight)
            torch.nn.init.constant_(regressor.bias, 40.0)
    torch.save(net.state_dict(), own_folder / files.BLAZEFACE.filename)
    grid = (np.mgrid[:28, :32].reshape(2, -1).T + 0.5) / 32  # the 896 anchors' centres, and sides
    np.save(own_folder / files.BLAZEFACE_ANCHORS.filename, np.hstack([grid, np.ones_like(grid)]).astype(np.float32))
    (own_folder / files.FAN_2D.filename).symlink_to(standins / files.FAN_2D.filename)
    paths = [str(own_folder / asset.filename) for asset in (files.BLAZEFACE, files.BLAZEFACE_ANCHORS)]
    theirs = FaceDetector("cpu", path_to_detector=paths[0], path_to_anchor=paths[1], min_score_thresh=0.4)
    wanted = np.array(theirs.detect_from_image(astronaut.copy()))
    found = Fan(0.4, detector="blazeface")._boxes.find(astronaut)
    assert wanted.shape[1] == 5 and np.array_equal(found, wanted)
    assert Fan(1.5, detector="blazeface").detect([astronaut]) == [[]]


def test_flipping_and_retinaface_boxes_own_scale(official, astronaut, boxed):
    """That it is off unless asked for, the tests above show."""
    landmarker = boxed(Fan(flip_input=True, detector="retinaface"), FACE)
    ((face,),) = landmarker.detect([astronaut])
    points, scores = native(astronaut, FACE, 165, flip=True)
    assert np.array_equal(face.points, points)
    assert face.point_scores == pytest.approx(scores, rel=1e-4)


class OneFace:
    """A detector that finds one face in the middle, and remembers what it was shown."""

    reference_scale = 195

    def detect_from_image(self, image):
        self.shape = image.shape
        height, width = image.shape[:2]
        return [np.array([width * 0.25, height * 0.25, width * 0.75, height * 0.75, 0.8])]


@pytest.mark.parametrize(
    ("shape", "side", "seen"),
    [((500, 300), 1280, (500, 300)), ((3000, 4000), 1280, (960, 1280)), ((1300, 60), 0, (1300, 60))],
)
def test_large_pictures_are_scaled_for_the_detector_only(shape, side, seen):
    detector = OneFace()
    found = fan._PackageBoxes(detector, side).find(np.zeros((*shape, 3), np.uint8))
    assert detector.shape[:2] == seen
    height, width = shape
    assert found[0] == pytest.approx([width * 0.25, height * 0.25, width * 0.75, height * 0.75, 0.8])


def test_boxes_of_another_landmarker(official, astronaut):
    pytest.importorskip("mediapipe")
    landmarker = Fan(detector="mediapipe")
    (faces,) = landmarker.detect([astronaut])
    (other,) = registry.landmarker("mediapipe").detect([astronaut])
    assert len(faces) == len(other) == 1
    assert faces[0].box.tolist() == other[0].box.tolist()
    assert np.array_equal(faces[0].points, native(astronaut, faces[0].box)[0])
    landmarker.close()


@pytest.mark.parametrize("name", ["nothing", "fan", "ibug"])
def test_unknown_detectors_are_refused(name, official):
    with pytest.raises(UsageError, match=f"unknown face detector '{name}'; there are sfd, blazeface, retinaface, "):
        Fan(detector=name)


def test_missing_weights_are_all_named(own_folder):
    with pytest.raises(MissingAssetError) as caught:
        registry.landmarker("fan3d")
    message = str(caught.value)
    assert caught.value.exit_code == EXIT_MISSING_FILE and "\n" not in message
    for asset in (files.SFD, files.FAN_3D, files.DEPTH):
        assert asset.filename in message and asset.license in message
    assert "`facecli assets get sfd fan_3d fan_depth` fetches them" in message
    assert "XDG_DATA_HOME" in message  # the folder to put them into


def test_a_file_with_a_wrong_hash_is_refused(own_folder):
    (own_folder / "s3fd-619a316812.pth").write_bytes(b"PK\x03\x04 cut off")
    (own_folder / "2DFAN4-11f355bf06.pth.tar").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(MissingAssetError, match=r"s3fd-619a316812\.pth: has SHA-256 [0-9a-f]{64}, expected 619a316812"):
        Fan()


def test_a_release_that_wants_other_files_is_refused(official, monkeypatch):
    monkeypatch.setitem(package.models_urls, "2DFAN-4", "https://elsewhere.invalid/2DFAN4-0000000000.zip")
    with pytest.raises(MissingAssetError, match=r"2DFAN4-0000000000\.zip.*pip install"):
        Fan()


def test_the_private_hub_is_gone_afterwards_even_after_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    with pytest.raises(KeyError), weights.private_hub({"a.pth": {"x": torch.ones(2)}}):
        inside = torch.hub.get_dir()
        assert torch.load(f"{inside}/checkpoints/a.pth")["x"].tolist() == [1, 1]
        raise KeyError
    assert torch.hub._hub_dir == str(tmp_path)
    with pytest.raises(FileNotFoundError):
        torch.load(f"{inside}/checkpoints/a.pth")


coordinates = st.floats(-3000, 3000, width=32)


@settings(deadline=None, max_examples=60)
@given(boxes=st.lists(st.tuples(*[coordinates] * 4), max_size=6), limit=st.none() | st.integers(1, 3))
def test_usable_boxes_can_always_be_cropped(boxes, limit):
    from facecli_fan import ibug

    image = np.full((40, 60, 3), 7, np.uint8)
    rows = np.array([(*box, 0.5) for box in boxes], np.float32).reshape(-1, 5)
    kept = box_finders.keep_usable(rows, image, limit)
    assert len(kept) <= (limit or len(rows))
    for box, square in zip(kept, ibug.crop_boxes(kept), strict=True):
        assert ibug.cut(image, square).shape == (256, 256, 3)
        centre = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2 - 0.12 * (box[3] - box[1])])
        assert package.crop(image, centre, (box[2] - box[0] + box[3] - box[1]) / 195).shape == (256, 256, 3)


def test_the_largest_faces_are_kept_in_the_detectors_order():
    image = np.zeros((100, 100, 3), np.uint8)
    boxes = np.array([[0, 0, 9, 9, 0.9], [10, 10, 50, 50, 0.8], [60, 60, 61, 61, 0.7], [50, 0, 90, 30, 0.6]])
    assert box_finders.keep_usable(boxes, image, None)[:, 4].tolist() == [0.9, 0.8, 0.6]
    assert box_finders.keep_usable(boxes, image, 2)[:, 4].tolist() == [0.8, 0.6]
