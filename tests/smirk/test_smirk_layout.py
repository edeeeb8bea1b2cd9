"""SMIRK's own files: names, panels and sizes; what `demo_end_to_end.npz` proves is in test_smirk_demo."""

from __future__ import annotations

import numpy as np
import pytest

from facecli import registry
from facecli.io.images import read_image
from facecli.plugin import FaceView, Layout
from facecli_smirk.layout import SmirkLayout, picture_name


@pytest.fixture(scope="module")
def view(smirk, photo, face):
    """Makes a view of the astronaut."""
    crop = smirk.crop(photo, face)
    codes = smirk.encode([crop])
    reconstruction = smirk.decode(codes)

    def make(source: str = "a.png", number: int = 0, crop=crop, photo=photo) -> FaceView:
        return FaceView(source.split(".")[0], source, number, None, photo, crop, codes, reconstruction)

    return make


def test_the_registry_makes_it(smirk):
    layout = registry.layout("smirk", "smirk", smirk, save=("strip",), photo_size=False)
    assert isinstance(layout, SmirkLayout)
    assert isinstance(layout, Layout)


@pytest.mark.parametrize(
    ("source", "place", "name"),
    [
        ("me.png", 0, "me.png"),
        ("me.tar.JPG", 0, "me.tar.JPG"),
        ("me.jpg", 2, "me_2.jpg"),
        ("sub/me.jpeg", 1, "me_1.jpeg"),
        ("me.heic", 0, "me.png"),
        ("codes.npz", 0, "codes.png"),
        ("me", 0, "me.png"),
    ],
)
def test_names(source, place, name):
    assert picture_name(source, place) == name


def test_a_strip_a_face(smirk, view, tmp_path):
    SmirkLayout(smirk).write_photograph(tmp_path, [view("b.jpg"), view("b.jpg", 1), view("b.jpg", 2)])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.jpg", "b_1.jpg", "b_2.jpg"]
    assert read_image(tmp_path / "b_1.jpg").shape == (224, 448, 3)


def test_without_a_photograph_there_is_the_rendering(smirk, view, tmp_path):
    """Codes from a file; as large as the photograph that they name, if that is asked for."""
    alone = view(crop=None, photo=np.zeros((300, 200, 3), np.uint8))
    SmirkLayout(smirk, save=("strip", "generator")).write_photograph(tmp_path, [alone])
    assert read_image(tmp_path / "a.png").shape == (224, 224, 3)
    SmirkLayout(smirk, photo_size=True).write_photograph(tmp_path, [alone])
    assert read_image(tmp_path / "a.png").shape == (300, 400, 3)


@pytest.mark.parametrize(
    ("source", "name"), [("clip.mp4", "clip.mp4"), ("a/my.clip.avi", "my.mp4"), (".mov", "mov.mp4")]
)
def test_names_of_videos(smirk, source, name):
    """All up to the first dot, as the demo cuts it."""
    assert SmirkLayout(smirk).video_name(source) == name


@pytest.mark.parametrize(("save", "panels"), [(("strip",), 2), (("strip", "generator"), 3)])
@pytest.mark.parametrize("photo_size", [False, True])
def test_frames_of_one_size(smirk, view, photo, save, panels, photo_size):
    layout = SmirkLayout(smirk, save=save, photo_size=photo_size)
    height, width = photo.shape[:2] if photo_size else (224, 224)
    full, empty = layout.video_frame(photo, [view(number=3), view(number=1)]), layout.video_frame(photo, [])
    stored = layout.video_frame(photo, [view(crop=None)])
    assert full.shape == empty.shape == stored.shape == (height, panels * width, 3)
    assert full.dtype == np.uint8
    rendering = full[:, width : 2 * width]
    assert rendering.any()
    assert not empty[:, width:].any()
    if photo_size:
        np.testing.assert_array_equal(empty[:, :width], photo)
        np.testing.assert_array_equal(full[:, :width], photo)
    assert (np.abs(stored[:, width : 2 * width].astype(int) - rendering) > 1).mean() < 1e-3


def test_a_video_shows_the_first_person(smirk, view, photo):
    """Whoever is larger at the moment."""
    black = view(number=0)
    white = view(number=1, photo=np.full_like(photo, 255))
    layout = SmirkLayout(smirk, photo_size=True)
    for views in ([white, black], [black, white]):
        np.testing.assert_array_equal(layout.video_frame(photo, views)[:, :512], photo)
    assert (layout.video_frame(photo, [white])[:, :512] == 255).all()
