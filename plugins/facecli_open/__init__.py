"""The open model: ICT-FaceKit's head from MediaPipe's landmarks, for anybody and anything."""

from facecli.plugin import Option, Plugin
from facecli_open import files

plugin = Plugin(
    name="open",
    summary="ICT-FaceKit's whole head with ARKit expressions, free for any use",
    code_license="Apache-2.0",
    weights_license="MIT",
    citation="Li et al., Learning Formation of Physically-Based Face Attributes, CVPR 2020 (the face model)",
    homepage="https://github.com/USC-ICT/ICT-FaceKit",
    family="ict",
    reconstructor="facecli_open.reconstructor:OpenReconstructor",
    options={
        "refine": Option("fit shape and expression to the landmarks; without it they stay the network's guess", bool),
        "fov": Option("vertical field of view of the photographs in degrees, if you know it", float),
        "rig": Option("expressions as blend shapes in mesh.glb, which makes it 9 MB larger; yes if not said", bool),
    },
    assets=(files.ICT_FACEKIT,),
    packages=("mediapipe",),
)
