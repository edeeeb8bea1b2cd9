"""The files of weights that FAN's landmarkers and their face detectors need. No torch here."""

from __future__ import annotations

from facecli.assets.catalogue import Asset

_BULAT = "https://www.adrianbulat.com/downloads/python-fan"
_BULAT_LICENSE = "none stated; published with BSD-3-Clause code (face-alignment)"
_IBUG_FAN = "https://github.com/hhj1897/face_alignment/raw/master/ibug/face_alignment/fan/weights"
_IBUG_DETECTION = "https://github.com/hhj1897/face_detection/raw/master/ibug/face_detection/retina_face/weights"
_BLAZEFACE = "https://github.com/hollance/BlazeFace-PyTorch/raw/master"


def _bulat(name: str, stem: str, digits: str, suffix: str, note: str) -> Asset:
    """His names carry the first ten digits of the SHA-256, as torch hub wants them."""
    filename = f"{stem}-{digits}{suffix}"
    return Asset(name, filename, url=f"{_BULAT}/{filename}", sha256=digits, license=_BULAT_LICENSE, note=note)


SFD = _bulat("sfd", "s3fd", "619a316812", ".pth", "S3FD, the face detector of fan and fan3d, 90 MB")
FAN_2D = _bulat("fan_2d", "2DFAN4", "11f355bf06", ".pth.tar", "network of fan")
FAN_3D = _bulat("fan_3d", "3DFAN4", "7835d9f11d", ".pth.tar", "network of fan3d")
DEPTH = _bulat("fan_depth", "depth", "2a464da4ea", ".pth.tar", "depth network of fan3d")


def _ibug(name: str, filename: str, folder: str, note: str) -> Asset:
    """Kept in git LFS, so a plain clone without LFS has placeholders only. Hashes unknown to us."""
    return Asset(name, filename, url=f"{folder}/{filename}", license="MIT", note=note)


IBUG_2DFAN2_ALT = _ibug("ibug_2dfan2_alt", "2dfan2_alt.pth", _IBUG_FAN, "network of ibug, SMIRK's choice")
IBUG_2DFAN2 = _ibug("ibug_2dfan2", "2dfan2.pth", _IBUG_FAN, "another network for ibug (its option model)")
IBUG_2DFAN4 = _ibug("ibug_2dfan4", "2dfan4.pth", _IBUG_FAN, "another network for ibug (its option model)")
RETINAFACE = _ibug(
    "retinaface_mobilenet", "Retinaface_mobilenet0.25.pth", _IBUG_DETECTION, "RetinaFace, the face detector of ibug"
)

BLAZEFACE = Asset(
    "blazeface",
    "blazeface.pth",
    url=f"{_BLAZEFACE}/blazeface.pth",
    license="Apache-2.0",
    note="small face detector, an option of fan and fan3d",
)
BLAZEFACE_ANCHORS = Asset(
    "blazeface_anchors",
    "anchors.npy",
    url=f"{_BLAZEFACE}/anchors.npy",
    license="Apache-2.0",
    note="belongs to blazeface.pth",
)
