"""The landmarker ibug: crop, decoding and the whole way give the official numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from facecli import registry
from facecli.errors import MissingAssetError, UsageError
from facecli.nn import retinaface
from facecli_fan import files, ibug
from facecli_fan.ibug import Ibug


@pytest.fixture(scope="module")
def golden():
    from pathlib import Path

    with np.load(Path(__file__).parents[1] / "golden" / "landmarks" / "ibug_astronaut.npz") as data:
        return dict(data)


def blobs(cx, cy, spread, floor=0.0):
    """Bell-shaped heat maps [1, K, 64, 64]."""
    y, x = np.mgrid[:64, :64]
    distance = (x - cx[:, None, None]) ** 2 + (y - cy[:, None, None]) ** 2
    return torch.from_numpy((np.exp(-distance / spread) - floor).astype(np.float32))[None]


def test_decoding(pre_post, golden):
    points, scores = ibug.decode(blobs(pre_post["ibug_blob_cx"], pre_post["ibug_blob_cy"], 8))
    assert points.numpy() == pytest.approx(pre_post["ibug_landmarks"], abs=1e-4)
    assert scores.numpy() == pytest.approx(pre_post["ibug_scores"], abs=1e-4)
    points, scores = ibug.decode(blobs(*golden["decode/centres"][0].T, 18, 0.05))
    assert points.numpy() == pytest.approx(golden["decode/landmarks"], abs=1e-4)
    assert scores.numpy() == pytest.approx(golden["decode/scores"], abs=1e-4)


def test_decoding_of_a_map_without_anything_positive():
    points, scores = ibug.decode(torch.full((1, 2, 64, 64), -0.5))
    assert points.tolist() == [[[0, 0], [0, 0]]] and scores.tolist() == [[-0.5, -0.5]]


def test_the_whole_way_from_box_to_landmarks(official, astronaut, golden):
    """Weights are noise, so where two peaks are nearly equal another one may win: the golden asks for 95 %."""
    landmarker = Ibug(detector="retinaface")
    points, scores = landmarker.landmarks(astronaut, golden["boxes"])
    assert points.dtype == np.float32
    near = np.abs(points - golden["landmarks"]).max(-1) <= 0.05
    assert near.mean() >= 0.95
    assert scores == pytest.approx(golden["scores"], rel=1e-3, abs=1e-3)
    nothing, no_scores = landmarker.landmarks(astronaut, np.zeros((0, 5)))
    assert nothing.shape == (0, 68, 2) and no_scores.shape == (0, 68)


def test_batches_equal_single_faces(official, astronaut, golden):
    boxes = np.array([*golden["boxes"], golden["boxes"][0] + [30, 20, 40, 35, 0]])
    together, _ = Ibug(batch_size=2).landmarks(astronaut, boxes)
    alone, _ = Ibug(batch_size=1).landmarks(astronaut, boxes)
    assert (np.abs(together - alone).max(-1) <= 0.05).mean() >= 0.95


def test_crop_of_a_box_over_the_border(astronaut):
    boxes = np.array([[-20.0, 10, 81, 110]])
    ((left, top, right, bottom),) = squares = ibug.crop_boxes(boxes)
    side = 100.5 / 0.55
    assert (left, top) == (round(30.5 - side / 2), round(60 - side / 2))
    assert (right, bottom) == (round(left + side) + 1, round(top + side) + 1)
    crop = ibug.cut(astronaut, squares[0])
    black = int(-left / (right - left) * 256)
    assert not crop[:, : black - 2].any() and crop[128, black + 2 :].any()
    inside = np.zeros((bottom - top, right - left, 3), np.uint8)
    inside[-top:, -left:] = astronaut[:bottom, :right]
    import cv2

    assert np.array_equal(crop, cv2.resize(inside, (256, 256)))


def test_faces_come_from_retinaface(official, astronaut):
    image = astronaut[40:168, 160:288]
    landmarker = registry.landmarker("ibug", confidence=0.5)
    boxes, scores, _ = retinaface.detect(landmarker._boxes._net, image, 0.5)
    limit = float(np.sort(scores)[-3])
    few = registry.landmarker("ibug", confidence=limit)
    (faces,) = few.detect([image])
    assert [face.score for face in faces] == [float(score) for score in scores if score > limit]
    assert [face.box.tolist() for face in faces] == [box.tolist() for box in boxes[: len(faces)]]
    assert all(face.point_set == "ibug68" and face.points.shape == (68, 2) for face in faces)
    assert len(registry.landmarker("ibug", confidence=0.5, max_faces=1).detect([image])[0]) == 1
    assert Ibug(confidence=0.999).detect([image, image[:9]]) == [[], []]
    few.close()


def test_the_original_threshold_is_the_default(official):
    assert Ibug()._boxes._confidence == 0.8
    assert Ibug(confidence=0.3)._boxes._confidence == 0.3


def test_boxes_of_mediapipe_do_without_retinafaces_weights(own_folder, standins, astronaut):
    pytest.importorskip("mediapipe")
    (own_folder / "2dfan2_alt.pth").symlink_to(standins / "2dfan2_alt.pth")
    ((face,),) = Ibug(detector="mediapipe").detect([astronaut])
    assert 0 < face.score <= 1 and face.points.shape == (68, 2)
    with pytest.raises(MissingAssetError, match=r"Retinaface_mobilenet0\.25\.pth is missing"):
        Ibug()


def test_missing_weights(own_folder):
    with pytest.raises(MissingAssetError) as caught:
        registry.landmarker("ibug")
    for asset in (files.IBUG_2DFAN2_ALT, files.RETINAFACE):
        assert asset.filename in str(caught.value)
    assert "`facecli assets get ibug_2dfan2_alt retinaface_mobilenet` fetches them" in str(caught.value)
    assert "MIT" in str(caught.value)


def test_unknown_words(official):
    with pytest.raises(UsageError, match="unknown ibug model '3dfan'; there are 2dfan2_alt"):
        Ibug(model="3dfan")
    with pytest.raises(UsageError, match=r"unknown face detector 'nobody'; there are retinaface, .*mediapipe"):
        Ibug(detector="nobody")
