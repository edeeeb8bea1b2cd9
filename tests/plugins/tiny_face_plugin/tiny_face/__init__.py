"""The description: no torch and no cv2 here, `facecli models` must stay quick."""

from facecli.plugin import LayoutInfo, Option, Plugin

plugin = Plugin(
    name="tiny",
    summary="an ellipsoid for every face: the example of docs/plugins.md",
    code_license="Apache-2.0",
    weights_license="none needed",
    family="tiny",
    reconstructor="tiny_face.model:TinyReconstructor",
    options={
        "margin": Option("side of the crop in units of the box's longer side", float),
        "depth": Option("how deep the ellipsoid is", choices=("round", "flat")),
    },
    pictures={
        "outline": "the ellipsoid in the skin's colour on black",
        "beside": "what the model saw beside what it made of it",
    },
    layouts={
        "tiny": LayoutInfo(
            "tiny_face.layout:TinyLayout",
            "the files of an imagined tiny_demo.py",
            saves={"picture": "NAME_tiny.png, of a video NAME_tiny.mp4", "points": "NAME/NAME_points.txt"},
            default=("picture",),
        )
    },
)
