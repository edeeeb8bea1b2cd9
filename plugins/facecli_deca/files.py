"""DECA's files beyond FLAME's. No torch here."""

from __future__ import annotations

from facecli.assets.catalogue import Asset
from facecli.morphable.files import DECA_REPOSITORY

_LICENSE = "DECA's: non-commercial research, no redistribution"

DECA = Asset(
    "deca",
    "deca_model.tar",
    license=_LICENSE,
    register="https://drive.google.com/file/d/1rp8kdyLPvErw2dTmqtjISRVvQLj6Yzje",
    note="encoders and detail decoder, 430 MB",
)
FACE_EYE_MASK = Asset(
    "deca_face_mask",
    "uv_face_eye_mask.png",
    license=_LICENSE,
    register=DECA_REPOSITORY,
    note="the face's part of the UV layout",
)
FIXED_DISPLACEMENT = Asset(
    "deca_fixed_displacement",
    "fixed_displacement_256.npy",
    license=_LICENSE,
    register=DECA_REPOSITORY,
    note="displacement that all detailed faces share",
)
DENSE_TEMPLATE = Asset(
    "deca_dense_template",
    "texture_data_256.npy",
    license=_LICENSE,
    register=DECA_REPOSITORY,
    note="triangles of the detailed mesh",
)
