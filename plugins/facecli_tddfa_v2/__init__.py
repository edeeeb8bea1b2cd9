"""3DDFA_V2: quick head poses, dense faces and 68 landmarks."""

from facecli.plugin import LayoutInfo, Option, Plugin
from facecli_tddfa_v2 import files

plugin = Plugin(
    name="3ddfa_v2",
    summary="head pose, 68 landmarks and a face of 38365 vertices, quickly on a CPU; pose alone needs free files only",
    code_license="Apache-2.0",
    weights_license="MIT; the face model: Basel Face Model's, academic use",
    citation="Guo et al., Towards Fast, Accurate and Stable 3D Dense Face Alignment, ECCV 2020",
    homepage=files.REPOSITORY,
    family="3ddfa_v2",
    expression_topology="bfm53215",
    reconstructor="facecli_tddfa_v2.reconstructor:TddfaV2Reconstructor",
    options={
        "network": Option("which one; auto: the first whose file is there", choices=("auto", *files.NETWORKS)),
        "geometry": Option(
            "meshes; no: head poses alone; auto: as far as the face model is there", choices=("auto", "yes", "no")
        ),
        "renderer": Option("which of 3DDFA_V2's two draws lit faces", choices=("sim3dr", "quick")),
        "checkpoint": Option("path of other weights, in the official files' format"),
        "whitening": Option("path of another whitening, for weights of your own"),
    },
    pictures={
        "sparse": "68 landmarks",
        "dense": "all vertices as dots",
        "shape": "the lit face over the photograph, as 3DDFA_V2 draws it",
        "nearness": "white at the face's nearest point, black at its farthest, over the photograph",
        "pncc": "projected normalised coordinate code: the mean face's coordinates as colours (needs ncc_code.npy)",
        "pose": "the head's axes and 3DDFA_V2's box",
        "uv_tex": "the photograph's colours in the UV layout (needs BFM_UV.mat and indices.npy)",
    },
    layouts={
        "3ddfa_v2": LayoutInfo(
            "facecli_tddfa_v2.layout:TddfaV2Layout",
            "files of demo.py (of videos, demo_video.py's)",
            saves={
                "2d_sparse": "NAME_2d_sparse.jpg: 68 landmarks of all faces",
                "2d_dense": "NAME_2d_dense.jpg: all vertices as dots",
                "3d": "NAME_3d.jpg: lit faces over the photograph",
                "depth": "NAME_depth.jpg: 255 is nearest",
                "pncc": "NAME_pncc.jpg: coordinate codes",
                "pose": "NAME_pose.jpg: boxes that turn with the heads",
                "uv_tex": "NAME_uv_tex.jpg: textures side by side",
                "ply": "NAME_ply.ply: all faces, pixels",
                "obj": "NAME_obj.obj: all faces with colours, pixels",
            },
            default=("2d_sparse",),
        )
    },
    assets=(files.MB1, files.WHITENING, files.BFM, files.TRIANGLES),
    optional_assets=(files.MB05, files.RESNET22, files.BFM_UV, files.INDICES, files.NCC_CODE),
)
