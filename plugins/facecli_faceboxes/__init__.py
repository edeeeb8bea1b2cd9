"""FaceBoxes: a small, quick face detector, the one that SynergyNet and 3DDFA_V2 come with."""

from facecli.plugin import Plugin
from facecli_faceboxes import files

plugin = Plugin(
    name="faceboxes",
    summary="faces' boxes, quickly on a CPU: SynergyNet's and 3DDFA_V2's detector, for any model by --detector",
    code_license="Apache-2.0",
    weights_license="MIT",
    citation="Zhang et al., FaceBoxes: A CPU Real-time Face Detector with High Accuracy, IJCB 2017",
    homepage="https://github.com/zisianw/FaceBoxes.PyTorch",
    detectors={"faceboxes": "facecli_faceboxes.detector:FaceBoxesDetector"},
    assets=(files.WEIGHTS,),
)
