"""Decoding FLAME: ours beside the formulation of the paper, step by step, and beside smplx where that is installed.

    python benchmarks/flame.py [generic_model.pkl]

Without a file the stand-in of the tests is used: same sizes. Times are the best of several runs, in milliseconds a
head; all three give the same vertices.
"""

from __future__ import annotations

import pickle
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from facecli.geometry.rotations import axis_angle_to_matrix
from facecli.geometry.skinning import joint_transforms
from facecli.morphable.flame import Flame
from facecli.morphable.flame_files import FlameArrays, read_flame

BATCHES = (1, 8, 64, 512)


def stand_in(folder: Path) -> Path:
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from standins.flame import toy_flame

    path = folder / "generic_model.pkl"
    path.write_bytes(pickle.dumps(toy_flame(), protocol=2))
    return path


def plain(arrays: FlameArrays) -> Callable[..., torch.Tensor]:
    """Shape by einsum, joints from the shaped vertices, correctives, then a 4 × 4 matrix for each vertex."""
    shapes = torch.cat([torch.from_numpy(arrays.identity), torch.from_numpy(arrays.expression)], -1)
    template, pose = torch.from_numpy(arrays.template), torch.from_numpy(arrays.pose)
    regressor, weights = torch.from_numpy(arrays.joint_regressor), torch.from_numpy(arrays.weights)

    def decode(identity, expression, turn, jaw):
        shaped = template + torch.einsum("bl,mkl->bmk", torch.cat([identity, expression], 1), shapes)
        joints = torch.einsum("bik,ji->bjk", shaped, regressor)
        still = torch.zeros_like(jaw)
        turns = axis_angle_to_matrix(torch.stack([turn, still, jaw, still, still], 1))
        features = (turns[:, 1:] - torch.eye(3)).flatten(1)
        posed = shaped + torch.einsum("bl,mkl->bmk", features, pose)
        blended = torch.einsum("vj,bjrc->bvrc", weights, joint_transforms(turns, joints, arrays.parents))
        ones = torch.cat([posed, torch.ones_like(posed[..., :1])], -1)
        return (blended @ ones[..., None])[..., 0]

    return decode


def ours(arrays: FlameArrays) -> Callable[..., torch.Tensor]:
    flame = Flame(arrays)
    return lambda identity, expression, turn, jaw: flame(identity, expression, turn, jaw)


def smplx_flame(path: Path) -> Callable[..., torch.Tensor] | None:
    try:
        import smplx
    except ImportError:
        return None
    folder = _as_smplx_wants_it(path)
    made = {}

    def decode(identity, expression, turn, jaw):
        count = len(identity)
        if count not in made:
            made[count] = smplx.FLAME(
                folder, batch_size=count, num_betas=300, num_expression_coeffs=100, create_eye_pose=True,
                use_face_contour=False, ext="pkl",
            )  # fmt: skip
        found = made[count](betas=identity, expression=expression, global_orient=turn, jaw_pose=jaw, return_verts=True)
        return found.vertices

    return decode


def _as_smplx_wants_it(path: Path) -> str:
    """A folder with FLAME under smplx's name, and landmarks, without which it doesn't start."""
    folder = Path(tempfile.mkdtemp())
    (folder / "FLAME_NEUTRAL.pkl").symlink_to(path.absolute())
    points = {"lmk_face_idx": np.zeros(51, np.int64), "lmk_b_coords": np.full((51, 3), 1 / 3)}
    (folder / "flame_static_embedding.pkl").write_bytes(pickle.dumps(points))
    return str(folder)


def milliseconds(decode: Callable[..., torch.Tensor], codes: tuple[torch.Tensor, ...]) -> float:
    decode(*codes)
    best, spent = float("inf"), 0.0
    while spent < 1.0:
        start = time.perf_counter()
        decode(*codes)
        took = time.perf_counter() - start
        best, spent = min(best, took), spent + took
    return best / len(codes[0]) * 1000


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        path = Path(sys.argv[1]) if len(sys.argv) > 1 else stand_in(Path(folder))
        arrays = read_flame(path)
        ways = {"facecli": ours(arrays), "plain einsum": plain(arrays), "smplx": smplx_flame(path)}
        ways = {name: decode for name, decode in ways.items() if decode}
        print(f"ms a head, {torch.get_num_threads()} threads; {len(ways)} ways")
        print(f"{'batch':>6}" + "".join(f"{name:>16}{'ratio':>8}" for name in ways))
        for batch in BATCHES:
            codes = tuple(0.1 * torch.randn(batch, size) for size in (300, 100, 3, 3))
            wanted = ways["plain einsum"](*codes)
            times = {}
            for name, decode in ways.items():
                difference = float((decode(*codes) - wanted).abs().max())
                if difference > 1e-5:
                    print(f"{name} differs by {difference:.2g} m")
                times[name] = milliseconds(decode, codes)
            row = "".join(f"{spent:16.3f}{spent / times['facecli']:8.2f}" for spent in times.values())
            print(f"{batch:>6}{row}")


if __name__ == "__main__":
    main()
