"""3DDFA_V2's files, all but one of which are in its repository. No torch here."""

from __future__ import annotations

from facecli.assets.catalogue import Asset

REPOSITORY = "https://github.com/cleardusk/3DDFA_V2"
_RAW = f"{REPOSITORY}/raw/master"
BFM_LICENSE = "Basel Face Model 2009: academic use, registration"
_DERIVED = "made from the Basel Face Model 2009, academic use"


def _weights(name: str, filename: str, note: str, **more) -> Asset:
    return Asset(name, filename, f"{_RAW}/weights/{filename}", license="MIT", register=REPOSITORY, note=note, **more)


def _config(name: str, filename: str, license: str, note: str, **more) -> Asset:
    url = f"{_RAW}/configs/{filename}"
    return Asset(name, filename, url, license=license, register=REPOSITORY, note=note, **more)


MB1 = _weights("tddfa_v2_mb1", "mb1_120x120.pth", "3DDFA_V2's network, MobileNetV1, 13 MB: its programs' default")
MB05 = _weights(
    "tddfa_v2_mb05",
    "mb05_120x120.pth",
    "the same at half the width: as good at poses, less so at shapes",
    size=3_752_462,
    sha256="f93ed7f1c4c0382b16d7c18480a5f67473c1917a47475a9823924f38aeb27280",
)
RESNET22 = Asset(
    "tddfa_v2_resnet22",
    "resnet22.pth",
    license="MIT",
    register=REPOSITORY,
    note="its largest network; linked from the repository's pages",
)
WHITENING = _config(
    "tddfa_v2_whitening",
    "param_mean_std_62d_120x120.pkl",
    "MIT",
    "mean and deviation of the network's numbers",
    size=713,
    sha256="090d7150f77cb66c29ddae21e4508fbde59123dcd1dea7facc24a7ed06d1c795",
)
BFM = _config(
    "tddfa_v2_bfm",
    "bfm_noneck_v3.pkl",
    BFM_LICENSE,
    "the face model; head poses do without it",
    alternatives=("bfm_noneck_v3_slim.pkl",),
)
TRIANGLES = _config("tddfa_v2_triangles", "tri.pkl", _DERIVED, "the face model's triangles, rebuilt")
BFM_UV = _config("bfm_uv", "BFM_UV.mat", _DERIVED, "UV layout of the 53215 vertices of SynergyNet's and 3DDFA's mesh")
INDICES = _config("tddfa_v2_indices", "indices.npy", _DERIVED, "which of those 53215 are 3DDFA_V2's vertices")
NCC_CODE = _config("tddfa_v2_ncc", "ncc_code.npy", _DERIVED, "colours of the PNCC picture")

NETWORKS = {"mobilenet": MB1, "mobilenet_05": MB05, "resnet22": RESNET22}
"""Option `network` -> the file."""
