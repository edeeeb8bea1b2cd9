"""UV maps that somebody's network made for faces (SynergyNet's `artistic.py` and `uv_texture_realFaces.py` show the
published ones): the textures of option ``uv_map``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from facecli.assets.store import how_to_get
from facecli.errors import InputError, UsageError
from facecli.io.images import read_image
from facecli.morphable.tddfa_head import TddfaHead
from facecli_synergynet import files

SUFFIX = "_fake_B.png"
REAL = "_real_A"
"""How the names of the published pictures of real faces end; their maps are called by what is before it."""


class UvMaps:
    """A UV map, or a folder with one a photograph.

    Raises:
        InputError: it isn't there.
        UsageError: the UV layout isn't.
    """

    def __init__(self, path: str, head: TddfaHead):
        self.path = Path(path)
        if not self.path.exists():
            raise InputError(path, "doesn't exist", "uv_map is a picture, or a folder of NAME_fake_B.png")
        if head.uv is None:
            raise UsageError(f"uv_map needs the UV layout, {files.BFM_UV.filename}: {how_to_get(files.BFM_UV)}")
        self._one = None if self.path.is_dir() else read_image(self.path)
        self._device = head.uv.device
        self.in_layout = False

    def textures(self, count: int) -> torch.Tensor | None:
        """[count, 3, H, W] 0..1 of faces; None where a layout takes maps by name.

        Raises:
            UsageError: it is a folder, and there is no layout.
        """
        if self._one is None:
            if self.in_layout:
                return None
            raise UsageError(f"uv_map={self.path} is a folder: --layout synergynet takes maps by the pictures' names")
        texture = torch.from_numpy(self._one).to(self._device).permute(2, 0, 1).float() / 255
        return texture.expand(count, -1, -1, -1)

    def of(self, stem: str) -> np.ndarray:
        """The map uint8 [H, W, 3] of the picture called `stem`.

        Raises:
            InputError: there is none, or it can't be read.
        """
        if self._one is not None:
            return self._one
        names = [f"{stem.removesuffix(REAL)}{SUFFIX}", f"{stem}{SUFFIX}"]
        for name in names:
            if (self.path / name).is_file():
                return read_image(self.path / name)
        raise InputError(self.path, f"has no {names[0]}", "uv_map is a folder of NAME_fake_B.png, or one picture")
