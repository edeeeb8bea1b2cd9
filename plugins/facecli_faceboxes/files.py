"""The file that FaceBoxes needs. No torch here."""

from facecli.assets.catalogue import Asset

WEIGHTS = Asset(
    name="faceboxes",
    filename="FaceBoxesProd.pth",
    url="https://github.com/cleardusk/3DDFA_V2/raw/master/FaceBoxes/weights/FaceBoxesProd.pth",
    size=4_072_492,
    sha256="c0cb2b1e40710c0aa5fc32a8759b1496a0fe0a126c907ca0ffe35b4bd0709d09",
    license="MIT",
    note="trained on WIDER FACE, whose photographs are for research; SynergyNet's repository has the same file",
)
