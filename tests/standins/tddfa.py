"""Stand-ins for the face models of SynergyNet, 3DDFA and 3DDFA_V2: a mask with a nose, by formula, in the official
shapes.

`toy_3dmm(size)` holds what `3dmm_data/` has, `toy_v2(size)` what V2's `configs/` has: micrometres, x to the image's
right, y up, z to the viewer. ``"full"`` has 53215 and 38365 vertices, ``"small"`` 1000 and 700.
"""

from __future__ import annotations

import functools
import pickle
from pathlib import Path

import numpy as np

from standins.flame import _smooth_basis

SIZES = {"full": (53215, 588), "small": (1000, 60)}  # vertices, and those on the rim
V2_SIZES = {"full": (38365, 655), "small": (700, 50)}
Z_RIM = -0.12  # the mask is the part of the unit sphere with z >= Z_RIM


def mask_points(vertices: int, rim: int) -> np.ndarray:
    """[V, 3] points on the unit sphere, the rim's last."""
    i = np.arange(vertices - rim)
    z = 1 - (1 - Z_RIM - 0.012) * (i + 0.5) / len(i)
    a = np.pi * (3 - np.sqrt(5)) * i
    r = np.sqrt(1 - z * z)
    t = 2 * np.pi * np.arange(rim) / rim
    rr = np.sqrt(1 - Z_RIM**2)
    inner = np.stack([r * np.cos(a), r * np.sin(a), z], 1)
    return np.concatenate([inner, np.stack([rr * np.cos(t), rr * np.sin(t), 0 * t + Z_RIM], 1)])


def mean_face(p: np.ndarray) -> np.ndarray:
    """[V, 3] of the points `p` on the sphere, micrometres."""
    v = p * [88000.0, 104000.0, 112000.0] + [0.0, -15000.0, 0.0]
    front = p[:, 2] > 0
    nose = np.exp(-((p[:, 0] / 0.14) ** 2) - ((p[:, 1] + 0.0) / 0.24) ** 2) * front
    lips = np.exp(-((p[:, 0] / 0.28) ** 2) - ((p[:, 1] + 0.42) / 0.07) ** 2) * front
    eyes = np.exp(-(((np.abs(p[:, 0]) - 0.36) / 0.13) ** 2) - ((p[:, 1] - 0.33) / 0.08) ** 2) * front
    v[:, 2] += 21000.0 * nose + 6000.0 * lips - 7000.0 * eyes
    return v


def landmark_layout() -> np.ndarray:
    """[68, 2] a schematic face in iBUG's order, units of 10 mm, y up."""
    t = np.linspace(0, np.pi, 17)
    jaw = np.stack([-7.2 * np.cos(t), 1.6 - 10.2 * np.sin(t)], 1)
    b = np.linspace(-1, 1, 5)
    brows = [np.stack([x + 1.9 * b, 4.4 - 0.5 * b * b], 1) for x in (-3.7, 3.7)]
    bridge = np.stack([np.zeros(4), np.linspace(2.4, -0.8, 4)], 1)
    base = np.stack([1.3 * b, -1.9 - 0.3 * (1 - b * b)], 1)
    e = np.array([np.pi, 2 * np.pi / 3, np.pi / 3, 0, -np.pi / 3, -2 * np.pi / 3])
    ring = np.stack([1.4 * np.cos(e), 0.6 * np.sin(e)], 1)
    o = np.pi - np.arange(12) * np.pi / 6
    outer = np.stack([2.5 * np.cos(o), -4.2 + 1.1 * np.sin(o)], 1)
    q = np.pi - np.arange(8) * np.pi / 4
    inner = np.stack([1.8 * np.cos(q), -4.2 + 0.4 * np.sin(q)], 1)
    return np.concatenate(
        [jaw, *brows, bridge, base, ring + np.array([-3.2, 2.6]), ring + np.array([3.2, 2.6]), outer, inner]
    )


def keypoints(v: np.ndarray) -> np.ndarray:
    """int64 [204]: rows 3i, 3i+1, 3i+2 of the 68 vertices nearest to the layout (each vertex used once)."""
    d = ((v[None, :, :2] - 1e4 * landmark_layout()[:, None]) ** 2).sum(2)
    ids: list[int] = []
    for row in d:
        row[ids] = np.inf
        ids.append(int(row.argmin()))
    return (3 * np.array(ids)[:, None] + np.arange(3)).reshape(-1).astype(np.int64)


