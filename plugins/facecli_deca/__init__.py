"""DECA: FLAME with animatable wrinkles, light and albedo."""

from facecli.morphable import files as flame
from facecli.plugin import LayoutInfo, Option, Plugin
from facecli_deca import files

plugin = Plugin(
    name="deca",
    summary="FLAME head with wrinkles that follow the expression, light, and albedo",
    code_license="Apache-2.0",
    weights_license="DECA's and FLAME's: non-commercial research",
    citation="Feng et al., Learning an Animatable Detailed 3D Face Model from In-the-Wild Images, SIGGRAPH 2021",
    homepage="https://deca.is.tue.mpg.de",
    family="flame",
    reconstructor="facecli_deca.reconstructor:DecaReconstructor",
    options={
        "detail": Option("wrinkles; without them a face takes half the time", bool),
        "use_tex": Option("albedo model (its file is needed)", choices=("off", "bfm", "flame")),
        "extract_tex": Option("textures from the photograph; no: from the albedo model", bool),
        "rasterizer_type": Option(
            "whose rules pictures follow, DECA's own or pytorch3d's", choices=("standard", "pytorch3d")
        ),
        "keypoints": Option("landmarks from STEM.mat or STEM.txt beside a photograph", bool),
        "turned_whole": Option("with --no-crop, pictures that aren't square as DECA takes them: turned", bool),
        "jaw_type": Option("what the network's jaw is, for weights of your own", choices=("aa", "euler")),
        "flame": Option("edition of FLAME; the network knows 2020's", choices=("2020", "2023", "2023-open")),
        "checkpoint": Option("path of other weights than deca_model.tar"),
    },
    benchmark_options={"detail": False},
    pictures={
        "shape": "the head in grey",
        "shape_detail": "the head in grey, with its wrinkles",
        "rendered": "the head with albedo (or grey), wrinkles and the photograph's light",
        "albedo": "the head's albedo, without light (needs use_tex)",
        "landmarks2d": "68 landmarks on the photograph, the contour as it is seen",
        "landmarks3d": "68 landmarks of the mesh, hidden ones in red",
        "relative_depth": "white at the head's nearest point, black at its farthest",
        "uv_texture": "DECA's texture, 256 pixels, of the crop",
        "detail_normals": "the wrinkled surface's normals in the UV layout",
    },
    layouts={
        "deca": LayoutInfo(
            "facecli_deca.layout:DecaLayout",
            "files of demo_reconstruct.py",
            saves={
                "vis": "NAME_vis.jpg: a row of pictures",
                "kpt": "NAME_kpt2d.txt, NAME_kpt3d.txt: 68 landmarks, -1 to 1 in the crop",
                "depth": "NAME_depth.jpg: 255 is nearest",
                "obj": "NAME.obj with its texture and normals, NAME_detail.obj: metres, posed",
                "mat": "NAME.mat: all that the decoder gives",
                "images": "each picture by itself",
                "kpt_photo": "NAME_kpt2d_photo.txt, NAME_kpt3d_photo.txt: landmarks in the photograph's pixels",
                "codes": "NAME_codes.npz: the codes, which DECA's program doesn't save",
            },
            default=("vis",),
        )
    },
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
