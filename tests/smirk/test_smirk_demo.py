"""The official image demo, run on the sample photograph with stand-in weights: five sets of flags, and what we give."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from facecli.geometry.camera import scaled_orthographic
from facecli.io.images import read_image
from facecli.morphable.flame_landmarks import FlameLandmarks
from facecli.plugin import FaceView
from facecli_smirk.layout import SmirkLayout
from facecli_smirk.reconstructor import CODE_NAMES
from facecli_smirk.weights import load_generator
from standins.smirk import toy_smirk_assets

SEED = 1000 + 95
DRAWN_BEFORE = 38_085_148
"""Numbers that the official program draws from torch's generator before the masking: it initialises its networks."""

STANDIN_GAIN = 1.25
"""Of the generator's convolutions in tests/standins over those that the goldens were made with."""


@pytest.fixture(scope="module", params=["crop", "nocrop"])
def seen(request, smirk, photo, face):
    """(case, crop, codes, reconstruction) of the demo with and without ``--crop``."""
    crop = (smirk.crop if request.param == "crop" else smirk.whole_picture)(photo, face)
    codes = smirk.encode([crop])
    return request.param, crop, codes, smirk.decode(codes)


def strip(smirk, photo, face, seen, save, photo_size, tmp_path) -> np.ndarray:
    """What the layout writes."""
    _, crop, codes, reconstruction = seen
    view = FaceView("astronaut", "astronaut.png", 0, None, photo, crop, codes, reconstruction)
    SmirkLayout(smirk, save=save, photo_size=photo_size).write_photograph(tmp_path, [view])
    return read_image(tmp_path / "astronaut.png")


def check(picture, golden, case, step):
    assert list(picture.shape) == golden[f"{case}/shape"].tolist()
    difference = np.abs(picture[::step, ::step].astype(int) - golden[f"{case}/rgb_every_{step}"])
    assert (difference > 1).mean() <= 0.005
    np.testing.assert_allclose([picture.mean(), picture.std()], golden[f"{case}/mean_std"], atol=0.02)


def test_parameters_and_mesh(seen, demo_golden):
    case, _, codes, reconstruction = seen
    for name, theirs in CODE_NAMES.items():
        np.testing.assert_allclose(codes[name], demo_golden[f"{case}/{theirs}"], atol=1e-4, err_msg=name)
    vertices = reconstruction.extras["verts"][:, ::37]
    np.testing.assert_allclose(vertices, demo_golden[f"{case}/vertices_every_37"], atol=1e-6)


def test_landmarks(seen, smirk, demo_golden):
    """SMIRK's goldens have another embedding of the 68 points than the stand-in files, whose is DECA's."""
    case, _, codes, reconstruction = seen
    extra = toy_smirk_assets()
    embedding, names = extra["landmark_embedding"], {"static": "static", "dynamic": "contour", "full": "full"}
    sets = {}
    for theirs, ours in names.items():
        triangles, weights = (embedding[f"{theirs}_lmk_{part}"] for part in ("faces_idx", "bary_coords"))
        first = 0 if theirs == "full" else slice(None)
        sets[f"{ours}_triangles"] = np.asarray(triangles, np.int64)[first]
        sets[f"{ours}_weights"] = np.asarray(weights, np.float32)[first]
    landmarks = FlameLandmarks(smirk.head.triangles.numpy(), sets)
    contour = landmarks.contour68(reconstruction.extras["verts"], codes["pose"])
    projected = scaled_orthographic(contour, codes["camera"])[..., :2]
    np.testing.assert_allclose(projected, demo_golden[f"{case}/proj_landmarks_fan"], atol=1e-5)
    mediapipe = reconstruction.extras["landmarks_mediapipe"]
    np.testing.assert_allclose(mediapipe, demo_golden[f"{case}/proj_landmarks_mp"], atol=1e-5)


def test_the_strip(seen, smirk, photo, face, demo_golden, tmp_path):
    check(strip(smirk, photo, face, seen, ("strip",), False, tmp_path), demo_golden, seen[0], 2)


def test_the_strip_at_the_photographs_size(seen, smirk, photo, face, demo_golden, tmp_path):
    check(strip(smirk, photo, face, seen, ("strip",), True, tmp_path), demo_golden, f"{seen[0]}_orig", 4)


@pytest.fixture
def official_draws(monkeypatch, smirk, standins):
    """The masking draws what it drew in the official program, and the generator has the weights that it had there."""
    generator = torch.Generator().manual_seed(SEED)
    scratch = torch.empty(1_000_000)
    for start in range(0, DRAWN_BEFORE, len(scratch)):
        scratch[: DRAWN_BEFORE - start].uniform_(generator=generator)
    state = generator.get_state()

    def random() -> torch.Generator:
        fresh = torch.Generator()
        fresh.set_state(state)
        return fresh

    network = load_generator(fused=False, path=standins / "SMIRK_em1.pt").requires_grad_(False)
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter /= STANDIN_GAIN
    monkeypatch.setattr(smirk.pictures, "random", random)
    loaded = {**smirk.pictures._loaded, smirk.pictures._make_generator: network}
    monkeypatch.setattr(smirk.pictures, "_loaded", loaded)


def test_the_generator(smirk, photo, face, demo_golden, official_draws, tmp_path):
    crop = smirk.crop(photo, face)
    codes = smirk.encode([crop])
    seen = ("crop", crop, codes, smirk.decode(codes))
    masked = smirk.draw(["masked"], [crop], codes, seen[3])["masked"][0][::2, ::2].transpose(2, 0, 1)
    difference = np.abs(masked.astype(int) - demo_golden["crop_generator/masked_img_every_2"][0])
    assert (difference > 1).mean() <= 1e-4
    check(strip(smirk, photo, face, seen, ("strip", "generator"), False, tmp_path), demo_golden, "crop_generator", 2)


def test_codes_without_their_crop_draw_the_same(seen, smirk, photo):
    """As they come from a file, in single precision."""
    _, crop, codes, reconstruction = seen
    alone = smirk.draw(["rendering", "generator", "masked"], None, codes, reconstruction, photos=[photo])
    assert list(alone) == ["rendering"]
    wanted = smirk.draw(["rendering"], [crop], codes, reconstruction, photos=[photo])["rendering"][0]
    assert wanted.shape == photo.shape
    assert (np.abs(alone["rendering"][0].astype(int) - wanted) > 1).mean() < 1e-3
