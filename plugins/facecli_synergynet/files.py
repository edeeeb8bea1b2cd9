"""SynergyNet's files: its checkpoint, in which the face model lies, too, and 3DDFA's. No torch here."""

from __future__ import annotations

from facecli.assets.catalogue import Asset
from facecli_tddfa_v2.files import BFM_LICENSE, BFM_UV

REPOSITORY = "https://github.com/choyingw/SynergyNet"
TDDFA_REPOSITORY = "https://github.com/cleardusk/3DDFA"
_TDDFA_RAW = f"{TDDFA_REPOSITORY}/raw/master"
_IN_CHECKPOINT = "the checkpoint holds the same"

CHECKPOINT = Asset(
    "synergynet",
    "best.pth.tar",
    license="none stated; holds Basel Face Model data: academic use",
    register=REPOSITORY,
    note="networks and face model; linked from the repository's page, a PyTorch checkpoint with nothing to unpack",
)
TRIANGLES = Asset(
    "tddfa_triangles",
    "tri.mat",
    url=f"{_TDDFA_RAW}/visualize/tri.mat",
    license="made from the Basel Face Model 2009, academic use",
    register=TDDFA_REPOSITORY,
    note="triangles of the 53215-vertex face",
)


def _train_config(name: str, filename: str, note: str) -> Asset:
    url = f"{_TDDFA_RAW}/train.configs/{filename}"
    return Asset(name, filename, url=url, license=BFM_LICENSE, register=TDDFA_REPOSITORY, note=note)


def _drive(name: str, filename: str, note: str) -> Asset:
    return Asset(name, filename, license=BFM_LICENSE, register=REPOSITORY, note=note)


FACE_MODEL = (
    _train_config("tddfa_mean_shape", "u_shp.npy", f"mean face; {_IN_CHECKPOINT}"),
    _train_config("tddfa_mean_expression", "u_exp.npy", f"mean expression; {_IN_CHECKPOINT}"),
    _train_config("tddfa_identity", "w_shp_sim.npy", f"identities; {_IN_CHECKPOINT}"),
    _train_config("tddfa_expression", "w_exp_sim.npy", f"expressions; {_IN_CHECKPOINT}"),
    _train_config("tddfa_landmarks", "keypoints_sim.npy", "68 landmarks; facecli knows the same"),
)
"""In ``3dmm_data/``: for checkpoints without a face model in them."""
WHITENING = _drive(
    "synergynet_whitening", "param_whitening.pkl", f"{_IN_CHECKPOINT}; 3DDFA's file of this name need not be the same"
)
UV = _drive("synergynet_uv", "BFM_UV.npy", "UV layout, in 3dmm_data/; BFM_UV.mat serves as well")
KEPT = _drive("synergynet_kept", "keptInd.npy", "vertices that uv_map shows, in 3dmm_data/")
CUT_TRIANGLES = _drive("synergynet_cut", "deletedTri.npy", "their triangles, in 3dmm_data/")

ASSETS = (CHECKPOINT, TRIANGLES)
OPTIONAL = (UV, BFM_UV, KEPT, CUT_TRIANGLES, WHITENING, *FACE_MODEL)
