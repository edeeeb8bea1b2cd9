"""Stand-ins of 3DDFA_V2's and Deep3D's face models that are parts of SynergyNet's: one mean face on one mesh, and
expressions that are its own in other mixtures, as the real ones may be.

    python tests/standins/basel.py FROM TO     # FROM: where write.py wrote deep3d, synergynet and tddfa_v2

Deep3D's has further expressions that SynergyNet's lacks: what SynergyNet's says can be said with Deep3D's, not the
other way round.
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import scipy.io
from scipy.spatial import cKDTree

TESTS = Path(__file__).resolve().parents[1]
if str(TESTS) not in sys.path:
    sys.path.insert(0, str(TESTS))

from standins.bfm import VERTICES, _disc  # noqa: E402
from standins.tddfa import SIZES, V2_SIZES, toy_3dmm  # noqa: E402

RIM = 627
PER_DECIMETRE = 1e5
SHIFT = (0.013, -0.021, 0.105)
"""Of Deep3D's mean face, which isn't centred in its file."""


def mixture(count: int, key: int) -> np.ndarray:
    """[count, count] of well-mixed, well-scaled directions."""
    random = np.random.default_rng(key)
    turned, _ = np.linalg.qr(random.standard_normal((count, count)))
    return turned * random.uniform(0.5, 1.5, count)


def tddfa_v2(content: dict, triangles: np.ndarray) -> tuple[dict, np.ndarray]:
    """3DDFA_V2's pickle and ``indices.npy``: the front of SynergyNet's mesh.

    Args:
        content: the pickle that is there. triangles: [3, F] of SynergyNet's, from 1.
    """
    toy, count = toy_3dmm("full"), V2_SIZES["full"][0]
    rows = slice(0, 3 * count)
    points = toy["keypoints_sim"].reshape(-1, 3)[:, 0] // 3
    inside = cKDTree(toy["u_shp"].reshape(-1, 3)[:count]).query(toy["u_shp"].reshape(-1, 3)[points])[1]
    expressions = toy["w_exp_sim"][rows] @ mixture(10, 2).astype(np.float32)
    made = {
        "u": (toy["u_shp"] + toy["u_exp"])[rows],
        "w_exp": np.concatenate([expressions, content["w_exp"][:, 10:]], 1),
        "w_shp": np.pad(toy["w_shp_sim"][rows], ((0, 0), (0, 4))),
        "keypoints": (3 * inside[:, None] + np.arange(3)).reshape(-1),
        "tri": triangles[:, (triangles <= count).all(0)].astype(np.int32) - 1,
    }
    return content | made, np.arange(count, dtype=np.int32)


def deep3d(content: dict) -> tuple[dict, np.ndarray]:
    """What ``BFM_model_front.mat`` holds, and ``idx`` of ``BFM_front_idx.mat``, from 1.

    Both stand-ins' vertices lie on one spiral, so the same numbers are neighbours in both; left is right there.
    """
    toy = toy_3dmm("full")
    inner, whole = VERTICES - RIM, SIZES["full"][0]
    disc, mean = _disc(VERTICES, RIM), toy["u_shp"].reshape(-1, 3)
    index = np.concatenate([np.arange(inner), _around(mean, disc, inner, whole)])
    rows = (3 * index[:, None] + np.arange(3)).ravel()
    expressions = np.concatenate(
        [
            toy["w_exp_sim"][rows] @ mixture(10, 3).astype(np.float32),
            toy["u_exp"][rows],  # in the others' mean faces
        ],
        1,
    )
    scales = np.abs(expressions).max() / PER_DECIMETRE, np.abs(content["exBase"]).max()
    further = content["exBase"][:, expressions.shape[1] :] * (0.3 * scales[0] / scales[1])
    made = {
        "meanshape": (mean[index] / PER_DECIMETRE + SHIFT).reshape(1, -1).astype(np.float32),
        "exBase": np.concatenate([expressions / PER_DECIMETRE, further], 1).astype(np.float32),
        "idBase": toy["w_shp_sim"][rows][:, np.arange(80) % 40] * np.float32(0.5),
        "tri": content["tri"][:, [0, 2, 1]],
        "tri_mask2": content["tri_mask2"][:, [0, 2, 1]],
    }
    return {key: value for key, value in content.items() if not key.startswith("__")} | made, index + 1


def _around(mean: np.ndarray, disc: np.ndarray, inner: int, whole: int) -> np.ndarray:
    """For the disc's border the vertices behind the inner ones that are nearest, each once."""
    reach = np.linalg.norm(mean[inner - 600 : inner, :2], axis=1).mean()
    free = np.arange(inner, whole)
    wanted = disc[inner:, ::-1] * reach
    return free[_each_once(cKDTree(mean[free, :2]).query(wanted, k=40)[1])]


def _each_once(choices: np.ndarray) -> np.ndarray:
    """The first of each row that no row before has taken."""
    taken: dict[int, None] = {}
    for row in choices.tolist():
        taken[next(choice for choice in row if choice not in taken)] = None
    return np.array(list(taken))


def write_agreeing(source: Path, folder: Path) -> Path:
    """The stand-ins in `source`, linked to, with the face models that agree."""
    (folder / "configs").mkdir(parents=True, exist_ok=True)
    content = pickle.loads((source / "configs/bfm_noneck_v3.pkl").read_bytes())
    triangles = scipy.io.loadmat(source / "3dmm_data/tri.mat")["tri"].astype(np.int64)
    v2, indices = tddfa_v2(content, triangles)
    (folder / "configs/bfm_noneck_v3.pkl").write_bytes(pickle.dumps(v2, protocol=2))
    np.save(folder / "configs/indices.npy", indices)
    front, index = deep3d(scipy.io.loadmat(source / "BFM_model_front.mat"))
    scipy.io.savemat(folder / "BFM_model_front.mat", front)
    scipy.io.savemat(folder / "BFM_front_idx.mat", {"idx": index[:, None].astype(np.float64)})
    for name in ("best.pth.tar", "epoch_20.pth", "mb1_120x120.pth", "standin_whitening_v2.pkl", "3dmm_data"):
        (folder / name).symlink_to(source / name)
    return folder


if __name__ == "__main__":
    write_agreeing(Path(sys.argv[1]), Path(sys.argv[2]))
