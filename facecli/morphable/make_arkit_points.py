"""Makes ``arkit_points.npz``: how ICT-FaceKit's expressions move the points that other models have, too.

    python -m facecli.morphable.make_arkit_points ict_facekit.npz -o facecli/morphable/arkit_points.npz

For each landmark set its points on the mean head (millimetres) and their 57 directions. Only developers run this; the
numbers are ICT-FaceKit's (MIT licence, see NOTICE).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from facecli.io.arrays import write_npz
from facecli.morphable.ict import IctModel
from facecli.morphable.ict_files import read_ict
from facecli.morphable.ict_points import points478


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ict", type=Path, help="ict_facekit.npz")
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    model = IctModel(read_ict(arguments.ict), str(arguments.ict))
    write_npz(arguments.output, arrays_of(model))


def arrays_of(model: IctModel) -> dict[str, np.ndarray]:
    """What the file holds."""
    arrays = {"names": np.array(model.expression_names)}
    for name, place in POINTS.items():
        arrays[f"{name}/rest"] = place(model, model.arrays.mean[None])[0].astype(np.float32)
        arrays[f"{name}/directions"] = place(model, model.arrays.expression).astype(np.float16)
    return arrays


POINTS = {
    "ibug68": lambda model, vertices: model.landmarks(vertices),
    "mediapipe468": lambda model, vertices: points478(model, vertices)[:, :468],
}
"""Of vertices, or of their directions, [B, V, 3]; the irises aren't moved by shapes."""


if __name__ == "__main__":
    main()
