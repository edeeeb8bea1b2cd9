"""MediaPipe Face Mesh: the embedded default, at work without any licensed file."""

from facecli.assets.catalogue import FACE_LANDMARKER_TASK
from facecli.plugin import Plugin

plugin = Plugin(
    name="mediapipe",
    summary="468-point face surface, photo texture and head pose; no licensed file, any machine",
    code_license="Apache-2.0",
    weights_license="Apache-2.0",
    citation="Kartynnik et al., Real-time Facial Surface Geometry from Monocular Video on Mobile GPUs, 2019",
    homepage="https://ai.google.dev/edge/mediapipe",
    family="mediapipe",
    reconstructor="facecli_mediapipe.reconstructor:MediaPipeReconstructor",
    landmarkers={
        "mediapipe": "facecli_mediapipe.landmarker:MediaPipeLandmarker",
        "mediapipe-tasks": "facecli_mediapipe.landmarker:MediaPipeTasksLandmarker",
    },
    optional_assets=(FACE_LANDMARKER_TASK,),
    packages=("mediapipe",),
)
