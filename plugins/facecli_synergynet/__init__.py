"""SynergyNet: dense faces, 68 landmarks and head poses from one small network."""

from facecli.plugin import LayoutInfo, Option, Plugin
from facecli_synergynet import files

plugin = Plugin(
    name="synergynet",
    summary="a face of 53215 vertices, 68 landmarks and head pose from one small network",
    code_license="Apache-2.0",
    weights_license="none stated; with Basel Face Model data, academic use",
    citation="Wu et al., Synergy between 3DMM and 3D Landmarks for Accurate 3D Facial Geometry, 3DV 2021",
    homepage=files.REPOSITORY,
    family="3ddfa",
    expression_topology="bfm53215",
    reconstructor="facecli_synergynet.reconstructor:SynergyNetReconstructor",
    options={
        "crop_interpolation": Option(
            "how crops are scaled: as its scripts or as its Python package", choices=("linear", "lanczos")
        ),
        "border": Option("pixels of the crop's rim that are black: 5 as in its training and evaluation", int),
        "uv_map": Option("textures: a UV map, or a folder of them by the pictures' names, NAME_fake_B.png"),
        "checkpoint": Option("path of other weights than best.pth.tar"),
    },
    benchmark_options={"border": 5},
    pictures={
        "sparse": "68 landmarks",
        "shape": "the lit face over the photograph, as SynergyNet draws it",
        "solid": "the same, opaque",
        "pose": "SynergyNet's axes: x red, y green, z blue",
    },
    layouts={
        "synergynet": LayoutInfo(
            "facecli_synergynet.layout:SynergyNetLayout",
            "files of singleImage.py; with uv_map also artistic.py's and uv_texture_realFaces.py's",
            saves={
                "overlay": "rendering_overlay/NAME.jpg and NAME_solid.png: all faces lit, at 60 % and opaque",
                "landmarks": "landmarks/NAME.jpg: 68 points of all faces",
                "poses": "poses/NAME.jpg: all faces' axes",
                "obj": "obj/NAME.obj: in pixels; with uv_map in its colours",
                "textured": "rendering_overlay/NAME_textured.jpg: faces in the colours of uv_map",
            },
            default=("overlay", "landmarks", "poses"),
        )
    },
    assets=files.ASSETS,
    optional_assets=files.OPTIONAL,
)
