"""MediaPipe's 478 face landmarks behind one adapter for both of its APIs.

* *legacy* (``mp.solutions.face_mesh``, mediapipe <= 0.10.21): the models are inside the wheel;
* *Tasks* (``FaceLandmarker``, 0.10.x beside legacy, and the only one since 0.10.30): needs the file
  ``face_landmarker.task``, which is fetched at first use; gives blendshapes and a head pose matrix, too.

Points are pixels x·W, y·H, z·W (no half-pixel shift: the research code uses exactly this), z growing away from the
camera. The two APIs run different networks and differ by up to 2 % of the picture's size.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Sequence
from typing import Literal

import numpy as np

from facecli.assets.catalogue import FACE_LANDMARKER_TASK
from facecli.assets.store import obtain
from facecli.detect.face import Face, box_of_points
from facecli.errors import MissingAssetError

MAX_FACES = 32
"""Most faces in one picture, unless the caller says otherwise. It costs nothing where fewer are found."""

SMALL_FACE = 0.25
"""Where the largest face found is below this fraction of the picture's shorter side, smaller ones may hide: the
short-range detector inside Face Mesh misses faces below about 8 %."""

LARGE_PICTURE = 720
"""Shorter side in pixels from which faces can be too small for every detector and still have detail."""

CROP_MARGIN = 1.0
"""Extra room around a full-range detection, in box sides, so that the short-range detector finds the face in it."""

SAME_FACE = 0.3
"""Intersection over union above which two boxes are one face."""


class MediaPipeLandmarker:
    """Detects all faces of a picture with 478 points each (468 surface points and 10 of the irises).

    Args:
        confidence: least detection and presence confidence. SMIRK and EMOCA use 0.1.
        max_faces: at most so many faces a picture.
        device: accepted for the contract; MediaPipe runs on the CPU.
        track: follow faces from picture to picture of a video (faster, but results then depend on history).
        small_faces: look again with the full-range detector where only small faces, or none, were found.
        api: ``"legacy"``, ``"tasks"`` or ``"auto"``: legacy where it is installed.
        refine: legacy only: attention model with irises; without it there are 468 points.
        further_confidence: least confidence of all faces but the surest one: for programs that look hard for one face,
            where a low `confidence` would bring folds of clothes as further ones.

    Raises:
        MissingAssetError: the Tasks API is used and its file can't be had.
    """

    def __init__(
        self,
        confidence: float = 0.5,
        max_faces: int | None = None,
        device: str = "cpu",
        *,
        track: bool = False,
        small_faces: bool = True,
        api: Literal["auto", "legacy", "tasks"] = "auto",
        refine: bool = True,
        further_confidence: float = 0.0,
    ):
        _quiet_logging()
        import mediapipe

        if api == "auto":
            # By what is there, never by the version's text: both APIs live side by side in some versions.
            api = "legacy" if hasattr(mediapipe, "solutions") else "tasks"
        limit = max_faces or MAX_FACES
        if api == "legacy":
            self._backend = _Legacy(confidence, limit, track, refine)
            self._wide = _FullRangeDetector(confidence) if small_faces and not track else None
        else:
            self._backend = _Tasks(confidence, limit, track)
            self._wide = None
        self.api = api
        self._further_confidence = further_confidence
        self.point_set = self._backend.point_set

    def detect(self, images: Sequence[np.ndarray]) -> list[list[Face]]:
        """Faces of each picture (RGB uint8 [H, W, 3]; grey, RGBA and 16-bit are converted), in MediaPipe's order."""
        return [self._sure_enough(self._detect_one(_rgb8(image))) for image in images]

    def close(self) -> None:
        self._backend.close()
        if self._wide is not None:
            self._wide.close()

    def _sure_enough(self, faces: list[Face]) -> list[Face]:
        surest = max((face.score for face in faces), default=0.0)
        return [face for face in faces if face.score >= min(self._further_confidence, surest)]

    def _detect_one(self, image: np.ndarray) -> list[Face]:
        faces = self._backend.detect(image)
        if self._wide is None:
            return faces
        sides = [max(f.box[2] - f.box[0], f.box[3] - f.box[1]) for f in faces]
        if sides and max(sides) >= SMALL_FACE * min(image.shape[:2]):
            return faces
        for box in self._wide.boxes(image) or self._boxes_in_tiles(image, faces):
            if all(intersection_over_union(box, face.box) < SAME_FACE for face in faces):
                faces += self._look_closer(image, box, faces)
        return faces

    def _boxes_in_tiles(self, image: np.ndarray, known: list[Face]) -> list[np.ndarray]:
        """Where nothing at all was found in a large picture: boxes from its half-sized, half-overlapping tiles."""
        height, width = image.shape[:2]
        if known or min(height, width) < LARGE_PICTURE:
            return []
        boxes: list[np.ndarray] = []
        for y0 in (0, height // 4, height // 2):
            for x0 in (0, width // 4, width // 2):
                tile = np.ascontiguousarray(image[y0 : y0 + height // 2, x0 : x0 + width // 2])
                boxes += [np.add(box, (x0, y0, x0, y0)) for box in self._wide.boxes(tile)]
        return boxes

    def _look_closer(self, image: np.ndarray, box: np.ndarray, known: list[Face]) -> list[Face]:
        """The face that fills `box`, landmarked on a crop in which it is large."""
        x0, y0, x1, y1 = _grown(box, CROP_MARGIN, image.shape)
        if x1 - x0 < 8 or y1 - y0 < 8:
            return []
        found = self._backend.detect(np.ascontiguousarray(image[y0:y1, x0:x1]))
        for face in found:
            face.points[:, :2] += (x0, y0)
            face.box += (x0, y0, x0, y0)
        fitting = [f for f in found if intersection_over_union(f.box, box) >= SAME_FACE]
        new = [f for f in fitting if all(intersection_over_union(f.box, k.box) < SAME_FACE for k in known)]
        return sorted(new, key=lambda face: -intersection_over_union(face.box, box))[:1]


class MediaPipeTasksLandmarker(MediaPipeLandmarker):
    """The Tasks API by name, where both are installed: for its blendshapes and head pose."""

    def __init__(self, **options):
        super().__init__(**{**options, "api": "tasks"})


def _quiet_logging() -> None:
    """Before MediaPipe's first import; a user's own setting wins."""
    os.environ.setdefault("GLOG_minloglevel", "2")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.filterwarnings("ignore", message=r"SymbolDatabase\.GetPrototype", category=UserWarning)


def intersection_over_union(a: np.ndarray, b: np.ndarray) -> float:
    """Of two boxes [4] (x0, y0, x1, y1)."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    common = max(width, 0.0) * max(height, 0.0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common
    return float(common / union) if union > 0 else 0.0


def _grown(box: np.ndarray, margin: float, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """`box` with `margin` times its longer side added on each side, inside the picture."""
    x0, y0, x1, y1 = box
    extra = margin * max(x1 - x0, y1 - y0)
    height, width = shape[:2]
    return (
        int(max(x0 - extra, 0)),
        int(max(y0 - extra, 0)),
        int(min(x1 + extra, width)),
        int(min(y1 + extra, height)),
    )


def _rgb8(image: np.ndarray) -> np.ndarray:
    """Contiguous RGB uint8 [H, W, 3]: MediaPipe reads anything else as garbage or refuses it."""
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    if image.dtype != np.uint8:
        raise TypeError(f"pictures are uint8 or uint16, not {image.dtype}")
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, 2)
    return np.ascontiguousarray(image[..., :3])


def _points(landmarks, width: int, height: int) -> np.ndarray:
    """[K, 3] float64 pixels of MediaPipe's normalised landmarks."""
    points = np.array([(p.x, p.y, p.z) for p in landmarks], np.float64)
    return points * (width, height, width)


class _Legacy:
    """``mp.solutions.face_mesh``, with the detector's scores beside the landmarks."""

    def __init__(self, confidence: float, max_faces: int, track: bool, refine: bool):
        from mediapipe.python.solution_base import SolutionBase
        from mediapipe.python.solutions.face_mesh import FaceMesh

        class _AlsoDetections(SolutionBase):
            def __init__(self, *, outputs, **arguments):
                super().__init__(outputs=[*outputs, "face_detections"], **arguments)

        class _FaceMeshWithScores(FaceMesh, _AlsoDetections):
            """Face Mesh throws its detector's scores away; the graph has them."""

        self.point_set = "mediapipe478" if refine else "mediapipe468"
        self._mesh = _FaceMeshWithScores(
            static_image_mode=not track,
            max_num_faces=max_faces,
            refine_landmarks=refine,
            min_detection_confidence=confidence,
            min_tracking_confidence=confidence,  # in static mode it is the presence threshold
        )

    def detect(self, image: np.ndarray) -> list[Face]:
        height, width = image.shape[:2]
        result = self._mesh.process(image)
        scored = [_detection(d, width, height) for d in result.face_detections or []]
        faces = []
        for message in result.multi_face_landmarks or []:
            points = _points(message.landmark, width, height)
            box = box_of_points(points)
            faces.append(Face(box, _score(box, scored), points, self.point_set))
        return faces

    def close(self) -> None:
        self._mesh.close()


def _detection(detection, width: int, height: int) -> tuple[np.ndarray, float]:
    """Box [4] in pixels and score of a MediaPipe detection."""
    box = detection.location_data.relative_bounding_box
    x0, y0 = box.xmin * width, box.ymin * height
    return np.array([x0, y0, x0 + box.width * width, y0 + box.height * height]), float(detection.score[0])


def _score(box: np.ndarray, scored: list[tuple[np.ndarray, float]]) -> float:
    """The score of the detection that overlaps `box` most; 1 when tracking ran without detecting."""
    overlaps = [(intersection_over_union(box, other), score) for other, score in scored]
    best = max(overlaps, default=(0.0, 1.0))
    return best[1] if best[0] > 0 else 1.0


class _FullRangeDetector:
    """BlazeFace full range (up to about 5 m), also in the wheel: boxes only."""

    def __init__(self, confidence: float):
        from mediapipe.python.solutions.face_detection import FaceDetection

        self._detector = FaceDetection(model_selection=1, min_detection_confidence=confidence)

    def boxes(self, image: np.ndarray) -> list[np.ndarray]:
        height, width = image.shape[:2]
        return [_detection(d, width, height)[0] for d in self._detector.process(image).detections or []]

    def close(self) -> None:
        self._detector.close()


_TASKS_ERRORS = (RuntimeError, ValueError, OSError)
"""What the API raises for a file that it can't use; 0.10 and 1.x differ."""


def _created(vision, options: dict, extras: dict):
    """The Tasks landmarker, with `extras` where its file has the networks for them."""
    with contextlib.suppress(*_TASKS_ERRORS):
        return vision.FaceLandmarker.create_from_options(vision.FaceLandmarkerOptions(**options, **extras))
    return vision.FaceLandmarker.create_from_options(vision.FaceLandmarkerOptions(**options))


class _Tasks:
    """``mediapipe.tasks`` FaceLandmarker: the same calls in 0.10.x and 1.x."""

    point_set = "mediapipe478"
    FRAME_MS = 33

    def __init__(self, confidence: float, max_faces: int, track: bool):
        from mediapipe.tasks.python import vision
        from mediapipe.tasks.python.core.base_options import BaseOptions

        # As bytes: an open file by path is looked for below the current folder by some versions.
        path = obtain(FACE_LANDMARKER_TASK)
        mode = vision.RunningMode.VIDEO if track else vision.RunningMode.IMAGE
        options = {
            "base_options": BaseOptions(model_asset_buffer=path.read_bytes()),
            "running_mode": mode,
            "num_faces": max_faces,
            "min_face_detection_confidence": confidence,
            "min_face_presence_confidence": confidence,
            "min_tracking_confidence": confidence,
        }
        extras = {"output_face_blendshapes": True, "output_facial_transformation_matrixes": True}
        try:
            self._landmarker = _created(vision, options, extras)
        except _TASKS_ERRORS as error:
            raise MissingAssetError(
                f"{path}: MediaPipe can't read it: {' '.join(str(error).split())} "
                "(delete it, then `facecli assets get face_landmarker`)"
            ) from error
        self._track, self._time = track, 0

    def detect(self, image: np.ndarray) -> list[Face]:
        import mediapipe as mp

        wrapped = mp.Image(image_format=mp.ImageFormat.SRGB, data=image)
        if self._track:
            self._time += self.FRAME_MS  # the API wants strictly growing times; only their order matters to it
            result = self._landmarker.detect_for_video(wrapped, self._time)
        else:
            result = self._landmarker.detect(wrapped)
        height, width = image.shape[:2]
        return [self._face(result, i, width, height) for i in range(len(result.face_landmarks))]

    def _face(self, result, index: int, width: int, height: int) -> Face:
        points = _points(result.face_landmarks[index], width, height)
        blendshapes = result.face_blendshapes[index] if result.face_blendshapes else []
        matrices = result.facial_transformation_matrixes
        return Face(
            box_of_points(points),
            1.0,  # the Tasks API gives no score
            points,
            self.point_set,
            blendshapes={c.category_name: float(c.score) for c in blendshapes} or None,
            matrix=np.asarray(matrices[index]) if len(matrices) > index else None,
        )

    def close(self) -> None:
        self._landmarker.close()
