"""The example plugin `tiny`, a landmarker and a detector of drawn faces, for tests of what models share: quick, exact.

Faces are ellipses of strong red on a dull background; the landmarker `blobs` finds them, the detector `reds` their
boxes. Run as a program, this is `facecli` with all of them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

TINY = Path(__file__).parents[1] / "plugins/tiny_face_plugin"

Ellipse = tuple[float, float, float, float]
"""Centre x, y and half axes, in pixels."""


class BlobLandmarker:
    """Keeps the protocol `facecli.plugin.Landmarker`: a face for each red blob."""

    point_set = "five"
    calls = 0

    def __init__(self, confidence: float = 0.5, max_faces: int | None = None, device: str = "cpu"):
        self.confidence = confidence

    def detect(self, images: Sequence[np.ndarray]) -> list[list]:
        type(self).calls += len(images)
        return [self._faces(image) for image in images]

    def _faces(self, image: np.ndarray) -> list:
        import cv2

        from facecli.detect.face import Face

        red = (image[..., 0] > 150) & (image[..., 2] < 100)
        count, _, stats, _ = cv2.connectedComponentsWithStats(red.astype(np.uint8))
        faces = []
        for x, y, width, height, area in stats[1:count]:
            if area < 100:
                continue
            box = np.array([x, y, x + width - 1, y + height - 1], float)
            places = np.array([(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)])
            faces.append(Face(box, 0.9, box[:2] + places * (box[2:] - box[:2]), "five"))
        return faces

    def close(self) -> None:
        pass


class BlobDetector:
    """Keeps the protocol `facecli.plugin.Detector`: boxes a little wider than the blobs, of larger ones surer."""

    def __init__(self, confidence: float = 0.1, max_faces: int | None = None, device: str = "cpu"):
        self.confidence = confidence

    def detect(self, images: Sequence[np.ndarray]) -> list[list]:
        from facecli.detect.face import Face

        found = []
        for faces in BlobLandmarker().detect(images):
            boxes = [face.box + BESIDE for face in faces]
            scored = [Face(box, float(min((box[3] - box[1]) / SURE, 1.0))) for box in boxes]
            found.append(sorted((face for face in scored if face.score > self.confidence), key=lambda f: -f.score))
        return found

    def close(self) -> None:
        pass


BESIDE = np.array([-3.0, -2.0, 3.0, 2.0])
"""What the detector's boxes have more than the blobs."""
SURE = 80.0
"""Pixels of height from which the detector has no doubt."""


def boxed_model(**options: Any) -> Any:
    """The model `tiny`, content with boxes."""
    from tiny_face.model import TinyReconstructor

    model = TinyReconstructor(**options)
    model.landmarker = "reds"
    return model


def plugins() -> dict:
    """The descriptions by name: `tiny`, the landmarker `blobs`, and the detector `reds` with the model `boxed`."""
    if str(TINY) not in sys.path:
        sys.path.insert(0, str(TINY))
    from tiny_face import plugin as tiny

    from facecli.plugin import Plugin

    blobs = Plugin(
        "blobs", "drawn faces", "Apache-2.0", "none needed", landmarkers={"blobs": f"{__name__}:BlobLandmarker"}
    )
    boxed = Plugin(
        "boxed", "drawn faces' boxes", "Apache-2.0", "none needed", family="tiny",
        reconstructor=f"{__name__}:boxed_model", detectors={"reds": f"{__name__}:BlobDetector"},
    )  # fmt: skip
    return {"tiny": tiny, "blobs": blobs, "boxed": boxed}


def picture(faces: Sequence[Ellipse], size: tuple[int, int] = (160, 120), colors: Sequence = ()) -> np.ndarray:
    """RGB uint8 [H, W, 3] of (width, height) `size` with the `faces`; `colors` of theirs, strong red if not said."""
    import cv2

    image = np.full((size[1], size[0], 3), (70, 90, 110), np.uint8)
    for number, (x, y, a, b) in enumerate(faces):
        color = colors[number] if number < len(colors) else (220, 90, 60)
        ends = (round(x * 16), round(y * 16)), (round(a * 16), round(b * 16))
        cv2.ellipse(image, *ends, 0, 0, 360, color, -1, cv2.LINE_8, 4)
    return image


def write_clip(
    path: Path,
    frames: int,
    faces: Callable[[int], Sequence[Ellipse]],
    size: tuple[int, int] = (160, 120),
    fps: int = 25,
) -> Path:
    """A video of drawn faces: `faces(number)` of each frame."""
    from facecli.io.video import VideoWriter

    with VideoWriter(path, size, None, fps=fps) as writer:
        for number in range(frames):
            writer.write(picture(faces(number), size))
    return path


def start(*arguments: object, **further: Any) -> subprocess.Popen:
    """`facecli ARGUMENTS…` with these plugins in a process of its own, to be stopped."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=environment, **pipes, **further)


def install() -> None:
    """Makes these plugins known to this process."""
    from facecli import registry

    known = registry.plugins() | plugins()
    registry.plugins = lambda: known


if __name__ == "__main__":
    from facecli.cli.main import main

    sys.modules["standins.tiny"] = sys.modules[__name__]
    install()
    main()
