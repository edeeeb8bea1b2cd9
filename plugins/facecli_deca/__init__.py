"""DECA: FLAME with animatable wrinkles, light and albedo."""

from facecli.morphable import files as flame
from facecli.plugin import Plugin
from facecli_deca import files

plugin = Plugin(
    name="deca",
    summary="FLAME head with wrinkles that follow the expression, light, and albedo",
    code_license="Apache-2.0",
    weights_license="DECA's and FLAME's: non-commercial research",
    citation="Feng et al., Learning an Animatable Detailed 3D Face Model from In-the-Wild Images, SIGGRAPH 2021",
    homepage="https://deca.is.tue.mpg.de",
    family="flame",
    assets=(
        files.DECA,
        flame.FLAME,
        flame.HEAD_TEMPLATE,
        flame.LANDMARK_EMBEDDING,
        files.FACE_EYE_MASK,
        files.FIXED_DISPLACEMENT,
        files.DENSE_TEMPLATE,
    ),
    optional_assets=(flame.BFM_ALBEDO, flame.FLAME_TEXTURE),
)
