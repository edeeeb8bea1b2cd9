"""EMOCA: DECA with an encoder for expressions, trained to keep emotions."""

from facecli.morphable import files as flame
from facecli.plugin import Plugin
from facecli_deca import files as deca
from facecli_emoca import files

plugin = Plugin(
    name="emoca",
    summary="DECA's head with expressions that keep the emotion; versions 1 and 2",
    code_license="Apache-2.0",
    weights_license="EMOCA's and FLAME's: non-commercial research",
    citation="Daněček et al., EMOCA: Emotion Driven Monocular Face Capture and Animation, CVPR 2022",
    homepage="https://emoca.is.tue.mpg.de",
    family="flame",
    assets=(
        files.EMOCA_V2_LR_MSE,
        flame.FLAME,
        flame.HEAD_TEMPLATE,
        flame.LANDMARK_EMBEDDING,
        deca.FACE_EYE_MASK,
        deca.FIXED_DISPLACEMENT,
        deca.DENSE_TEMPLATE,
    ),
    optional_assets=(
        flame.MEDIAPIPE_EMBEDDING,
        files.EMOCA_V2_LR_COS,
        files.EMOCA_V2_MP,
        files.EMOCA_V1,
        files.EMOCA_DECA,
    ),
)
