"""SMIRK: expressive FLAME parameters of faces, by analysis through neural synthesis."""

from facecli.morphable import files as flame
from facecli.plugin import Plugin
from facecli_smirk import files

plugin = Plugin(
    name="smirk",
    summary="FLAME head with expressive mouth and eyelids; fast, one small network",
    code_license="Apache-2.0",
    weights_license="none stated; trained on research-only data; FLAME: non-commercial",
    citation="Retsinas et al., 3D Facial Expressions through Analysis-by-Neural-Synthesis, CVPR 2024",
    homepage="https://github.com/georgeretsi/smirk",
    family="flame",
    assets=(
        files.SMIRK,
        flame.FLAME,
        flame.HEAD_TEMPLATE,
        flame.LANDMARK_EMBEDDING,
        flame.MEDIAPIPE_EMBEDDING,
        flame.LEFT_EYELID,
        flame.RIGHT_EYELID,
        flame.MASKS,
    ),
    optional_assets=(flame.TRIANGLE_MASKS,),
)
