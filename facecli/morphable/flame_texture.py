"""Albedo spaces in FLAME's UV layout: the one made of the Basel face model, and FLAME's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from facecli.errors import InputError

SIDE, COMPONENTS = 512, 50
"""Side of the maps in the files, and how many components the DECA family uses."""
UV_SIZE = 256

_KEYS = {"BFM": ("MU", "PC", 1.0), "FLAME": ("mean", "tex_dir", 255.0)}


class FlameAlbedo(nn.Module):
    """Texture codes to albedo maps.

    Args:
        mean: [3, 256, 256] RGB, 0..1.
        components: [50, 3, 256, 256].
    """

    def __init__(self, mean: torch.Tensor, components: torch.Tensor):
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("components", components)

    def forward(self, texture: torch.Tensor) -> torch.Tensor:
        """Codes [B, 50] (or fewer) -> RGB [B, 3, 256, 256], row 0 on top (v = 1); not clamped to 0..1."""
        used = self.components[: texture.shape[1]]
        return self.mean + (texture @ used.flatten(1)).view(-1, *self.mean.shape)


def read_albedo(path: str | Path) -> FlameAlbedo:
    """``FLAME_albedo_from_BFM.npz`` (values 0..1) or ``FLAME_texture.npz`` (0..255), told apart by their keys.

    The files hold BGR maps of 512 pixels; the programs take every second pixel, and so does this. Only the components
    that are used are kept.

    Raises:
        InputError: missing, damaged, or neither.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            kind = next((kind for kind, (mean, *_) in _KEYS.items() if mean in archive.files), None)
            if kind is None or _KEYS[kind][1] not in archive.files:
                raise InputError(path, "is no albedo space of FLAME", "see `facecli assets list`")
            mean_key, components_key, scale = _KEYS[kind]
            mean, components = archive[mean_key], archive[components_key]
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(path, "no such file") from None
    except Exception as error:
        raise InputError(path, f"can't be read: {' '.join(str(error).split())}", "get it again") from error
    if mean.size != SIDE * SIDE * 3 or components.size % mean.size or components.size == 0:
        raise InputError(path, f"holds maps of the shape {list(mean.shape)}, not [{SIDE}, {SIDE}, 3]", "get it again")
    return FlameAlbedo(_maps(mean, scale)[0], _maps(components, scale))


def _maps(values: np.ndarray, scale: float) -> torch.Tensor:
    """[N, 3, 256, 256] RGB of maps whose component is the last axis (or not there)."""
    step = SIDE // UV_SIZE
    maps = values.reshape(SIDE, SIDE, 3, -1)[::step, ::step, ::-1, :COMPONENTS]
    return torch.from_numpy(np.ascontiguousarray(maps.transpose(3, 2, 0, 1), np.float32) / np.float32(scale))
