"""The files of the Basel Face Model as Deep3D uses it, and what it is made of. No torch here."""

from __future__ import annotations

from facecli.assets.catalogue import Asset

DEEP3D_REPOSITORY = "https://github.com/sicxu/Deep3DFaceRecon_pytorch"
BFM_SITE = "https://faces.dmi.unibas.ch/bfm"
BFM_LICENSE = "BFM's: non-commercial research, registration"
_INDEX_FILES = "https://raw.githubusercontent.com/sicxu/Deep3DFaceRecon_pytorch/master/BFM"
_MAKE = "facecli.morphable.bfm_convert:make_bfm_front"


def _index_file(name: str, filename: str, note: str) -> Asset:
    """A file of the BFM folder in Deep3D's repository."""
    page = f"{DEEP3D_REPOSITORY}/tree/master/BFM"
    return Asset(name, filename, url=f"{_INDEX_FILES}/{filename}", license="MIT", register=page, note=note)


BFM09 = Asset(
    "bfm09",
    "01_MorphableModel.mat",
    license=BFM_LICENSE,
    register=BFM_SITE,
    note="the Basel Face Model of 2009, whole head, 240 MB; those of 2017 and 2019 (.h5) are other models",
)
EXPRESSIONS = Asset(
    "bfm_expressions",
    "Exp_Pca.bin",
    size=51_086_404,
    license="none stated; research",
    register="https://github.com/Juyong/3DFace",
    note="79 expressions for BFM 2009 (Guo et al., CoarseData), by the link to Google Drive on that page",
)
EXPRESSION_SPREAD = _index_file("bfm_expression_spread", "std_exp.txt", "standard deviations of the 79 expressions")
EXPRESSION_VERTICES = _index_file("bfm_expression_vertices", "BFM_exp_idx.mat", "the vertices that expressions move")
FRONT_VERTICES = _index_file("bfm_front_vertices", "BFM_front_idx.mat", "the face's vertices among these")
FRONT_INFO = _index_file("bfm_front_info", "facemodel_info.mat", "the face's triangles, landmarks and regions")
BFM_PARTS = (BFM09, EXPRESSIONS, EXPRESSION_SPREAD, EXPRESSION_VERTICES, FRONT_VERTICES, FRONT_INFO)
"""What `BFM_model_front.mat` is made of."""

BFM_FRONT = Asset(
    "bfm",
    "BFM_model_front.mat",
    license=BFM_LICENSE,
    register=BFM_SITE,
    note="BFM 2009's face with expressions; made once by `facecli assets convert bfm 01_MorphableModel.mat "
    "Exp_Pca.bin`; one made by Deep3D's own program, or taken from SadTalker's and others', works too",
    make=_MAKE,
    parts=BFM_PARTS,
)
