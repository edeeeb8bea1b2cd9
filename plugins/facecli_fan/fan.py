"""68 landmarks, 2-D or 3-D, by the face-alignment package: what DECA, EMOCA and DiffusionRig use.

The package fetches its weights unchecked and unpickles them freely; here they come through our catalogue, and it never
reaches the network. Its points are whole pixels.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import cv2
import face_alignment.api
import face_alignment.utils
import numpy as np
import torch
from face_alignment.detection.blazeface import blazeface_detector
from face_alignment.detection.sfd import sfd_detector

from facecli.assets.catalogue import Asset
from facecli.assets.store import require, require_all
from facecli.detect.face import Face
from facecli.errors import MissingAssetError
from facecli.nn import checkpoints
from facecli.nn.fan import FAN
from facecli_fan import boxes as box_finders
from facecli_fan import files, weights

# Detectors of the package -> the files of each. (Its retinaface needs torchvision and gets RGB for BGR: ours is used.)
_DETECTORS = {"sfd": (files.SFD,), "blazeface": (files.BLAZEFACE, files.BLAZEFACE_ANCHORS)}
_THRESHOLDS = {"sfd": "filter_threshold", "blazeface": "min_score_thresh"}
_NO_DETECTOR = "folder"  # reads boxes from files: the only one of the package's that loads nothing


class Fan:
    """68 points that follow the visible contour.

    Args:
        confidence: least score of a face.
        max_faces: landmark the largest ones only.
        device: where the networks run.
        flip_input: average with the mirrored crop: twice the time for a little less noise. The package's default is
            True; DECA, EMOCA and DiffusionRig have it off, and so have we.
        detector: ``"sfd"`` (as those three), ``"blazeface"``, ``"retinaface"`` (ibug's), or any other installed
            landmarker whose boxes to take, e.g. ``"mediapipe"``: hundreds of times faster than S3FD on a CPU.
        detect_side: the package's detectors see pictures with a longer side than this many pixels scaled down to it
            (S3FD takes 20 s and gigabytes for each megapixel on a CPU); 0: never. Landmarks always come from the full
            picture.

    Raises:
        MissingAssetError: weights are missing, or the package is too old.
    """

    point_set = "ibug68"
    _type = face_alignment.LandmarksType.TWO_D
    _networks: Mapping[str, Asset] = {"2DFAN-4": files.FAN_2D}

    def __init__(
        self,
        confidence: float = 0.5,
        max_faces: int | None = None,
        device: str = "cpu",
        *,
        flip_input: bool = False,
        detector: str = "sfd",
        detect_side: int = 1280,
    ):
        device = str(device)
        theirs = _DETECTORS.get(detector, ())
        retinaface = (files.RETINAFACE,) if detector == "retinaface" else ()
        require_all([*theirs, *retinaface, *self._networks.values()])
        options = {"confidence": confidence, "max_faces": max_faces, "device": device}
        self._alignment = self._build(device, detector if theirs else _NO_DETECTOR, confidence, flip_input)
        if theirs:
            self._boxes = _PackageBoxes(self._alignment.face_detector, detect_side)
        elif retinaface:
            self._boxes = box_finders.RetinaFaceBoxes(confidence, device)
        else:
            self._boxes = box_finders.landmarker_boxes(detector, (*_DETECTORS, "retinaface"), **options)
        # All that the package still wants from its detector is the scale that belongs to its boxes.
        self._alignment.face_detector = self._boxes
        self._max_faces = max_faces

    def detect(self, images: Sequence[np.ndarray]) -> list[list[Face]]:
        """Faces of each picture (RGB uint8 [H, W, 3]), in the detector's order."""
        with _cudnn_setting_kept():
            return [self._detect_one(image) for image in images]

    def close(self) -> None:
        self._alignment = None
        self._boxes.close()

    def _build(self, device: str, detector: str, confidence: float, flip_input: bool) -> face_alignment.FaceAlignment:
        """The package's object, with the checked weights, and nothing compiled."""
        _check_package(self._networks, detector)
        _keep_compiled_decoding()
        hub = {asset.filename: _network_checkpoint(key, asset) for key, asset in self._networks.items()}
        hub |= {asset.filename: _detector_checkpoint(asset) for asset in _DETECTORS.get(detector, ())}
        threshold = {_THRESHOLDS[detector]: confidence} if detector in _THRESHOLDS else {}
        with weights.private_hub(hub), _cudnn_setting_kept():
            return face_alignment.FaceAlignment(
                self._type,
                device=device,
                flip_input=flip_input,
                face_detector=detector,
                face_detector_kwargs=threshold,
                compile=False,  # it would need a C++ compiler, and minutes
            )

    def _detect_one(self, image: np.ndarray) -> list[Face]:
        image = np.ascontiguousarray(image)
        boxes = box_finders.keep_usable(self._boxes.find(image), image, self._max_faces)
        if not len(boxes):
            return []
        all_points, all_scores, _ = self._alignment.get_landmarks_from_image(
            image, detected_faces=list(boxes), return_landmark_score=True
        )
        return [
            Face(
                box=box[:4].astype(np.float64),
                score=float(box[4]),
                points=self._oriented(points.astype(np.float64)),
                point_set=self.point_set,
                point_scores=np.asarray(scores),
            )
            for box, points, scores in zip(boxes, all_points, all_scores, strict=True)
        ]

    def _oriented(self, points: np.ndarray) -> np.ndarray:
        return points


class Fan3d(Fan):
    """68 points of the face itself, hidden ones too, with depth (in pixels, growing away from the camera)."""

    _type = face_alignment.LandmarksType.THREE_D
    _networks: Mapping[str, Asset] = {"3DFAN-4": files.FAN_3D, "depth": files.DEPTH}

    def _oriented(self, points: np.ndarray) -> np.ndarray:
        """The package's depth grows towards the camera (that of 300W-LP, whose faces it learnt from)."""
        return points * (1, 1, -1)


class _PackageBoxes:
    """A detector of the package, fed with pictures of a bearable size."""

    def __init__(self, detector: Any, side: int):
        self._detector, self._side = detector, side
        self.reference_scale = detector.reference_scale

    def find(self, image: np.ndarray) -> np.ndarray:
        longer = max(image.shape[:2])
        factor = min(self._side / longer, 1) if self._side else 1
        if factor < 1:
            height, width = (max(math.floor(side * factor), 1) for side in image.shape[:2])
            small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
            back = np.array([image.shape[1] / width, image.shape[0] / height] * 2 + [1])
            return self._detect(small) * back
        return self._detect(image)

    def _detect(self, image: np.ndarray) -> np.ndarray:
        found = [np.asarray(box, np.float64) for box in self._detector.detect_from_image(image.copy())]
        return np.array(found).reshape(-1, 5)

    def close(self) -> None:
        self._detector = None


def _network_checkpoint(key: str, asset: Asset) -> dict[str, Any]:
    """A landmark or depth network as the package expects it in its cache."""
    if key == "depth":
        return {"state_dict": checkpoints.read_state(asset, face_alignment.api.ResNetDepth)}
    return checkpoints.read_state(asset, FAN)


def _detector_checkpoint(asset: Asset) -> Any:
    """A detector's file as the package expects it in its cache."""
    if asset == files.SFD:
        return checkpoints.read_state(asset, sfd_detector.s3fd)
    if asset == files.BLAZEFACE:
        return checkpoints.read_state(asset, blazeface_detector.BlazeFace)
    return require(asset)  # the anchors, which it reads with numpy's safe loader


def _check_package(networks: Mapping[str, Asset], detector: str) -> None:
    """Refuse a release of the package that would look for other files, and so go to the network."""
    known = {asset.filename for asset in (*networks.values(), *_DETECTORS.get(detector, ()))}
    urls = [face_alignment.api.models_urls.get(key, "") for key in networks]
    if detector == "sfd":
        urls += sfd_detector.models_urls.values()
    if detector == "blazeface":
        urls += [blazeface_detector.models_urls.get(f"blazeface_{part}", "") for part in ("weights", "anchors")]
    for url in urls:
        if PurePosixPath(urlsplit(url).path).name not in known:
            raise MissingAssetError(
                f"face-alignment {face_alignment.__version__} looks for other weights than facecli knows ({url}): "
                'pip install "face-alignment==1.5.0"'
            )


def _keep_compiled_decoding() -> None:
    """Let numba keep on disk what the package else compiles anew in every process, for 8 seconds of the first face."""
    decode = getattr(face_alignment.utils, "_get_preds_fromhm", None)
    if hasattr(decode, "enable_caching"):
        with contextlib.suppress(RuntimeError):  # nowhere to write
            decode.enable_caching()


@contextlib.contextmanager
def _cudnn_setting_kept() -> Iterator[None]:
    """The package turns on cuDNN's benchmark mode for the whole process; other models don't want it."""
    previous = torch.backends.cudnn.benchmark
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = previous
