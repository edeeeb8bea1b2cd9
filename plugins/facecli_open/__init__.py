"""The open model: ICT-FaceKit's head from MediaPipe's landmarks, for anybody and anything."""

from facecli.plugin import Option, Plugin, TrainingInfo
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
        "refine": Option("fit shape and expression to the landmarks; without it they stay a guess", bool),
        "fov": Option("vertical field of view of the photographs in degrees, if you know it", float),
        "rig": Option("expressions as blend shapes in mesh.glb, which makes it some MB larger; yes if not said", bool),
        "checkpoint": Option("path of other weights for the network, as `facecli train open` writes them"),
    },
    trainings={
        "open": TrainingInfo(
            "facecli_open.training.run:train",
            "facecli_open.training.settings:Settings",
            "the open model's network, from rendered heads",
        )
    },
    assets=(files.ICT_FACEKIT,),
    packages=("mediapipe",),
)
