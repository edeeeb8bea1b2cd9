"""ICT-FaceKit's file: where it comes from. No torch here."""

from __future__ import annotations

from facecli.assets.catalogue import Asset

ICT_REPOSITORY = "https://github.com/USC-ICT/ICT-FaceKit"

# Address, size and hash are known to us from no first-hand source: what comes is checked by what it holds.
ICT_FACEKIT = Asset(
    "ict-facekit",
    "ict_facekit.npz",
    url=f"{ICT_REPOSITORY}/archive/refs/heads/master.zip",
    archive="ICT-FaceKit-master.zip",
    member="FaceXModel/generic_neutral_mesh.obj",
    license="MIT",
    register=ICT_REPOSITORY,
    note="the light face model of 160 OBJ files, 9.5 MB when made once",
)
