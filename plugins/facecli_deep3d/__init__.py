"""Deep3DFaceRecon: the Basel Face Model with albedo, light and a perspective camera."""

from facecli.morphable import bfm_assets as bfm
from facecli.plugin import LayoutInfo, Option, Plugin
from facecli_deep3d import files

plugin = Plugin(
    name="deep3d",
    summary="Basel Face Model's face with its colour and light, through a perspective camera",
    code_license="Apache-2.0",
    weights_license="none stated; the Basel Face Model's: non-commercial research",
    citation="Deng et al., Accurate 3D Face Reconstruction with Weakly-Supervised Learning, CVPRW 2019",
    homepage="https://github.com/sicxu/Deep3DFaceRecon_pytorch",
    family="deep3d",
    expression_topology="bfm53215",
    reconstructor="facecli_deep3d.reconstructor:Deep3DReconstructor",
    options={
        "detections": Option("five points from detections/STEM.txt beside a photograph, where there is one", bool),
        "head": Option(
            "Deep3D's mesh, or the whole head that it is part of (01_MorphableModel.mat and others are needed)",
            choices=("face", "full"),
        ),
        "rig": Option("expressions as blend shapes in mesh.glb, which makes it 30 MB larger", bool),
        "checkpoint": Option("path of other weights than epoch_20.pth"),
    },
    pictures={
        "rendered": "the face with its colour and the light that was found",
        "albedo": "the face's colour without light",
        "pasted": "the crop with the rendered face on it",
        "landmarks2d": "68 landmarks in red on the crop with the face, the five given ones in blue",
        "strip": "the row that Deep3D's program writes: crop, pasted, landmarks",
    },
    layouts={
        "deep3d": LayoutInfo(
            "facecli_deep3d.layout:Deep3DLayout",
            "files of test.py, below epoch_20_000000",
            saves={
                "png": "NAME.png: crop, rendering on it, landmarks",
                "obj": "NAME.obj: the posed mesh in decimetres, with colours as the light shows them",
                "mat": "NAME.mat: the 257 coefficients, and 68 landmarks in the crop",
                "crop": "NAME_crop.json: how the crop lies in the photograph, which Deep3D's program doesn't save",
            },
            default=("png", "obj", "mat"),
        )
    },
    assets=(files.DEEP3D, bfm.BFM_FRONT),
    optional_assets=bfm.BFM_PARTS,
)
