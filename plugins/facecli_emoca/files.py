"""EMOCA's models, each a folder of settings and checkpoints. No torch here."""

from __future__ import annotations

from facecli.assets.catalogue import Asset

EMOCA_SITE = "https://emoca.is.tue.mpg.de"
_MODELS = "https://download.is.tue.mpg.de/emoca/assets/EMOCA/models"
_LICENSE = "EMOCA's: non-commercial research, no redistribution, registration"


def _model(name: str, folder: str, note: str) -> Asset:
    """A model by the name of its folder. Its archive is not behind a log-in, but only for those who registered."""
    archive = f"{folder}.zip"
    return Asset(
        name, folder, url=f"{_MODELS}/{archive}", archive=archive, license=_LICENSE, register=EMOCA_SITE, note=note,
        contains=("cfg.yaml", "**/*.ckpt"), convert="facecli_emoca.convert:convert_model",
        converted=f"{folder}_networks",
    )  # fmt: skip


EMOCA_V1 = _model("emoca_v1", "EMOCA", "version 1: relative landmark and emotion losses")
EMOCA_V2_MP = _model("emoca_v2_mp", "EMOCA_v2_mp", "version 2: MediaPipe's landmarks, without lip reading")
EMOCA_V2_LR_COS = _model(
    "emoca_v2_lr_cos_1.5", "EMOCA_v2_lr_cos_1.5", "version 2 with a lip-reading loss (cosine): can exaggerate lips"
)
EMOCA_V2_LR_MSE = _model(
    "emoca_v2_lr_mse_20", "EMOCA_v2_lr_mse_20", "version 2 with a lip-reading loss (squares): the default"
)
EMOCA_DECA = _model("emoca_deca", "DECA", "DECA, trained anew by EMOCA's authors")

DEFAULT_MODEL = EMOCA_V2_LR_MSE.filename
MODELS = {asset.filename: asset for asset in (EMOCA_V1, EMOCA_V2_MP, EMOCA_V2_LR_COS, EMOCA_V2_LR_MSE, EMOCA_DECA)}
"""By the official names, which are the folders'."""
