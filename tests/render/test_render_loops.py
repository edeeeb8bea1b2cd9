"""numba's loops and the numpy that stands in for them give the same pictures."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from facecli.render.pictures import draw_overlay
from facecli.render.texture import complete_texture, sample_texture, uv_layout

SIZE = 192


def bumpy_ball(rings=33, spokes=41):
    """The front of a ball with bumps, which hide each other: vertices, UV, triangles, mirrored UV."""
    latitude, azimuth = np.meshgrid(np.linspace(-1.3, 1.3, rings), np.linspace(-1.9, 1.9, spokes), indexing="ij")
    radius = 1 + 0.15 * np.cos(6 * azimuth) * np.cos(5 * latitude)
    x, y = radius * np.cos(latitude) * np.sin(azimuth), radius * np.sin(latitude)
    points = np.stack([x, y, radius * np.cos(latitude) * np.cos(azimuth)], -1).reshape(-1, 3)
    uv = np.stack([0.5 + azimuth / 1.9 * 0.46, 0.5 + latitude / 1.3 * 0.4], -1).reshape(-1, 2)
    a = (np.arange(rings - 1)[:, None] * spokes + np.arange(spokes - 1)).ravel()
    triangles = np.concatenate([np.stack([a, a + 1, a + spokes], 1), np.stack([a + 1, a + spokes + 1, a + spokes], 1)])
    return points, uv, triangles, uv * [-1, 1] + [1, 0]


POINTS, UV, TRIANGLES, MIRROR = bumpy_ball()


def turned(yaw, radius=80.0, centre=(110.0, 95.0)):
    cosine, sine = np.cos(yaw), np.sin(yaw)
    x, y, z = POINTS.T
    across = np.stack([x * cosine + z * sine, -y, x * sine - z * cosine], 1)
    return across * radius + [*centre, 400]


def photograph(seed=0):
    """Noise without the finest detail, brighter to the right, so that the sides of the face differ."""
    import cv2

    noise = np.random.default_rng(seed).uniform(0, 200, (190, 220, 3)).astype(np.float32)
    photo = cv2.GaussianBlur(noise, (0, 0), 2.0) + np.linspace(-40, 60, 220, dtype=np.float32)[:, None]
    return np.clip(np.rint(photo), 0, 255).astype(np.uint8)


def levels_apart(first, second):
    return np.abs(first.astype(int) - second.astype(int))


def assert_nearly_same(fast, slow):
    """Up to a few texels that were hardly seen: `cv2.remap` rounds where it looks to 1/32 texel."""
    apart = levels_apart(fast, slow)
    assert (apart > 2).mean() < 0.005
    assert apart.max() <= 12


@pytest.mark.parametrize("yaw", [0.0, 0.4, -0.8])
def test_textures_are_the_same(yaw):
    photo, projected = photograph(), turned(yaw)
    results = {}
    for backend in ("numba", "torch"):
        assert uv_layout(UV, TRIANGLES, SIZE, backend).compiled == (backend == "numba")
        texture, weight = sample_texture(photo, projected, TRIANGLES, UV, None, SIZE, backend=backend)
        assert 0.2 < (weight > 0).mean() < 0.8
        results[backend] = texture, weight, complete_texture(texture, weight, UV, TRIANGLES, MIRROR, backend=backend)
    (sampled, weight, full), (sampled_slowly, weight_slowly, full_slowly) = results.values()
    assert np.abs(weight - weight_slowly).max() < 1e-3
    assert levels_apart(sampled, sampled_slowly).max() <= 1
    assert_nearly_same(full, full_slowly)
    assert levels_apart(full, sampled)[uv_layout(UV, TRIANGLES, SIZE).mask & (weight == 0)].mean() > 30  # it was filled


@pytest.mark.parametrize("opacity", [0.3, 1.0])
@pytest.mark.parametrize("radius", [30.0, 80.0, 400.0])  # drawn at twice the resolution, and at that of the photograph
def test_overlays_are_the_same(opacity, radius):
    photo = photograph()
    faces = [turned(0.3, radius), turned(-0.9, radius / 2, (60.0, 70.0))]
    fast, slow = (
        draw_overlay(photo, faces, TRIANGLES, color=(250, 180, 90), opacity=opacity, backend=backend)
        for backend in ("numba", "torch")
    )
    assert levels_apart(fast, photo).max() > 30
    assert levels_apart(fast, slow).max() <= 1


def test_everything_works_where_numba_is_missing(tmp_path):
    code = f"""
import sys
sys.modules["numba"] = None
sys.path.insert(0, {str(Path(__file__).parent)!r})
import numpy as np
from test_render_loops import *
photo, projected = photograph(), turned(0.4)
texture, weight = sample_texture(photo, projected, TRIANGLES, UV, None, SIZE)
full = complete_texture(texture, weight, UV, TRIANGLES, MIRROR)
np.savez({str(tmp_path / "slow.npz")!r}, full=full, overlay=draw_overlay(photo, projected, TRIANGLES))
assert "facecli.render.loops" not in sys.modules
"""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    photo, projected = photograph(), turned(0.4)
    texture, weight = sample_texture(photo, projected, TRIANGLES, UV, None, SIZE)
    full = complete_texture(texture, weight, UV, TRIANGLES, MIRROR)
    slow = np.load(tmp_path / "slow.npz")
    assert_nearly_same(full, slow["full"])
    assert levels_apart(draw_overlay(photo, projected, TRIANGLES), slow["overlay"]).max() <= 1
