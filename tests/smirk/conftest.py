"""SMIRK from stand-ins of its official files, and the face that its goldens show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

GOLDEN = Path(__file__).resolve().parents[1] / "golden/smirk"


@pytest.fixture(scope="session")
def demo_golden() -> dict[str, np.ndarray]:
    """What the official demo gave."""
    with np.load(GOLDEN / "demo_end_to_end.npz") as archive:
        return dict(archive)


@pytest.fixture(scope="session")
def photo(astronaut) -> np.ndarray:
    from facecli.io.images import read_image

    return read_image(astronaut)


@pytest.fixture(scope="session")
def face(demo_golden):
    """The astronaut's, with the landmarks that the goldens were made with."""
    from facecli.detect.face import Face, box_of_points

    points = demo_golden["landmarks_mp"]
    return Face(box_of_points(points), 1.0, points, "mediapipe478")


@pytest.fixture(scope="session")
def smirk(finding_standins, photo, face):
    """A reconstructor that has loaded all of its files; what it doesn't have at hand later fails."""
    from facecli_smirk.reconstructor import SmirkReconstructor

    with finding_standins():
        model = SmirkReconstructor()
        crop = model.crop(photo, face)
        codes = model.encode([crop])
        model.draw(["rendering", "masked", "generator"], [crop], codes, model.decode(codes))
    return model