def whitening(shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """float32 [62] mean and deviation of the parameters; `shift` 1 gives 3DDFA_V2's."""
    i, j = np.arange(40), np.arange(10)
    camera = [3.2e-4 + shift * 1e-5, 0, -1e-6, 60.5, 2e-6, 4.4e-4, -3e-5, 69.5 + shift, 2e-6, 5e-5, 4e-4, -76.5]
    shape = -3e5 * np.cos(1.3 * i + shift) / (1 + i)
    mean = np.concatenate([camera, shape, 0.3 * np.cos(2.1 * j + shift) / (1 + 0.3 * j)])
    camera = [1.9e-4, 3.0e-4, 3.2e-4, 19.8, 2.5e-4, 1.9e-4, 2.0e-4, 14.7, 3.6e-4, 1.1e-4, 1.5e-4, 18.3]
    std = np.concatenate([camera, 6e5 / (1 + 0.5 * i) ** 0.95, 1.5 / (1 + j) ** 0.7])
    return mean.astype(np.float32), std.astype(np.float32)


@functools.cache
def toy_3dmm(size: str = "small") -> dict[str, np.ndarray]:
    """Arrays by the names of the official files: `u_shp`, `u_exp` [3V, 1], `w_shp_sim` [3V, 40], `w_exp_sim` [3V, 10]
    float32, `keypoints_sim` [204], and `param_mean`, `param_std` [62] of `param_whitening.pkl`."""
    p = mask_points(*SIZES[size])
    v = mean_face(p)
    mouth = np.exp(-((p[:, 0] / 0.4) ** 2) - ((p[:, 1] + 0.45) / 0.25) ** 2)[:, None]
    mean, std = whitening()
    return {
        "keypoints_sim": keypoints(v),
        "w_shp_sim": _column(_smooth_basis(p, 40, "toy_3ddfa.shape") * 2.5e-3),
        "w_exp_sim": _column(_smooth_basis(p, 10, "toy_3ddfa.expression") * (900.0 * (0.25 + mouth))[:, :, None]),
        "u_shp": _column(v),
        "u_exp": _column(mouth * [100.0, -1500.0, -400.0]),
        "param_mean": mean,
        "param_std": std,
    }


def _column(x: np.ndarray) -> np.ndarray:
    """[V, 3] or [V, 3, k] -> the official rows x0 y0 z0 x1 …"""
    return np.ascontiguousarray(x.reshape(x.shape[0] * 3, -1).astype(np.float32))


def landmarks_in_photo(parameters: np.ndarray, roi: np.ndarray, size: str = "small") -> np.ndarray:
    """[N, 68, 3] landmarks in the photograph, as SynergyNet's `benchmark.py` decodes its network's output.

    Args:
        parameters: [N, 62] whitened. roi: [N, 4] crop boxes (x0, y0, x1, y1).
    """
    toy = toy_3dmm(size)
    rows = toy["keypoints_sim"]
    p = parameters * toy["param_std"] + toy["param_mean"]
    camera = p[:, :12].reshape(-1, 3, 4)
    surface = toy["u_shp"][rows] + toy["u_exp"][rows]
    surface = surface + toy["w_shp_sim"][rows] @ p[:, 12:52, None] + toy["w_exp_sim"][rows] @ p[:, 52:62, None]
    points = surface.reshape(-1, 68, 3) @ camera[:, :, :3].transpose(0, 2, 1) + camera[:, None, :, 3]
    points[..., 1] = 121 - points[..., 1]  # a leftover of MATLAB's counting from 1
    scale = (roi[:, 2:] - roi[:, :2]) / 120
    points[..., :2] = points[..., :2] * scale[:, None] + roi[:, None, :2]
    points[..., 2] *= scale.mean(1)[:, None]
    return points


def camera_of(parameters: np.ndarray) -> np.ndarray:
    """[N, 62] whitened parameters -> [N, 3, 4] affine cameras."""
    toy = toy_3dmm()
    return (parameters[:, :12] * toy["param_std"][:12] + toy["param_mean"][:12]).reshape(-1, 3, 4)


# --- triangles, UV, 3DDFA_V2's model, files --------------------------------------------------------------------------


@functools.cache
def mask_surface(vertices: int, rim: int) -> tuple[np.ndarray, np.ndarray]:
    """Triangles [F, 3] of :func:`mask_points` (seen from outside clockwise, as in the official files) and UV [V, 2]."""
    from scipy.spatial import Delaunay

    p = mask_points(vertices, rim)
    flat = p[:, :2] / (p[:, 2:] + 1.0)
    triangles = Delaunay(flat).simplices.astype(np.int64)
    normals = np.cross(p[triangles[:, 1]] - p[triangles[:, 0]], p[triangles[:, 2]] - p[triangles[:, 0]])
    outside = (normals * p[triangles].mean(1)).sum(1) > 0
    triangles[outside] = triangles[outside][:, [0, 2, 1]]
    # One order, whatever the library's: smallest index first, then sorted.
    triangles = np.take_along_axis(triangles, (triangles.argmin(1)[:, None] + np.arange(3)) % 3, 1)
    triangles = triangles[np.lexsort(triangles.T[::-1])]
    return triangles, 0.5 + 0.47 * flat / np.linalg.norm(flat[-rim:], axis=1).min()


@functools.cache
def toy_surface(size: str = "small") -> dict[str, np.ndarray]:
    """`tri` [3, F] 1-based, `uv` [V, 2], and the part that the UV programs show: `kept` [K], `cut` [3, M] 1-based."""
    vertices, rim = SIZES[size]
    triangles, uv = mask_surface(vertices, rim)
    p = mask_points(vertices, rim)
    kept = np.flatnonzero((p[:, 2] > 0.1) & (p[:, 1] < 0.6))
    number = np.full(vertices, -1)
    number[kept] = np.arange(len(kept))
    cut = number[triangles]
    cut = cut[(cut >= 0).all(1)]
    return {"tri": (triangles.T + 1).astype(np.uint16), "uv": uv, "kept": kept, "cut": (cut.T + 1).astype(np.int64)}


@functools.cache
def toy_v2(size: str = "small") -> dict[str, object]:
    """Contents of V2's `configs/` by file name."""
    vertices, rim = V2_SIZES[size]
    p = mask_points(vertices, rim)
    triangles, uv = mask_surface(vertices, rim)
    v = mean_face(p)
    mouth = np.exp(-((p[:, 0] / 0.4) ** 2) - ((p[:, 1] + 0.45) / 0.25) ** 2)[:, None]
    mean, std = whitening(1.0)
    u = _column(v + mouth * [100.0, -1500.0, -400.0])
    xyz = u.reshape(-1, 3)
    indices = (np.arange(vertices) * SIZES[size][0] // vertices).astype(np.int32)
    whole_uv = toy_surface(size)["uv"].copy()
    whole_uv[indices] = uv
    return {
        "bfm_noneck_v3.pkl": {
            "u": u,
            # a few columns more than the 40 + 10 that are used
            "w_shp": _column(_smooth_basis(p, 44, "toy_3ddfa.shape.v2") * 2.5e-3),
            "w_exp": _column(_smooth_basis(p, 12, "toy_3ddfa.expression.v2") * (900.0 * (0.25 + mouth))[:, :, None]),
            "keypoints": keypoints(v),
            "tri": np.asfortranarray(triangles.T.astype(np.int32)),
        },
        "tri.pkl": np.asfortranarray(triangles.T.astype(np.int32)),
        "param_mean_std_62d_120x120.pkl": {"mean": mean, "std": std},
        "BFM_UV.mat": {"UV": whole_uv},
        "indices.npy": indices,
        "ncc_code.npy": np.asfortranarray(((xyz - xyz.min(0)) / (xyz.max(0) - xyz.min(0))).T.astype(np.float32)),
    }


def write_v2(folder: Path, size: str = "full") -> None:
    """V2's `configs/` in the official formats."""
    for name, content in toy_v2(size).items():
        _write(folder / name, content)


def write_3dmm(folder: Path, size: str = "full", names: tuple[str, ...] = ()) -> None:
    """`3dmm_data/` in the official formats, or the files `names` of it."""
    toy, surface = toy_3dmm(size), toy_surface(size)
    mean, std = toy["param_mean"], toy["param_std"]
    if size == "full":  # the official file goes on with 40 texture entries, which nothing uses
        mean, std = np.append(mean, np.zeros(40, np.float32)), np.append(std, np.ones(40, np.float32))
    contents = {f"{name}.npy": toy[name] for name in ("keypoints_sim", "w_shp_sim", "w_exp_sim", "u_shp", "u_exp")}
    contents |= {"param_whitening.pkl": {"param_mean": mean, "param_std": std}, "tri.mat": {"tri": surface["tri"]}}
    contents |= {
        f"{name}.npy": surface[key] for name, key in (("BFM_UV", "uv"), ("keptInd", "kept"), ("deletedTri", "cut"))
    }
    for name in names or contents:
        _write(folder / name, contents[name])


def _write(path: Path, content: object) -> None:
    import scipy.io

    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, content)
    elif path.suffix == ".mat":
        scipy.io.savemat(path, content)
    else:
        path.write_bytes(pickle.dumps(content, protocol=2))
