"""DECA's files beyond FLAME's. No torch here."""

from __future__ import annotations

from facecli.assets.catalogue import Asset
from facecli.morphable.files import DECA_LICENSE, deca_data

_DRIVE_ID = "1rp8kdyLPvErw2dTmqtjISRVvQLj6Yzje"

DECA = Asset(
    "deca",
    "deca_model.tar",
    url=f"https://drive.google.com/uc?id={_DRIVE_ID}&export=download&confirm=t",
    license=DECA_LICENSE,
    register=f"https://drive.google.com/file/d/{_DRIVE_ID}",
    note="encoders and detail decoder, 430 MB; a PyTorch checkpoint, nothing to unpack",
)
FACE_EYE_MASK = deca_data("deca_face_mask", "uv_face_eye_mask.png", "the face's part of the UV layout")
FIXED_DISPLACEMENT = deca_data(
    "deca_fixed_displacement", "fixed_displacement_256.npy", "displacement that all detailed faces share"
)
DENSE_TEMPLATE = deca_data("deca_dense_template", "texture_data_256.npy", "triangles of the detailed mesh")
