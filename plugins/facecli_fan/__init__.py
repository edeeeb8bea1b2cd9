"""FAN: 68 landmarks, 2-D and 3-D, as the face-alignment package and as ibug's variant find them."""

from facecli.plugin import Plugin
from facecli_fan import files

plugin = Plugin(
    name="fan",
    summary="68 landmarks by heat maps: fan (2-D), fan3d, and ibug (sub-pixel, SMIRK's data were made with it)",
    code_license="Apache-2.0; the face-alignment package BSD-3-Clause",
    weights_license="MIT (ibug); none stated for FAN's, published with BSD-3-Clause code",
    citation="Bulat and Tzimiropoulos, How far are we from solving the 2D & 3D Face Alignment problem?, ICCV 2017",
    homepage="https://github.com/1adrianb/face-alignment",
    landmarkers={
        "fan": "facecli_fan.fan:Fan",
        "fan3d": "facecli_fan.fan:Fan3d",
        "ibug": "facecli_fan.ibug:Ibug",
    },
    assets=(files.SFD, files.FAN_2D),
    optional_assets=(
        files.FAN_3D,
        files.DEPTH,
        files.IBUG_2DFAN2_ALT,
        files.RETINAFACE,
        files.IBUG_2DFAN2,
        files.IBUG_2DFAN4,
        files.BLAZEFACE,
        files.BLAZEFACE_ANCHORS,
    ),
    packages=("face_alignment",),
)
