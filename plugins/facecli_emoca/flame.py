"""FLAME out of EMOCA's checkpoints, which hold the part of it that their networks use."""

from __future__ import annotations

from facecli.errors import MissingAssetError
from facecli.morphable.flame_files import JOINTS, POSE_FEATURES, TRIANGLES, VERTICES, FlameArrays
from facecli_emoca.checkpoint import find_checkpoint, find_model_folder, read_checkpoint

PREFIX = "deca.flame."
_IDENTITIES, _EXPRESSIONS = 100, 50
_SHAPES = {
    "v_template": (VERTICES, 3),
    "shapedirs": (VERTICES, 3, _IDENTITIES + _EXPRESSIONS),
    "posedirs": (POSE_FEATURES, VERTICES * 3),
    "J_regressor": (JOINTS, VERTICES),
    "lbs_weights": (VERTICES, JOINTS),
    "parents": (JOINTS,),
    "faces_tensor": (TRIANGLES, 3),
}


def flame_of_model(variant: str, checkpoint: str = "best") -> FlameArrays | None:
    """FLAME with 100 identity and 50 expression numbers from a model's checkpoint; None where that doesn't hold it.

    Raises:
        InputError, UsageError: the checkpoint can't be chosen or read.
    """
    try:
        folder = find_model_folder(variant)
    except MissingAssetError:
        return None
    state = read_checkpoint(find_checkpoint(folder, checkpoint, detail=False)).state(prefix=PREFIX)
    if any(key not in state or state[key].shape != shape for key, shape in _SHAPES.items()):
        return None
    arrays = {key: state[key].numpy() for key in _SHAPES}
    shapes = arrays["shapedirs"]
    return FlameArrays(
        template=arrays["v_template"],
        identity=shapes[..., :_IDENTITIES],
        expression=shapes[..., _IDENTITIES:],
        pose=arrays["posedirs"].T.reshape(VERTICES, 3, POSE_FEATURES),
        joint_regressor=arrays["J_regressor"],
        weights=arrays["lbs_weights"],
        parents=tuple(int(parent) for parent in arrays["parents"]),
        triangles=arrays["faces_tensor"],
    )
