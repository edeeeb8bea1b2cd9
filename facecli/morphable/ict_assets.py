"""ICT-FaceKit's file: where it comes from. No torch here."""

from __future__ import annotations

from facecli.assets.catalogue import Asset

ICT_REPOSITORY = "https://github.com/USC-ICT/ICT-FaceKit"
FOLDER, NEUTRAL = "FaceXModel", "generic_neutral_mesh.obj"
"""Of the repository: the folder of the OBJ files, and the one by which it is known."""

# Address, size and hash are known to us from no first-hand source: what comes is checked by what it holds.
ICT_FACEKIT = Asset(
    "ict-facekit",
    "ict_facekit.npz",
    url=f"{ICT_REPOSITORY}/archive/refs/heads/master.zip",
    archive="ICT-FaceKit-master.zip",
    member=f"{FOLDER}/{NEUTRAL}",
    extract="facecli.morphable.ict_convert:convert_ict",
    license="MIT",
    register=ICT_REPOSITORY,
    note="the light face model, made once of the repository's OBJ files (a download of some 100 MB, of which 9.5 stay)",
)
