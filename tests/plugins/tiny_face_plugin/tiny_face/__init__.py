"""The description: no torch and no cv2 here, `facecli models` must stay quick."""

from facecli.plugin import Plugin

plugin = Plugin(
    name="tiny",
    summary="an ellipsoid for every face: the example of docs/plugins.md",
    code_license="Apache-2.0",
    weights_license="none needed",
    family="tiny",
    reconstructor="tiny_face.model:TinyReconstructor",
)
