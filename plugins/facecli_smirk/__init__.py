"""SMIRK: expressive FLAME parameters of faces, by analysis through neural synthesis."""

from facecli.morphable import files as flame
from facecli.plugin import LayoutInfo, Option, Plugin
from facecli_smirk import files

plugin = Plugin(
    name="smirk",
    summary="FLAME head with expressive mouth and eyelids; fast, one small network",
    code_license="Apache-2.0",
    weights_license="none stated; trained on research-only data; FLAME: non-commercial",
    citation="Retsinas et al., 3D Facial Expressions through Analysis-by-Neural-Synthesis, CVPR 2024",
    homepage="https://github.com/georgeretsi/smirk",
    family="flame",
    reconstructor="facecli_smirk.reconstructor:SmirkReconstructor",
    options={
        "full_head": Option("draw eyes, ears, neck and scalp in `rendering`, too", bool),
        "mask_ratio": Option("share of the crop's pixels drawn on the face for the generator; 0.05 if not said", float),
        "seed": Option("of that draw; 0 if not said", int),
        "flame": Option("edition of FLAME; the network knows 2020's", choices=("2020", "2023", "2023-open")),
        "checkpoint": Option("path of other weights than SMIRK_em1.pt"),
    },
    pictures={
        "rendering": "the face in grey, 224 pixels wide as all of these",
        "generator": "the face as SMIRK's generator paints it",
        "masked": "what the generator sees of the photograph",
    },
    layouts={
        "smirk": LayoutInfo(
            "facecli_smirk.layout:SmirkLayout",
            "the strips of demo.py and demo_video.py",
            saves={
                "strip": "NAME.SUFFIX or NAME.mp4: input and rendering side by side",
                "generator": "a third panel in it, painted by the generator",
            },
            default=("strip",),
        )
    },
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
    optional_assets=(flame.TRIANGLE_MASKS, flame.FLAME_2023, flame.FLAME_2023_OPEN),
)
