"""Deep3D's weights. No torch here; the face model's files are :mod:`facecli.morphable.bfm_assets`."""

from __future__ import annotations

from facecli.assets.catalogue import Asset
from facecli.morphable.bfm_assets import DEEP3D_REPOSITORY

DEEP3D = Asset(
    "deep3d",
    "epoch_20.pth",
    license="none stated",
    register=DEEP3D_REPOSITORY,
    note="the regressor, 290 MB with its training state, by the links to Google Drive on that page; there are two, the "
    "paper's and facerecon_20230425, which sees shut eyes better; both work",
)
