"""EMOCA: DECA with an encoder for expressions, trained to keep emotions."""

from facecli.morphable import files as flame
from facecli.plugin import LayoutInfo, Option, Plugin
from facecli_deca import files as deca
from facecli_emoca import files

_YES_NO_PANELS = {
    "include_original": "the video shows the frame itself, faces in green squares",
    "include_rec": "the video shows the frame with the faces on it",
    "include_transparent": "the video shows it with the faces a little transparent",
    "black_background": "black behind the faces in the video instead of the frame",
    "use_mask": "the video shows the heads alone, else their whole crops",
}

plugin = Plugin(
    name="emoca",
    summary="DECA's head with expressions that keep the emotion; versions 1 and 2",
    code_license="Apache-2.0",
    weights_license="EMOCA's and FLAME's: non-commercial research",
    citation="Daněček et al., EMOCA: Emotion Driven Monocular Face Capture and Animation, CVPR 2022",
    homepage="https://emoca.is.tue.mpg.de",
    family="flame",
    reconstructor="facecli_emoca.reconstructor:EmocaReconstructor",
    options={
        "variant": Option(
            f"{', '.join(files.MODELS)}, another folder's name, or a folder; {files.DEFAULT_MODEL} if not said"
        ),
        "checkpoint": Option("of several in the folder: best (if not said), latest, a number from 0, or a file"),
        "mode": Option("detail (if not said), or coarse: no wrinkles, a third less work", choices=("detail", "coarse")),
        "crop_interpolation": Option(
            "bilinear (if not said), or bicubic and bytes, as the official program's videos have it",
            choices=("bilinear", "bicubic"),
        ),
        "background": Option(
            "of the shaded pictures: input (the crop), black, or none (the whole head); the model's own if not said",
            choices=("input", "black", "none"),
        ),
        "keypoints": Option("landmarks from NAME.mat or NAME.txt beside a photograph, where there is one", bool),
        "flame": Option("edition of FLAME; the networks were trained with 2020", choices=("2020", "2023", "2023-open")),
        "image_type": Option(
            "picture of the layout's video; geometry_detail if not said",
            choices=("geometry_detail", "geometry_coarse", "out_im_detail", "out_im_coarse"),
        ),
        "cat_dim": Option("panels of the layout's video: 0 one below the other, 1 side by side", int, ("0", "1")),
        **{name: Option(help, bool) for name, help in _YES_NO_PANELS.items()},
    },
    benchmark_options={"mode": "coarse"},
    pictures={
        "inputs": "the crop, 224 pixels wide as all of these",
        "geometry_coarse": "the head in grey",
        "geometry_detail": "the head in grey, with wrinkles",
        "out_im_coarse": "the face in its light, over the crop",
        "out_im_detail": "the face in its light, with wrinkles, over the crop",
    },
    layouts={
        "emoca": LayoutInfo(
            "facecli_emoca.layout:EmocaLayout",
            "MODEL/NAME00/ with the files of EMOCA's demos, video_geometry_detail.mp4",
            saves={
                "images": "the pictures, PNG",
                "mesh": "mesh_coarse.obj with its material and pictures, mesh_coarse_detail.obj",
                "codes": "shape, exp, tex, pose and detail as .npy",
            },
            default=("images",),
        )
    },
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
