"""UV maps that somebody's network made for faces (SynergyNet's `artistic.py` and `uv_texture_realFaces.py` show the
published ones): the textures of option ``uv_map``."""

from __future__ import annotations

import functools
import re
from pathlib import Path, PurePath

import numpy as np
import torch

from facecli.assets.store import how_to_get
from facecli.errors import InputError, MissingAssetError
from facecli.io.images import read_image
from facecli.morphable.tddfa_head import TddfaHead
from facecli_synergynet import files

SUFFIX = "_fake_B.png"
REAL = "_real_A"
"""How the names of the published pictures of real faces end; their maps are called by what is before it."""
_WHAT = "uv_map is a picture, or a folder of NAME_fake_B.png"
_RESULT = re.compile(r"face\d+")
"""The folder of a face in facecli's own results."""


class UvMaps:
    """A UV map, or a folder with one a photograph.

    Raises:
        InputError: it isn't there, or is no picture.
        MissingAssetError: the UV layout isn't.
    """

    def __init__(self, path: str, head: TddfaHead):
        self.path = Path(path)
        if not self.path.exists():
            raise InputError(path, "doesn't exist", _WHAT)
        if head.uv is None:
            raise MissingAssetError(f"uv_map needs {files.BFM_UV.filename}: {how_to_get(files.BFM_UV)}")
        self._one = None if self.path.is_dir() else read_image(self.path)
        self._device = head.uv.device

    def texture_of(self, source: str) -> torch.Tensor:
        """[3, H, W] 0..1, the map of the input `source`: a picture, a video, or codes in a folder of results.

        Raises:
            InputError: there is none, or it can't be read.
        """
        texture = torch.from_numpy(self.of(_name(PurePath(source)))).to(self._device)
        return texture.permute(2, 0, 1).float() / 255

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
                return _read(self.path / name)
        raise InputError(self.path, f"has no {names[0]}", _WHAT)


@functools.lru_cache(maxsize=4)  # a video asks for its own again with each frame
def _read(path: Path) -> np.ndarray:
    return read_image(path)


def _name(source: PurePath) -> str:
    """What the picture is called that `source` is, or holds the codes of (``NAME/face0/codes.npz``)."""
    folders = source.parts[:-1]
    if source.suffix == ".npz" and len(folders) > 1 and _RESULT.fullmatch(folders[-1]):
        return folders[-2]
    return source.stem
