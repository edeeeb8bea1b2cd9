"""A `face_landmarker.task` made of the models inside mediapipe 0.10.21's wheel.

The published bundle can't be had offline. This one holds the legacy detector and the legacy 468-point network, with 30
zeros joined to its output where the newer network has irises: enough to run the Tasks API for real.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np

IRIS_NUMBERS = 30
CONCATENATION = 2  # tflite BuiltinOperator


def bundle_bytes() -> bytes:
    """The bundle, as a .task file holds it: a zip without compression."""
    import mediapipe

    models = Path(mediapipe.__file__).parent / "modules"
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as bundle:
        bundle.write(models / "face_detection/face_detection_short_range.tflite", "face_detector.tflite")
        bundle.writestr(
            "face_landmarks_detector.tflite", _with_478_points(models / "face_landmark/face_landmark.tflite")
        )
    return content.getvalue()


def _with_478_points(path: Path) -> bytes:
    """The legacy network with outputs (landmarks [1, 1, 1, 1434], presence), as the Tasks graph expects them."""
    import flatbuffers
    from mediapipe.tasks.metadata import schema_py_generated as tflite

    model = tflite.ModelT.InitFromObj(tflite.Model.GetRootAsModel(bytearray(path.read_bytes()), 0))
    graph = model.subgraphs[0]
    sizes = {int(np.prod(graph.tensors[index].shape)): index for index in graph.outputs}
    mesh, presence = sizes[3 * 468], sizes[1]

    zeros = tflite.BufferT()
    zeros.data = np.zeros(IRIS_NUMBERS, np.float32).view(np.uint8)
    model.buffers.append(zeros)

    def tensor(name: bytes, count: int, buffer: int) -> int:
        made = tflite.TensorT()
        made.name, made.buffer, made.type = name, buffer, tflite.TensorType.FLOAT32
        made.shape = np.array([1, 1, 1, count], np.int32)
        graph.tensors.append(made)
        return len(graph.tensors) - 1

    irises = tensor(b"irises", IRIS_NUMBERS, len(model.buffers) - 1)
    joined = tensor(b"landmarks", 3 * 468 + IRIS_NUMBERS, 0)
    code = tflite.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = CONCATENATION
    code.version = 1
    model.operatorCodes.append(code)
    join = tflite.OperatorT()
    join.opcodeIndex = len(model.operatorCodes) - 1
    join.inputs, join.outputs = np.array([mesh, irises], np.int32), np.array([joined], np.int32)
    join.builtinOptionsType = tflite.BuiltinOptions.ConcatenationOptions
    join.builtinOptions = tflite.ConcatenationOptionsT()
    join.builtinOptions.axis = 3
    graph.operators.append(join)
    graph.outputs = np.array([joined, presence], np.int32)
    builder = flatbuffers.Builder(2 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
