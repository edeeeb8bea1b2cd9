"""The open model: ICT-FaceKit's head from MediaPipe's landmarks, for anybody and anything."""

from facecli.plugin import Plugin
from facecli_open import files

plugin = Plugin(
    name="open",
    summary="ICT-FaceKit's whole head with ARKit expressions, free for any use",
    code_license="Apache-2.0",
    weights_license="MIT",
    citation="Li et al., Learning Formation of Physically-Based Face Attributes, CVPR 2020 (the face model)",
    homepage="https://github.com/USC-ICT/ICT-FaceKit",
    family="ict",
    assets=(files.ICT_FACEKIT,),
)
